"""Where a user is, and how they say something and get their answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import attrs

from eliza_modules import ConversationModule, MessageReceived
from eliza_modules.approval import Approvals
from eliza_modules.conversation import Message
from eliza_modules.workspace_service import Workspace
from eliza_state import StateManager
from eliza_state.scope import Scope
from examples.eliza_bot.agents import ROOMS, workspace_of

FIRST_ROOM: Final = "parlour"


@attrs.define(eq=False)
class Visit:
    """One user in one of the rooms; `enter` and `say` are what they do there."""

    manager: StateManager
    user: str
    room: str = FIRST_ROOM

    @property
    def host(self) -> str:
        """The name of the agent whose room it is."""
        return ROOMS[self.room]

    @property
    def agent(self) -> Scope:
        return self.manager.agent(self.host)

    @property
    def talk(self) -> Scope:
        """The user's conversation with the room's agent."""
        return self.agent.room(self.room).conversation(self.user)

    @property
    def workspace(self) -> Workspace:
        """What the room's agent keeps for the user."""
        return workspace_of(self.manager, self.agent.user(self.user))

    @property
    def approvals(self) -> Approvals:
        """What the room's agent has asked."""
        return Approvals(self.agent, manager=self.manager)

    async def resume(self) -> None:
        """Go where the user was last."""
        keys = self.manager.plugins["visits"]
        self.room = await keys.get_or_default(f"room:{self.user}", FIRST_ROOM)

    async def enter(self, room: str) -> None:
        """Go to another room, which must exist, to be there after a restart too."""
        await self.manager.plugins["visits"].set(f"room:{self.user}", room)
        self.room = room

    async def say(self, text: str) -> None:
        """Say something and wait for the answer. Once it is dispatched, it is not lost."""
        said = MessageReceived(id=str(uuid4()), user=self.user, text=text, at=datetime.now(UTC))
        await self.talk.dispatch(said)
        await self.answered(self.host)

    async def answered(self, agent: str) -> None:
        """Wait until an agent has answered all that the user has said."""
        scope = self.manager.agent(agent).user(self.user)
        workspace = workspace_of(self.manager, scope)
        with self.manager.changes(below=scope, module="workspace") as changes:
            await self.manager.followers.settled()
            while (state := await workspace.state()).queue or state.active_run:
                await anext(changes)
        await self.manager.followers.settled()

    async def heard(self, limit: int) -> tuple[Message, ...]:
        """Return what was said last in the conversation, at most `limit` messages."""
        return tuple((await self.talk.state(ConversationModule)).messages.last(limit))
