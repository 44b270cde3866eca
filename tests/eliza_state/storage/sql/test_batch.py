"""Many operations on a key become one change of its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.storage.backend import GONE, Mark, Write
from eliza_state.storage.sql.batch import Batch, Changes, Overwriting

NOW_US = 5_000_000
NOW_MS = NOW_US // 1_000
NOTHING = Changes([], [], [], [])


def batch_of(**found: Mark) -> Batch:
    return Batch(found, now_us=NOW_US)


def applied(changes: Changes, found: Mapping[str, Mark]) -> dict[str, Mark]:
    """Do with marks what a database does with rows; each change must be of the right kind."""
    marks = dict(found)
    for place in changes.gone:
        del marks["".join(place)]
    for row in (*changes.new, *changes.changed):
        space, name, value, version, deadline_ms, ttl_ms, updated_at_ms = row
        assert (space + name in marks) == (row in changes.changed)
        assert updated_at_ms == NOW_MS
        marks[space + name] = Mark(version, deadline_ms, ttl_ms, value is None)
    for space, name, deadline_ms in changes.rolled:
        marks[space + name] = marks[space + name]._replace(deadline_ms=deadline_ms)
    return marks


# Operations


def test_the_last_of_several_writes_is_what_is_stored() -> None:
    batch = batch_of()
    first, second = batch.put(Write("a", b"1")), batch.put(Write("a", b"2"))

    assert (NOW_US, NOW_US + 1) == (first.version, second.version)
    assert NOTHING._replace(new=[("", "a", b"2", NOW_US + 1, None, None, NOW_MS)]) == batch.changes()


def test_a_later_write_sees_the_version_of_an_earlier_one() -> None:
    batch = batch_of()
    first = batch.put(Write("a", b"1"))
    stale, fitting = (
        batch.put(Write("a", b"2", expected=0)),
        batch.put(Write("a", b"3", expected=first.version)),
    )

    assert (False, first.version) == (stale.is_stored, stale.version)
    assert fitting.is_stored
    assert [b"3"] == [row[2] for row in batch.changes().new]


def test_what_is_made_and_removed_leaves_nothing() -> None:
    batch = batch_of()
    batch.put(Write("a", b"1"))

    assert batch.remove("a", dead_only=False)
    assert NOTHING == batch.changes()


def test_what_is_removed_and_made_anew_is_changed() -> None:
    batch = batch_of(a=Mark(7))
    batch.remove("a", dead_only=False)
    batch.put(Write("a", b"1", expected=0))

    assert NOTHING._replace(changed=[("", "a", b"1", NOW_US, None, None, NOW_MS)]) == batch.changes()


def test_a_touch_rolls_the_deadline_and_writes_no_value() -> None:
    batch = batch_of(a=Mark(7, NOW_MS + 10, 500), b=Mark(7), c=Mark(7, NOW_MS, 500))

    assert (True, True, False) == (batch.touch("a"), batch.touch("b"), batch.touch("c"))
    assert NOTHING._replace(rolled=[("", "a", NOW_MS + 500)]) == batch.changes()


def test_a_touch_of_what_is_written_is_part_of_it() -> None:
    batch = batch_of()
    batch.put(Write("a", b"1", NOW_MS + 10, 500))
    batch.touch("a")

    assert [("", "a", b"1", NOW_US, NOW_MS + 500, 500, NOW_MS)] == batch.changes().new


def test_a_write_that_keeps_the_deadline_keeps_the_one_that_a_touch_left() -> None:
    batch = batch_of(a=Mark(7, NOW_MS + 10, 500))
    batch.touch("a")
    batch.put(Write("a", b"1", NOW_MS + 10, 500, expected=7, keeps_deadline=True))

    assert [NOW_MS + 500] == [row[4] for row in batch.changes().changed]


def test_a_tombstone_is_a_row_without_a_value() -> None:
    batch = batch_of(a=Mark(7))
    batch.put(Write("a", GONE, NOW_MS + 10, 10))

    assert [("", "a", None, NOW_US, NOW_MS + 10, 10, NOW_MS)] == batch.changes().changed
    assert not batch.touch("a")


def test_only_live_ones_count_as_removed() -> None:
    batch = batch_of(live=Mark(7), dead=Mark(7, NOW_MS), gone=Mark(7, NOW_MS + 1, 1, is_gone=True))
    told = [batch.remove(key, dead_only=False) for key in ("live", "dead", "gone", "missing", "live")]

    assert [True, False, False, False, False] == told
    assert [("", "dead"), ("", "gone"), ("", "live")] == batch.changes().gone


def test_changes_are_in_the_order_of_keys() -> None:
    batch = batch_of()
    for key in ("b", "s/b", "a", "s/a"):
        batch.put(Write(key, b""))

    assert [("", "a"), ("", "b"), ("s/", "a"), ("s/", "b")] == [row[:2] for row in batch.changes().new]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put with a deadline", "tombstone", "expect nothing", "remove", "touch"]),
        st.sampled_from("abc"),
    ),
    max_size=12,
)
RUN: dict[str, Callable[[Batch, str], Any]] = {
    "put": lambda batch, key: batch.put(Write(key, b"1")),
    "put with a deadline": lambda batch, key: batch.put(Write(key, b"2", NOW_MS + 10, 500)),
    "tombstone": lambda batch, key: batch.put(Write(key, GONE, NOW_MS + 10, 10)),
    "expect nothing": lambda batch, key: batch.put(Write(key, b"3", expected=0)),
    "remove": lambda batch, key: batch.remove(key, dead_only=False),
    "touch": lambda batch, key: batch.touch(key),
}


@given(operations=OPERATIONS)
def test_one_batch_leaves_what_as_many_batches_leave(operations: list[tuple[str, str]]) -> None:
    found = {"a": Mark(7), "b": Mark(8, NOW_MS + 10, 500)}
    together, each = Batch(found, now_us=NOW_US), found
    for name, key in operations:
        told = RUN[name](together, key)
        alone = Batch(each, now_us=NOW_US)
        assert told == RUN[name](alone, key)
        each = applied(alone.changes(), each)

    assert each == applied(together.changes(), found)


# Whether it was stored

STORED = Mark(NOW_US)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ({"a": STORED}, True),
        ({"a": Mark(7)}, False),
        ({}, None),
        ({"a": Mark(NOW_US + 9)}, None),
    ],
    ids=["as it should be", "as it was", "removed by others", "written by others"],
)
def test_a_version_tells_whether_a_change_was_stored(found: dict[str, Mark], answer: bool | None) -> None:
    batch = batch_of(a=Mark(7))
    batch.put(Write("a", b"1"))

    assert answer is batch.was_stored(found)


def test_one_key_tells_it_for_all() -> None:
    batch = batch_of(a=Mark(7), b=Mark(8))
    batch.put(Write("a", b"1"))
    batch.put(Write("b", b"1"))
    others = Mark(NOW_US + 9)

    assert batch.was_stored({"a": STORED, "b": others}) is True
    assert batch.was_stored({"a": others, "b": Mark(8)}) is False


def test_a_key_that_was_not_there_and_is_not_tells_nothing() -> None:
    """It may have been made, and removed by others."""
    batch = batch_of(b=Mark(8))
    batch.put(Write("a", b"1"))
    alone = batch.was_stored({"b": Mark(8)})
    batch.put(Write("b", b"1"))

    assert (None, False) == (alone, batch.was_stored({"b": Mark(8)}))


def test_a_removal_was_stored_if_nothing_is_there() -> None:
    batch = batch_of(a=Mark(7))
    batch.remove("a", dead_only=False)

    assert (True, False) == (batch.was_stored({}), batch.was_stored({"a": Mark(7)}))


def test_what_changed_nothing_was_stored() -> None:
    batch = batch_of(a=Mark(7))
    batch.put(Write("a", b"1", expected=3))

    assert batch.was_stored({"a": Mark(9)}) is True


# Overwriting


def test_rows_that_overwrite_are_in_the_order_of_keys() -> None:
    writes = [Write("s/b", b"1"), Write("a", GONE, NOW_MS + 10, 10), Write[bytes]("s/a", b"2")]
    rows = Overwriting(writes, now_us=NOW_US).rows()

    assert [
        ("", "a", None, NOW_US, NOW_MS + 10, 10, NOW_MS),
        ("s/", "a", b"2", NOW_US, None, None, NOW_MS),
        ("s/", "b", b"1", NOW_US, None, None, NOW_MS),
    ] == rows


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ({"a": STORED, "b": Mark(NOW_US + 9)}, True),
        ({"a": STORED, "b": Mark(NOW_US - 1)}, False),
        ({"a": Mark(NOW_US + 9)}, None),
        ({"a": Mark(NOW_US + 9), "b": Mark(NOW_US + 9)}, None),
        ({}, None),
    ],
)
def test_the_least_version_tells_whether_rows_were_overwritten(
    found: dict[str, Mark], answer: bool | None
) -> None:
    overwriting = Overwriting([Write("a", b"1"), Write("b", b"1")], now_us=NOW_US)

    assert answer is overwriting.was_stored(found)
