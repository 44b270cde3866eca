"""Events of many records: the same together as one by one, whatever is wrong with some."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.change import Record
from eliza_state.codec import encode
from eliza_state.decoding import BATCH, in_batches, read_event, read_events
from eliza_state.event import event
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.tree import Tree
from tests.effort import examples


@event("counted")
class Counted:
    number: int
    extra: Any = None


@event("renamed", version=2, upcasters={1: lambda old: {"name": old["title"]}})
class Renamed:
    name: str

    def __attrs_post_init__(self) -> None:
        if self.name == "boom":
            raise ZeroDivisionError("a bug")


class CountModule(StateModule[int]):
    name = "count"
    level = "global"

    def initial_state(self) -> int:
        return 0

    @reduces(Counted, Renamed)
    def count(self, state: int, event: Any) -> int:
        return state + 1


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree([CountModule()])


def record(name: str, content: Any, *, version: int = 1, position: int = 1) -> Record:
    return Record(position, b"key", Path(), position, name, version, content, 0, "here")


RECORDS = st.sampled_from(
    [
        record("counted", encode(Counted(number=1))),
        record("counted", encode(Counted(number=2, extra={"a": (1, b"2")}))),
        record("counted", b'{"number":"text"}'),
        record("counted", b"no JSON"),
        record("counted", b'{"number":1},{"number":2}'),
        record("counted", b""),
        record("counted", Counted(number=3)),
        record("counted", b"{}", version=9),
        record("renamed", b'{"name":"a"}', version=2),
        record("renamed", b'{"name":"boom"}', version=2),
        record("renamed", b'{"title":"b"}'),
        record("renamed", b'{"titel":"b"}'),
        record("nobody's", b"{}"),
        record("", b"damaged"),
    ]
)


@settings(max_examples=examples(150), deadline=None)
@given(kinds=st.lists(RECORDS, max_size=12))
def test_records_give_the_events_that_each_gives_alone(tree: Tree, kinds: list[Record]) -> None:
    records = [record._replace(position=position) for position, record in enumerate(kinds, 1)]
    together: list[Problem] = []
    alone: list[Problem] = []

    expected = [read_event(tree, each, alone.append) for each in records]

    assert expected == read_events(tree, records, together.append)
    assert [(problem.kind, problem.message) for problem in alone] == [
        (problem.kind, problem.message) for problem in together
    ]


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, 3 * BATCH])
def test_batches_hold_all_records_in_order(count: int) -> None:
    records = [record("counted", b"{}", position=position) for position in range(count)]
    batches = list(in_batches(iter(records)))

    assert records == [each for batch in batches for each in batch]
    assert all(0 < len(batch) <= BATCH for batch in batches)
