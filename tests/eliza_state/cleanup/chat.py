"""A chat system to clean up: talks in rooms, and what is said in them, by a clock that a test turns."""

from __future__ import annotations

import datetime
from typing import Any

from eliza_modules.agent import AgentModule
from eliza_modules.conversation import ConversationModule, MessageReceived
from eliza_modules.room import RoomModule
from eliza_modules.system import SystemModule
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.testing import ManualClock

ROOM = Path().child("agent", "eliza").child("room", "general")
DAY = datetime.timedelta(days=1)


def talk(name: object, *, room: Path = ROOM) -> Path:
    """The path of a conversation."""
    return room.child("conversation", str(name))


def modules() -> list[Any]:
    return [SystemModule(), AgentModule(), RoomModule(), ConversationModule()]


def said(identifier: object, clock: ManualClock, *, text: str = "hello") -> MessageReceived:
    """A message of the present."""
    return MessageReceived(id=f"m{identifier}", user="ada", text=text, at=clock.now)


async def say(manager: StateManager, to: Path, clock: ManualClock, *, count: int = 1, start: int = 0) -> None:
    """Say so many things in a conversation, at the present time."""
    for number in range(start, start + count):
        await manager.dispatch(said(number, clock), to=to)


def pass_days(clock: ManualClock, days: float) -> None:
    clock.advance(ms=days * 24 * 3_600_000)


async def live_days(manager: StateManager, clock: ManualClock, days: int) -> None:
    """Let days go by in which something is said elsewhere every day, as in a store that is in use."""
    for number in range(days):
        pass_days(clock, 1)
        await manager.dispatch(said(f"{clock.now:%Y%m%d}-{number}", clock), to=talk("lobby"))


async def ids(manager: StateManager, path: Path) -> tuple[str, ...]:
    """The ids of the messages that a conversation holds."""
    state = await manager.at(path).state(ConversationModule)
    return tuple(state.messages.ids())
