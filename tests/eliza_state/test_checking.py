"""Reducers that change what they are given, or that give another result when they are run again."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from eliza_serializers import Secret
from eliza_state.checking import ImpureReducer, Parts, check_reducers
from eliza_state.collections import Chunk, Entities, LazyChunk, Log, Map, Set
from eliza_state.errors import ReducerError, Rejected, StateError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.testing import TreeDriver

ROOM = "agent:eliza/room:general"


@attrs.frozen
class Entry:
    id: str
    tags: list[str] = attrs.field(factory=list[str])


@attrs.frozen
class Book:
    entries: Entities[Entry] = attrs.field(factory=Entities[Entry])
    by_name: Map[str, dict[str, int]] = attrs.field(factory=Map[str, dict[str, int]])
    log: Log[list[int]] = attrs.field(factory=Log[list[int]])
    seen: set[str] = attrs.field(factory=set[str])
    number: float = 0
    secret: Secret[str] | None = None


@event("written")
class Written:
    id: str
    meta: dict[str, list[str]] = attrs.field(factory=dict[str, list[str]])


Reduce = Callable[[Book, Written], Book]


class BookModule(StateModule[Book]):
    """Reduce by whatever function a test gives."""

    name = "book"
    level = "room"
    start = Book(
        entries=Entities([Entry("a"), Entry("b", ["x"])]),
        by_name=Map({"ada": {"n": 1}}),
        log=Log([[1], [2]]),
        seen={"one"},
    )

    def __init__(self, reduce: Reduce) -> None:
        self._reduce = reduce

    def initial_state(self) -> Book:
        return self.start

    @reduces(Written)
    def write(self, state: Book, event: Written) -> Book:
        return self._reduce(state, event)


def fault_of(reduce: Reduce) -> ImpureReducer:
    """What the checks say of a reducer."""
    driver = TreeDriver(BookModule(reduce), checked=True)
    with pytest.raises(ReducerError) as raised:
        driver.send(ROOM, Written(id="c", meta={"tags": ["y"]}))
    fault = raised.value.error
    assert isinstance(fault, ImpureReducer)
    return fault


def unchanged(state: Book, _: Any) -> Book:
    return state


MUTATIONS: list[tuple[Callable[[Book, Written], Any], str, str]] = [
    (lambda state, _: state.entries["b"].tags.append("z"), "changes its state", ".entries['b'].tags"),
    (lambda state, _: state.by_name["ada"].update(n=2), "changes its state", ".by_name['ada']"),
    (lambda state, _: state.log[1].clear(), "changes its state", ".log[1]"),
    (lambda state, _: state.seen.add("two"), "changes its state", ".seen"),
    (lambda _, event: event.meta.clear(), "changes its event", ".meta"),
    (lambda _, event: event.meta["tags"].append("z"), "changes its event", ".meta['tags']"),
]


@pytest.mark.parametrize(("mutate", "fault", "inside"), MUTATIONS)
def test_a_change_in_place_is_found_with_its_place(
    mutate: Callable[[Book, Written], Any], fault: str, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Book(
        entries=Entities([Entry("a"), Entry("b", ["x"])]),
        by_name=Map({"ada": {"n": 1}}),
        log=Log([[1], [2]]),
        seen={"one"},
    )
    monkeypatch.setattr(BookModule, "start", start)

    def reduce(state: Book, event: Written) -> Book:
        mutate(state, event)
        return state

    found = fault_of(reduce)

    assert (fault, inside) == (found.fault, found.inside)
    assert ("book", "written", ROOM) == (found.module, found.event, found.path)


def test_a_change_before_a_refusal_is_found() -> None:
    def reduce(_: Book, event: Written) -> Book:
        event.meta.clear()
        raise Rejected("no")

    assert "changes its event" == fault_of(reduce).fault


def test_chance_is_found() -> None:
    found = fault_of(lambda state, _: evolve(state, number=random.random()))

    assert ("gives another result", ".number") == (found.fault, found.inside)


def test_something_remembered_outside_is_found() -> None:
    counter = itertools.count(1)

    assert ".number" == fault_of(lambda state, _: evolve(state, number=next(counter))).inside


def test_a_reducer_that_refuses_only_sometimes_is_found() -> None:
    refusals = itertools.cycle([True, False])

    def reduce(state: Book, _: Written) -> Book:
        if next(refusals):
            raise Rejected("not now")
        return state

    assert "first Rejected: not now, then a state" == fault_of(reduce).detail


def test_secrets_are_not_told() -> None:
    counter = itertools.count(1)
    found = fault_of(lambda state, _: evolve(state, secret=Secret(f"hunter{next(counter)}")))

    assert "hunter" not in str(found)


def test_what_a_pure_reducer_does_is_not_touched() -> None:
    driver = TreeDriver(
        BookModule(lambda state, event: evolve(state, entries=state.entries.add(Entry(event.id)))),
        checked=True,
    )

    driver.send(ROOM, Written(id="c"))

    assert ("a", "b", "c") == driver.state(BookModule, of=ROOM).entries.ids()


def test_a_refusal_stays_one() -> None:
    def reduce(_: Book, event: Written) -> Book:
        raise Rejected("never")

    with pytest.raises(Rejected, match="never"):
        TreeDriver(BookModule(reduce), checked=True).send(ROOM, Written(id="c"))


def test_without_checks_nothing_stands_in_the_way() -> None:
    driver = TreeDriver(BookModule(lambda state, _: evolve(state, number=random.random())))

    driver.send(ROOM, Written(id="c"))

    assert "reduce" not in vars(driver.tree)


def test_once_stopped_nothing_is_found_any_more() -> None:
    driver = TreeDriver(BookModule(lambda state, _: evolve(state, number=random.random())))
    found: list[ImpureReducer] = []
    stop = check_reducers(driver.tree, found.append)
    driver.send(ROOM, Written(id="c"))
    stop()
    stop()

    driver.send(ROOM, Written(id="d"))

    assert 1 == len(found)
    assert "reduce" not in vars(driver.tree)


def test_a_tree_is_checked_once_at_a_time() -> None:
    driver = TreeDriver(BookModule(unchanged), checked=True)

    with pytest.raises(StateError, match="being checked already"):
        check_reducers(driver.tree, lambda _: None)


def test_nothing_is_loaded_to_be_looked_at() -> None:
    def load() -> list[Any]:
        raise AssertionError("it was loaded")

    log = Log.from_chunks([LazyChunk(4, load), Chunk([[1]])], chunk_size=4)

    parts = Parts(log)
    log[4].append(2)

    assert "[4]" == parts.changed()


def test_a_value_in_itself_is_looked_at_once() -> None:
    value: list[Any] = [Set(["a"])]
    value.append(value)
    parts = Parts(value)

    assert parts.changed() is None


@attrs.define
class Holder:
    value: int


class Plain:
    def __init__(self) -> None:
        self.value = 1


@pytest.mark.parametrize("value", [Holder(1), Plain(), bytearray(b"a")])
def test_other_things_that_can_be_changed_are_looked_at(value: Any) -> None:
    parts = Parts(attrs.make_class("Around", ["inner"], frozen=True)((value,)))

    if isinstance(value, bytearray):
        value.append(1)
    else:
        value.value = 2

    assert ".inner[0]" == parts.changed()
