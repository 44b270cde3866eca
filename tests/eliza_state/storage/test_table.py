"""The table: expiry and eviction at a constant cost a key, counted in slots that are looked at."""

from __future__ import annotations

import gc
import tracemalloc
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.storage.backend import Entry
from eliza_state.storage.table import BUCKET_MS, Table, room_of

FAR_MS = 1_000 * BUCKET_MS


def put(table, key, *, deadline_ms=None, now_ms=0, size_bytes=1):
    table.put(key, Entry(key, 1, deadline_ms, deadline_ms), size_bytes=size_bytes, now_ms=now_ms)


def roll(table, key, *, deadline_ms):
    """Give a key another deadline as touching does: without the table."""
    slot = table.slots[key]
    slot.entry = slot.entry._replace(deadline_ms=deadline_ms)


# deadlines


def test_an_entry_goes_when_its_bucket_is_due():
    table = Table()
    put(table, "a", deadline_ms=1)
    put(table, "b", deadline_ms=5 * BUCKET_MS)
    put(table, "c")

    assert ["a"] == table.expire(2 * BUCKET_MS, limit=10)
    assert (["b", "c"], 2) == (list(table.slots), table.size_bytes)


@pytest.mark.parametrize("deadline_ms", [1, BUCKET_MS - 1, BUCKET_MS, BUCKET_MS + 1])
def test_no_entry_goes_before_its_deadline_nor_much_after(deadline_ms):
    table = Table()
    put(table, "a", deadline_ms=deadline_ms)

    assert [] == table.expire(deadline_ms - 1, limit=10)
    assert ["a"] == table.expire(deadline_ms + BUCKET_MS, limit=10)


@pytest.mark.parametrize(
    ("deadlines", "gone_by"),
    [
        ((1, FAR_MS), FAR_MS + BUCKET_MS),
        ((FAR_MS, 1), BUCKET_MS),
        ((1, None), None),
        ((None, 1), BUCKET_MS),
        ((1, None, FAR_MS), FAR_MS + BUCKET_MS),
        ((FAR_MS, None, 1), BUCKET_MS),
    ],
)
def test_the_last_deadline_counts(deadlines, gone_by):
    table = Table()
    for deadline_ms in deadlines:
        put(table, "a", deadline_ms=deadline_ms)
    if gone_by is not None:
        assert [] == table.expire(gone_by - BUCKET_MS - 1, limit=10)

    assert ([] if gone_by is None else ["a"]) == table.expire(
        2 * FAR_MS if gone_by is None else gone_by, limit=9
    )


def test_a_deadline_that_was_rolled_on_takes_its_key_along():
    table = Table()
    put(table, "a", deadline_ms=1)
    roll(table, "a", deadline_ms=5 * BUCKET_MS)

    assert [] == table.expire(2 * BUCKET_MS, limit=10)
    assert ["a"] == table.expire(6 * BUCKET_MS, limit=10)


def test_a_dropped_key_that_is_put_again_has_its_new_deadline_only():
    table = Table()
    put(table, "a", deadline_ms=1)
    table.drop("a")
    put(table, "a", deadline_ms=FAR_MS)
    put(table, "b", deadline_ms=1)

    assert ["b"] == table.expire(2 * BUCKET_MS, limit=10)


def test_no_more_keys_are_looked_at_than_asked_for():
    table = Table()
    for number in range(10):
        put(table, str(number), deadline_ms=1)
    for number in range(0, 10, 2):
        roll(table, str(number), deadline_ms=FAR_MS)
    expired = [table.expire(2 * BUCKET_MS, limit=3) for _ in range(4)]

    assert {"1", "3", "5", "7", "9"} == {key for keys in expired for key in keys}
    assert all(len(keys) <= 3 for keys in expired)


def test_a_table_tells_whether_anything_is_due():
    table = Table()
    before = table.is_due(FAR_MS)
    put(table, "a", deadline_ms=1)
    due = (table.is_due(BUCKET_MS - 1), table.is_due(BUCKET_MS))
    table.expire(BUCKET_MS, limit=10)

    assert (False, (False, True), False) == (before, due, table.is_due(BUCKET_MS))


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "roll", "drop", "pass", "clear"]),
        st.sampled_from("abcd"),
        st.none() | st.integers(1, 8 * BUCKET_MS),
    ),
    max_size=40,
)


@given(steps)
def test_a_table_holds_what_is_not_past_its_deadline(taken):
    table, model, now_ms = Table(), {}, 0
    for kind, key, number in taken:
        if kind == "put":
            model[key] = None if number is None else now_ms + number
            put(table, key, deadline_ms=model[key], now_ms=now_ms)
        elif kind == "roll" and model.get(key) is not None and key in table.slots:
            model[key] = max(model[key], now_ms + (number or 1))
            roll(table, key, deadline_ms=model[key])
        elif kind == "drop":
            table.drop(key)
            model.pop(key, None)
        elif kind == "clear":
            table.clear()
            model.clear()
        else:
            now_ms += number or 1
        table.expire(now_ms, limit=1_000)
        alive = {key for key, deadline_ms in model.items() if deadline_ms is None or deadline_ms > now_ms}
        late = {
            key for key, deadline_ms in model.items() if deadline_ms and deadline_ms + BUCKET_MS <= now_ms
        }

        assert alive <= set(table.slots) <= set(model) - late
        assert len(table.slots) == table.size_bytes


# bounds


def test_the_least_recently_put_goes_first():
    table = Table(max_entries=2)
    for key in "abca":
        put(table, key)

    assert (["c", "a"], 2) == (list(table.slots), table.evicted)


def test_bytes_are_bounded():
    table = Table(max_bytes=100)
    for number in range(50):
        put(table, str(number), size_bytes=number % 40 + 1)
        assert table.size_bytes <= 100

    assert table.size_bytes == sum(slot.size_bytes for slot in table.slots.values())


def test_an_overwrite_counts_its_new_size():
    table = Table(max_bytes=100)
    put(table, "a", size_bytes=90)
    put(table, "a", size_bytes=10)
    put(table, "b", size_bytes=90)

    assert (["a", "b"], 100, 0) == (list(table.slots), table.size_bytes, table.evicted)


def test_what_is_larger_than_the_bound_is_gone_at_once():
    table = Table(max_bytes=100)
    put(table, "a", size_bytes=50)
    put(table, "b", size_bytes=50)
    put(table, "b", size_bytes=101, deadline_ms=1)

    assert (["a"], 50, 1) == (list(table.slots), table.size_bytes, table.evicted)
    assert [] == table.expire(FAR_MS, limit=10)


def test_dropping_gives_the_entry():
    table = Table()
    put(table, "a")

    assert "a" == table.drop("a").value
    assert table.drop("a") is None


@pytest.mark.parametrize(
    "bounds", [{"max_entries": 0}, {"max_bytes": 0}, {"max_entries": -1, "max_bytes": 1}]
)
def test_a_bound_of_nothing_is_refused(bounds):
    with pytest.raises(ValueError, match="a bound is at least 1"):
        Table(**bounds)


# cost


class CountedSlots(OrderedDict):
    """Slots that count how often one of them is looked at."""

    looks = 0

    def get(self, key, default=None):
        self.looks += 1
        return super().get(key, default)

    def __getitem__(self, key):
        self.looks += 1
        return super().__getitem__(key)

    def pop(self, key, default=None):
        self.looks += 1
        return super().pop(key, default)


def looks_a_key(count, *, work, **bounds):
    """Do work over a table of so many keys with deadlines; return the slots looked at, a key."""
    table = Table(**bounds)
    table.slots = slots = CountedSlots()
    work(table, count)
    return slots.looks / count


def expire_all(table, count):
    for number in range(count):
        put(table, str(number), deadline_ms=1 + number * 7 % FAR_MS)
    while table.slots:
        table.expire(2 * FAR_MS, limit=100)


def expire_in_passing(table, count):
    for number in range(count):
        put(table, str(number), deadline_ms=number + BUCKET_MS, now_ms=number)
    assert len(table.slots) < 4 * BUCKET_MS


def touch_all_for_long(table, count):
    for number in range(count):
        put(table, str(number), deadline_ms=BUCKET_MS)
    for _ in range(5):
        for slot in table.slots.values():
            slot.entry = slot.entry._replace(deadline_ms=FAR_MS)
    table.expire(FAR_MS - 1, limit=10 * count)
    assert len(table.slots) == count


def evict_with_deadlines(table, count):
    for number in range(count):
        put(table, str(number), deadline_ms=FAR_MS + number)


@pytest.mark.parametrize(
    ("work", "bounds", "most"),
    [
        (expire_all, {}, 4),
        (expire_in_passing, {}, 5),
        (touch_all_for_long, {}, 4),
        (evict_with_deadlines, {"max_entries": 100}, 4),
        (evict_with_deadlines, {"max_bytes": 100}, 4),
    ],
)
def test_a_key_costs_as_much_among_many_as_among_few(work, bounds, most):
    few, many = (looks_a_key(count, work=work, **bounds) for count in (2_000, 20_000))

    assert few <= most
    assert many <= most


def allocated(work):
    """Return how many more bytes are allocated after some work than before."""
    tracemalloc.start()
    try:
        work(50)  # whatever is made once
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        kept = work(10_000)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before, kept
    finally:
        tracemalloc.stop()


def test_keys_take_no_more_than_is_counted_for_them():
    def fill(count):
        table = Table()
        for number in range(count):
            key, value = f"session/{number}", bytes(100)
            size_bytes = room_of(key, FAR_MS) + len(value)
            entry = Entry(value, 1_700_000_000_000_000 + number, 1_700_000_000_000 + number, 86_400_000)
            table.put(key, entry, size_bytes=size_bytes, now_ms=0)
        return table

    taken_bytes, table = allocated(fill)

    assert taken_bytes <= table.size_bytes


def test_deadlines_of_keys_that_are_gone_take_no_room():
    def come_and_go(count):
        table = Table()
        for number in range(count):
            put(table, "a", deadline_ms=FAR_MS + number * BUCKET_MS)
            table.drop("a")
        return table

    taken_bytes, _ = allocated(come_and_go)

    assert taken_bytes < 20_000
