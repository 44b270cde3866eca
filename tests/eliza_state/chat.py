"""A small chat system for tests: modules on several levels, one that refuses, one that forgets."""

from __future__ import annotations

from typing import Any

import attrs

from eliza_state.collections import Log, Map, Set
from eliza_state.errors import Rejected
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path

AGENT = Path().child("agent", "eliza")
ROOM = AGENT.child("room", "general")
TALK = ROOM.child("conversation", "c1")
OTHER = ROOM.child("conversation", "c2")


@event("said")
class Said:
    """Somebody said something in a conversation."""

    user: str
    text: str = ""


@event("joined")
class Joined:
    """Somebody came into a room."""

    user: str


@event("drawn")
class Drawn:
    """An amount was drawn from an agent's budget."""

    amount: int


@event("typing")
class Typing:
    """Somebody types; nobody needs to know later."""

    user: str


@event("noted")
class Noted:
    """Something was noted that changes nothing."""

    text: str = ""


@event("closed", ends_scope=True)
class Closed:
    """The scope is over."""


@event("exploded")
class Exploded:
    """Makes the reducer of the named level fail."""

    level: str


@attrs.frozen
class Totals:
    """How often things happened, everywhere."""

    events: int = 0
    said: int = 0
    closed: int = 0


class TotalsModule(StateModule[Totals]):
    """Count at the root."""

    name = "totals"
    level = "global"

    @reduces(Said, Joined, Drawn)
    def count(self, state: Totals, event: Any) -> Totals:
        return evolve(state, events=state.events + 1, said=state.said + isinstance(event, Said))

    @reduces(Closed)
    def close(self, state: Totals, _event: Closed) -> Totals:
        return evolve(state, closed=state.closed + 1)

    @reduces(Exploded)
    def explode(self, state: Totals, event: Exploded) -> Totals:
        return _explode(self, state, event)


@attrs.frozen
class Budget:
    """What an agent may still spend."""

    left: int = 10


class BudgetModule(StateModule[Budget]):
    """Refuse what the budget does not hold."""

    name = "budget"
    level = "agent"

    @reduces(Drawn)
    def draw(self, state: Budget, event: Drawn, path: Path) -> Budget:
        if event.amount > state.left:
            if path.level == self.level:
                raise Rejected(f"{state.left} left, {event.amount} wanted")
            return state
        return evolve(state, left=state.left - event.amount)

    @reduces(Exploded)
    def explode(self, state: Budget, event: Exploded) -> Budget:
        return _explode(self, state, event)


@attrs.frozen
class People:
    """Who is in a room."""

    names: Set[str] = attrs.field(factory=Set[str])


class PeopleModule(StateModule[People]):
    """Know who joined a room or spoke in it."""

    name = "people"
    level = "room"

    @reduces(Joined, Said)
    def join(self, state: People, event: Any) -> People:
        return evolve(state, names=state.names.add(event.user))

    @reduces(Noted)
    def note(self, state: People, _event: Noted) -> People:
        return state


@attrs.frozen
class Talk:
    """What was said in a conversation, and how often by whom."""

    texts: Log[str] = attrs.field(factory=Log[str])
    counts: Map[str, int] = attrs.field(factory=Map[str, int])
    closed: bool = False


class TalkModule(StateModule[Talk]):
    """Keep what was said; an empty text is refused."""

    name = "talk"
    level = "conversation"

    @reduces(Said)
    def say(self, state: Talk, event: Said) -> Talk:
        if not event.text:
            raise Rejected("nothing was said")
        counts = state.counts.set(event.user, state.counts.get(event.user, 0) + 1)
        return evolve(state, texts=state.texts.append(event.text), counts=counts)

    @reduces(Closed)
    def close(self, state: Talk, _event: Closed) -> Talk:
        return evolve(state, closed=True)

    @reduces(Noted)
    def note(self, state: Talk, _event: Noted) -> Talk:
        return state

    @reduces(Exploded)
    def explode(self, state: Talk, event: Exploded) -> Talk:
        return _explode(self, state, event)


@attrs.frozen
class Presence:
    """Who types just now."""

    typing: tuple[str, ...] = ()


class PresenceModule(StateModule[Presence]):
    """Know who types, until they have said it; gone with the process."""

    name = "presence"
    level = "conversation"
    volatile = True

    @reduces(Typing)
    def start(self, state: Presence, event: Typing) -> Presence:
        return state if event.user in state.typing else evolve(state, typing=(*state.typing, event.user))

    @reduces(Said)
    def stop(self, state: Presence, event: Said) -> Presence:
        left = tuple(user for user in state.typing if user != event.user)
        return state if left == state.typing else evolve(state, typing=left)


def _explode(module: StateModule[Any], state: Any, event: Exploded) -> Any:
    if event.level == module.level:
        raise ZeroDivisionError("a bug")
    return state


def modules() -> list[StateModule[Any]]:
    """All modules of the chat system."""
    return [TotalsModule(), BudgetModule(), PeopleModule(), TalkModule(), PresenceModule()]


async def everything(manager: StateManager) -> Any:
    """All that must not change when something is refused."""
    paths = [*TALK.chain(), OTHER]
    return (
        await manager.state(),
        await manager.position(),
        [record.position for record in await manager.root.records(limit=None)],
        [(await manager.at(path).version(), await manager.at(path).phase()) for path in paths],
        [await manager.at(path).state() for path in paths],
    )
