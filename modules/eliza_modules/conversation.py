"""A conversation: its messages, what it is about, how it feels and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import attrs

from eliza_modules.refusal import refuse
from eliza_state.collections import Entities, Set
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.indexes import Composite, Index, Indexes
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path


@attrs.frozen(kw_only=True)
class Message:
    """One message as the conversation holds it; `edits` counts the changes of its text."""

    id: str
    user: str
    text: str
    at: datetime | None = None
    reply_to: str | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    edits: int = 0


@attrs.frozen(kw_only=True)
class Goal:
    """Something an agent is after; of two goals the one with the higher `priority` matters more."""

    id: str
    description: str
    priority: int = 0
    completed: bool = False


@attrs.frozen(kw_only=True)
class ConversationState:
    """What a conversation holds.

    `messages` stand in the order they were received, `participants` are those who spoke. `sentiment` runs
    from -1 to 1. A goal that is completed leaves `active_goals`; the agent above remembers it.
    """

    messages: Entities[Message] = attrs.field(factory=Entities[Message])
    participants: Set[str] = attrs.field(factory=Set[str])
    topic: str | None = None
    sentiment: float = 0.0
    active_goals: Entities[Goal] = attrs.field(factory=Entities[Goal])
    ended: bool = False
    ended_at: datetime | None = None


@event("message_received")
class MessageReceived:
    """Somebody said something in the conversation.

    `id` is unique among the conversation's present messages; that of a deleted message is free again.
    `reply_to` is the id of the message this one answers, in this conversation or elsewhere.
    """

    id: str
    user: str
    text: str
    at: datetime | None = None
    reply_to: str | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict[str, Any])


@event("message_edited")
class MessageEdited:
    """A message of the conversation got another text; all else about it stays."""

    id: str
    text: str


@event("message_deleted")
class MessageDeleted:
    """A message was taken out of the conversation; its author stays a participant, having spoken."""

    id: str


@event("messages_trimmed")
class MessagesTrimmed:
    """Old messages were let go of: all but the last `keep`, and those from before `before`; one may be None.

    The state alone gets smaller: what was said is still on the journal, and in every state of before. A
    message without a time is only let go of by `keep`. Who spoke stays a participant.
    """

    keep: int | None = None
    before: datetime | None = None

    def objection(self) -> str | None:
        """Return why nothing can be trimmed so, or None."""
        if self.keep is None and self.before is None:
            return "messages are trimmed to a number of them or at a time, got neither"
        if self.keep is not None and self.keep < 0:
            return f"the number of messages to keep is 0 or more, got {self.keep!r}"
        return None

    def takes(self, at: datetime | None) -> bool:
        """Tell whether a message of this time is too old to stay."""
        return self.before is not None and at is not None and in_utc(at) < in_utc(self.before)


@event("context_switch")
class ContextSwitched:
    """The talk turned to something else.

    Addressed to a room it sets the room's context; addressed to a conversation it sets the conversation's
    topic and the context of the room above. An empty text means no context, and no topic.
    """

    context: str


@event("topic_updated")
class TopicUpdated:
    """The conversation got a topic; None or an empty text takes it away."""

    topic: str | None


@event("sentiment_updated")
class SentimentUpdated:
    """The mood of the conversation was judged, from -1 (hostile) to 1 (friendly)."""

    sentiment: float


@event("goal_added")
class GoalAdded:
    """A goal was set: to an agent, or in a conversation, whose agent then has it as well.

    The id names the goal throughout its agent: the same id in a second conversation is the same goal, with
    the newest description and priority, and open again if it was completed.
    """

    id: str
    description: str
    priority: int = 0

    def goal(self) -> Goal:
        """Return the open goal that this event sets."""
        return Goal(id=self.id, description=self.description, priority=self.priority)


@event("goal_completed")
class GoalCompleted:
    """A goal was reached: an agent's own, or one of a conversation, which its agent then knows as well."""

    id: str


@event("conversation_ended", ends_scope=True)
class ConversationEnded:
    """The conversation is over and takes no more events."""

    at: datetime | None = None


def in_utc(at: datetime) -> datetime:
    """Return a time in UTC; one without a zone counts as UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def hour_of(message: Message) -> datetime | None:
    """Return the beginning of the hour in which a message came, in UTC; None for one without a time.

    A time without a zone counts as UTC.
    """
    if message.at is None:
        return None
    return in_utc(message.at).replace(minute=0, second=0, microsecond=0)


class ConversationModule(StateModule[ConversationState]):
    """Keep what is said in a conversation and what is known about it.

    Rejects a message without id or user or with the id of a present one, a change to a message that is not
    there, a sentiment outside -1 … 1, a goal without id or active already, the completion of a goal that is
    not active here, and a trimming that says neither how many messages stay nor from when on.

    Messages are found by their user, by the hour they came in, and by the topic that their conversation has.
    """

    name = "conversation"
    level = "conversation"
    indexes: ClassVar[Indexes] = {
        "messages": (
            Index("user"),
            Index("hour", key=hour_of, ordered=True),
            Index("topic"),
            Composite("user", "hour"),
        )
    }

    @reduces(MessageReceived)
    def receive_message(
        self, state: ConversationState, event: MessageReceived, path: Path
    ) -> ConversationState:
        """Append the message; its author takes part."""
        if not event.id or not event.user:
            return refuse(
                self, state, path, f"a message has an id and a user, got {event.id!r}, {event.user!r}"
            )
        if event.id in state.messages:
            return refuse(self, state, path, f"message {event.id!r} is in the conversation already")
        message = Message(
            id=event.id,
            user=event.user,
            text=event.text,
            at=event.at,
            reply_to=event.reply_to,
            metadata=event.metadata,
        )
        return evolve(
            state, messages=state.messages.add(message), participants=state.participants.add(event.user)
        )

    @reduces(MessageEdited)
    def edit_message(self, state: ConversationState, event: MessageEdited, path: Path) -> ConversationState:
        """Give the message its new text and count the edit; the same text changes nothing."""
        message = state.messages.get(event.id)
        if message is None:
            return refuse(self, state, path, f"no message {event.id!r} to edit in the conversation")
        if message.text == event.text:
            return state
        messages = state.messages.update(event.id, text=event.text, edits=message.edits + 1)
        return evolve(state, messages=messages)

    @reduces(MessageDeleted)
    def delete_message(
        self, state: ConversationState, event: MessageDeleted, path: Path
    ) -> ConversationState:
        """Take the message out."""
        if event.id not in state.messages:
            return refuse(self, state, path, f"no message {event.id!r} to delete in the conversation")
        return evolve(state, messages=state.messages.remove(event.id))

    @reduces(MessagesTrimmed)
    def trim_messages(
        self, state: ConversationState, event: MessagesTrimmed, path: Path
    ) -> ConversationState:
        """Let go of the messages that are too many or too old; the same trimming again changes nothing."""
        objection = event.objection()
        if objection is not None:
            return refuse(self, state, path, objection)
        messages = state.messages
        last = messages if event.keep is None else messages.last(event.keep)
        kept = [message for message in last if not event.takes(message.at)]
        return state if len(kept) == len(messages) else evolve(state, messages=Entities(kept))

    @reduces(ContextSwitched)
    def switch_context(self, state: ConversationState, event: ContextSwitched) -> ConversationState:
        """Take the new context as topic."""
        return _with_topic(state, event.context)

    @reduces(TopicUpdated)
    def update_topic(self, state: ConversationState, event: TopicUpdated) -> ConversationState:
        """Set the topic."""
        return _with_topic(state, event.topic)

    @reduces(SentimentUpdated)
    def update_sentiment(
        self, state: ConversationState, event: SentimentUpdated, path: Path
    ) -> ConversationState:
        """Set the sentiment."""
        if not -1 <= event.sentiment <= 1:  # NaN fails every comparison
            return refuse(self, state, path, f"a sentiment lies from -1 to 1, got {event.sentiment!r}")
        if event.sentiment == state.sentiment:
            return state
        return evolve(state, sentiment=event.sentiment)

    @reduces(GoalAdded)
    def add_goal(self, state: ConversationState, event: GoalAdded, path: Path) -> ConversationState:
        """Add the goal to the active ones."""
        if not event.id:
            return refuse(self, state, path, "a goal's id is a non-empty text, got ''")
        if event.id in state.active_goals:
            return refuse(self, state, path, f"goal {event.id!r} is active in the conversation already")
        return evolve(state, active_goals=state.active_goals.add(event.goal()))

    @reduces(GoalCompleted)
    def complete_goal(self, state: ConversationState, event: GoalCompleted, path: Path) -> ConversationState:
        """Take the goal from the active ones."""
        if event.id not in state.active_goals:
            return refuse(self, state, path, f"no active goal {event.id!r} in the conversation")
        return evolve(state, active_goals=state.active_goals.remove(event.id))

    @reduces(ConversationEnded)
    def end(self, state: ConversationState, event: ConversationEnded) -> ConversationState:
        """Note the end; the first one counts."""
        return state if state.ended else evolve(state, ended=True, ended_at=event.at)


def _with_topic(state: ConversationState, topic: str | None) -> ConversationState:
    topic = topic or None
    return state if topic == state.topic else evolve(state, topic=topic)
