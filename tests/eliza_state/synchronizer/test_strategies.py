"""What the strategies make of two values that were written concurrently."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from eliza_state.collections import Entities, Map, Set
from eliza_state.errors import StateError
from eliza_state.synchronizer import (
    Counters,
    KeepBoth,
    Keyed,
    LastWrite,
    MergeWith,
    Siblings,
    Union,
    sync,
    written,
)


@attrs.frozen
class Note:
    id: str
    text: str
    at: int = 0


def merge(
    strategy: Any, local: Any, remote: Any, *, times: tuple[int, int] = (1, 2)
) -> tuple[Any, list[str]]:
    ours = written({"x": local}, writer="a", at_us=times[0])
    theirs = written({"x": remote}, writer="b", at_us=times[1])
    one, other = (
        sync(ours, theirs, strategies={"x": strategy}),
        sync(theirs, ours, strategies={"x": strategy}),
    )

    assert one.result == other.result
    return one.result.state["x"], [conflict.why for conflict in one.conflicts]


def test_the_last_write_is_the_later_one():
    assert (2, ["the last write, by 'b'"]) == merge(LastWrite(), 1, 2)
    assert (1, ["the last write, by 'a'"]) == merge(LastWrite(), 1, 2, times=(9, 2))


def test_of_two_writes_at_one_time_the_writers_name_decides():
    assert (1, ["the last write, by 'b'"]) == merge(LastWrite(), 2, 1, times=(5, 5))


@pytest.mark.parametrize("kind", [set, frozenset, Set])
def test_a_union_holds_what_either_holds(kind):
    assert (kind([1, 2, 3]), []) == merge(Union(), kind([1, 2]), kind([2, 3]))


@pytest.mark.parametrize("kind", [dict, Map])
def test_keys_of_both_are_kept(kind):
    assert (kind({"a": 1, "b": 2}), []) == merge(Keyed(), kind({"a": 1}), kind({"b": 2}))


def test_entities_of_both_are_kept_in_the_order_of_their_time():
    local = Entities([Note("n2", "two", at=2), Note("n9", "nine", at=9)])
    remote = Entities([Note("n5", "five", at=5)])

    merged, why = merge(Keyed(at="at"), local, remote)

    assert (("n2", "n5", "n9"), []) == (merged.ids(), why)


def test_of_two_entities_with_one_id_the_later_is_taken_and_told():
    local, remote = Entities([Note("n", "old", at=1)]), Entities([Note("n", "new", at=2)])

    assert (Entities([Note("n", "new", at=2)]), ["each id's later value, of ['n']"]) == merge(
        Keyed(at="at"), local, remote
    )


def test_counts_are_each_writers_own():
    assert ({"a": 5, "b": 4}, []) == merge(Counters(), {"a": 5, "b": 1}, {"a": 3, "b": 4})


def test_both_are_kept_side_by_side_until_one_is_written():
    ours, theirs = written({"x": "tea"}, writer="a", at_us=1), written({"x": "coffee"}, writer="b", at_us=2)
    keep = {"x": KeepBoth()}

    kept = sync(ours, theirs, strategies=keep).result
    settled = kept.change({"x": "water"}, writer="a", at_us=3)

    assert Siblings(("tea", "coffee")) == kept.state["x"]
    assert {"x": "water"} == sync(settled, theirs, strategies=keep).result.state
    assert {"x": "water"} == sync(kept, settled, strategies=keep).result.state


def test_a_third_value_joins_the_two():
    values = [written({"x": value}, writer=value, at_us=number) for number, value in enumerate("abc")]
    keep = {"x": KeepBoth()}

    two = sync(values[0], values[1], strategies=keep).result

    assert Siblings(("a", "b", "c")) == sync(two, values[2], strategies=keep).result.state["x"]


def test_a_function_of_the_application_merges():
    assert (7, ["merged by the application"]) == merge(MergeWith(max), 3, 7)


@pytest.mark.parametrize(
    ("strategy", "local", "remote"),
    [(Union(), [1], [2]), (Union(), {1}, frozenset({2})), (Keyed(), {1}, {2}), (Counters(), 1, 2)],
)
def test_values_that_a_strategy_is_not_made_for_are_refused(strategy, local, remote):
    with pytest.raises(StateError, match="are merged so"):
        merge(strategy, local, remote)
