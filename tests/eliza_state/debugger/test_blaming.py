"""Which record last set a place in a state."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from eliza_state.collections import Entities, Map, Set
from eliza_state.debugger import MISSING, Debugger, InvalidStatePath
from eliza_state.errors import RegistrationError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from tests.eliza_state.chat import ROOM, TALK
from tests.eliza_state.conftest import Open


@attrs.frozen
class Item:
    id: str
    text: str = ""
    tags: tuple[str, ...] = ()


@event("put")
class Put:
    id: str
    text: str = ""


@event("dropped")
class Dropped:
    id: str


@event("labelled")
class Labelled:
    label: str
    value: int


@attrs.frozen
class Shelf:
    items: Entities[Item] = attrs.field(factory=Entities[Item])
    labels: Map[str, int] = attrs.field(factory=Map[str, int])
    names: Set[str] = attrs.field(factory=Set[str])
    title: str = "shelf"


class ShelfModule(StateModule[Shelf]):
    name = "shelf"
    level = "conversation"

    @reduces(Put)
    def put(self, state: Shelf, event: Put) -> Shelf:
        items = state.items.upsert(Item(event.id, event.text))
        return evolve(state, items=items, names=state.names.add(event.id))

    @reduces(Dropped)
    def drop(self, state: Shelf, event: Dropped) -> Shelf:
        return evolve(state, items=state.items.discard(event.id), names=state.names.discard(event.id))

    @reduces(Labelled)
    def label(self, state: Shelf, event: Labelled) -> Shelf:
        return evolve(state, labels=state.labels.set(event.label, event.value))


EVENTS = [
    Put(id="a", text="one"),
    Put(id="b", text="two"),
    Labelled(label="x", value=1),
    Put(id="a", text="three"),
    Labelled(label="y", value=2),
    Put(id="a", text="three"),
    Labelled(label="x", value=5),
    Dropped(id="b"),
]


@pytest.fixture
async def shelf(opened: Open, url: str) -> Debugger:
    """A debugger on a store that holds the events, at positions from 1."""
    manager: StateManager = await opened(url, modules=[ShelfModule()])
    for one in EVENTS:
        await manager.dispatch(one, to=TALK)
    return Debugger(manager)


@pytest.mark.parametrize(
    ("inside", "value", "history"),
    [
        ("items[a].text", "three", [4, 1]),
        ("items[a].id", "a", [1]),
        ("items[a]", Item("a", "three"), [4, 1]),
        ("items[b].text", MISSING, [8, 2]),
        ("items[c].text", MISSING, []),
        ("labels[x]", 5, [7, 3]),
        ("labels[y]", 2, [5]),
        ("names{a}", "a", [1]),
        ("names[b]", MISSING, [8, 2]),
        ("title", "shelf", []),
        ("labels", Map({"x": 5, "y": 2}), [7, 5, 3]),
    ],
)
async def test_who_set_it(shelf: Debugger, inside: str, value: Any, history: list[int]) -> None:
    blame = await shelf.blame(TALK, ShelfModule, inside)

    assert blame.value == value
    assert (blame.record.position if blame.record else 0) == (history[0] if history else 0)
    assert blame.is_initial == (not history)
    assert [entry.position async for entry in blame.history()] == history


async def test_it_tells_what_else_the_record_changed(shelf: Debugger) -> None:
    blame = await shelf.blame(TALK, "shelf", "items[b]")
    assert blame.entry is not None

    assert [str(difference.kind) for difference in blame.entry.changes[0].differences] == [
        "removed",
        "removed",
    ]


async def test_the_whole_slice(shelf: Debugger) -> None:
    assert (await shelf.blame(TALK, "shelf")).record is not None


async def test_records_below_a_scope_set_it_too(debugger: Debugger) -> None:
    blame = await debugger.blame(ROOM, "people", "names{bo}")
    assert blame.record is not None

    assert (blame.record.position, blame.record.path) == (3, TALK)
    assert {change.path for change in blame.entry.changes} == {ROOM}  # type: ignore[union-attr]


async def test_a_history_stays_what_it_was_when_asked(shelf: Debugger) -> None:
    blame = await shelf.blame(TALK, "shelf", "labels[x]")
    await shelf.manager.dispatch(Labelled(label="x", value=9), to=TALK)

    assert [entry.position async for entry in blame.history()] == [7, 3]


async def test_it_says_so_in_a_line(shelf: Debugger) -> None:
    assert str(await shelf.blame(TALK, "shelf", "title")) == (
        f"title of 'shelf' at {TALK.encode()!r}: the initial state's"
    )
    assert str(await shelf.blame(TALK, "shelf", "labels[y]")).startswith(
        f"labels[y] of 'shelf' at {TALK.encode()!r}: Record(labelled at "
    )


async def test_what_cannot_be_is_an_error(shelf: Debugger) -> None:
    with pytest.raises(InvalidStatePath, match="did you mean 'items'"):
        await shelf.blame(TALK, "shelf", "item[a]")
    with pytest.raises(InvalidStatePath, match=r"Item has no field 'txt' .*did you mean 'text'"):
        await shelf.blame(TALK, "shelf", "items[a].txt")
    with pytest.raises(RegistrationError):
        await shelf.blame(ROOM, "shelf", "title")
