"""Ready-made modules for a chat system: the state of a system, its agents, rooms, conversations and users."""

from eliza_modules.agent import AgentModule, AgentStarted, AgentStopped
from eliza_modules.conversation import (
    ContextSwitched,
    ConversationEnded,
    ConversationModule,
    GoalAdded,
    GoalCompleted,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    SentimentUpdated,
    TopicUpdated,
)
from eliza_modules.message import MessageModule, ReactionAdded, ReactionRemoved
from eliza_modules.room import RoomModule, UserJoined, UserLeft, UserRenamed
from eliza_modules.system import ConfigChanged, ResourceShared, SystemModule
from eliza_modules.user import UserModule, UserUpdated

__all__ = [
    "AgentModule",
    "AgentStarted",
    "AgentStopped",
    "ConfigChanged",
    "ContextSwitched",
    "ConversationEnded",
    "ConversationModule",
    "GoalAdded",
    "GoalCompleted",
    "MessageDeleted",
    "MessageEdited",
    "MessageModule",
    "MessageReceived",
    "ReactionAdded",
    "ReactionRemoved",
    "ResourceShared",
    "RoomModule",
    "SentimentUpdated",
    "SystemModule",
    "TopicUpdated",
    "UserJoined",
    "UserLeft",
    "UserModule",
    "UserRenamed",
    "UserUpdated",
]
