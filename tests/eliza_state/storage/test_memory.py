"""Storages in memory: all that every storage promises, and what bounds on room do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from eliza_serializers import SerializationError
from eliza_state.errors import StoreError
from eliza_state.storage import LruMemoryStorage, MemoryStorage
from eliza_state.storage.backend import GONE, Write
from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.table import SLOT_BYTES
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import BackendContract, StorageContract


class TestMemoryStorage(StorageContract, BackendContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[MemoryStorage[Any]]:
        async with MemoryStorage[Any](clock=clock) as storage:
            yield storage


class TestSharingMemoryStorage(StorageContract, BackendContract):
    shares_values = True

    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[MemoryStorage[Any]]:
        async with MemoryStorage[Any](share=True, clock=clock) as storage:
            yield storage


class TestLruMemoryStorage(StorageContract, BackendContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[LruMemoryStorage[Any]]:
        async with LruMemoryStorage[Any](max_entries=10_000, clock=clock) as storage:
            yield storage


@attrs.frozen
class Point:
    x: int
    y: int = 0


# what is in it from the start


async def test_a_seed_is_there_from_the_start():
    storage = MemoryStorage({"a": 1, "a/b": None})

    assert {"a": 1, "a/b": None} == dict([entry async for entry in storage.entries()])


async def test_a_seed_is_no_part_of_the_storage():
    seed = {"a": [1]}
    storage = MemoryStorage(seed)
    await storage.set("b", [2])
    seed["a"].append(3)

    assert [1] == await storage.get("a")
    assert {"a": [1, 3]} == seed


async def test_a_seed_has_the_default_time_to_live():
    clock = ManualClock()
    storage = MemoryStorage({"a": 1}, ttl_ms=1_000, clock=clock)
    before = await storage.has("a")
    clock.advance(ms=1_000)

    assert (True, False) == (before, await storage.has("a"))


def test_a_bad_seed_is_refused():
    with pytest.raises(InvalidKey):
        MemoryStorage({"": 1})
    with pytest.raises(SerializationError):
        MemoryStorage({"a": object()})


@pytest.mark.parametrize(("ttl_ms", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError)])
def test_an_absurd_default_time_to_live_is_refused(ttl_ms, error):
    with pytest.raises(error):
        MemoryStorage(ttl_ms=ttl_ms)


# values


async def test_what_cannot_change_is_shared_and_the_rest_made_anew():
    storage = MemoryStorage()
    fixed, changing = (1, ("a", b"b")), [1]
    await storage.set_many({"fixed": fixed, "changing": changing})

    assert fixed is await storage.get("fixed")
    assert await storage.get("changing") is not await storage.get("changing")


async def test_a_storage_that_shares_hands_out_the_object_itself():
    storage = MemoryStorage(share=True)
    value = object()
    await storage.set("a", value)

    assert value is await storage.get("a")


async def test_values_may_all_be_of_one_type():
    storage = MemoryStorage[Point](value_type=Point)
    await storage.set("a", Point(1))

    assert Point(1) == await storage.get("a")
    with pytest.raises(SerializationError):
        await storage.set("b", "no point")


# versions and figures


async def test_a_key_made_anew_at_the_same_moment_has_a_higher_version():
    clock = ManualClock()
    storage = MemoryStorage(clock=clock)
    first = await storage.set("a", 1)
    await storage.delete("a")
    second = await storage.set("a", 1)
    await storage.clear()
    clock.advance(ms=-1_000)
    third = await storage.set("a", 1)

    assert first < second < third


async def test_a_copy_with_a_high_version_is_not_forgotten_either():
    storage = MemoryStorage()
    await storage.backend.write([Write("a", 1, version=10**17)])
    await storage.delete("a")

    assert 10**17 < await storage.set("a", 2)


async def test_the_size_counts_entries_of_all_namespaces_until_they_go():
    clock = ManualClock()
    storage = MemoryStorage({"a": 1}, clock=clock)
    await storage.namespace("n").set("a", 1, ttl_ms=1)
    clock.advance(ms=5_000)
    before = storage.size
    await storage.sweep()

    assert (2, 1) == (before, storage.size)


async def test_a_write_drops_some_that_are_past_their_deadline():
    clock = ManualClock()
    storage = MemoryStorage(clock=clock)
    await storage.set_many({f"dead {number}": 1 for number in range(8)}, ttl_ms=1_000)
    clock.advance(ms=60_000)
    sizes = []
    for number in range(3):
        await storage.set(f"new {number}", 1)
        sizes.append(storage.size)

    assert [5, 2, 3] == sizes


async def test_a_sweep_goes_on_past_more_than_one_page():
    clock = ManualClock()
    storage = MemoryStorage(clock=clock)
    await storage.set_many({str(number): 1 for number in range(10_500)}, ttl_ms=1_000)
    clock.advance(ms=60_000)

    assert 10_500 == await storage.sweep()
    assert 0 == storage.size


async def test_a_closed_storage_holds_nothing():
    storage = LruMemoryStorage({"a": 1}, max_bytes=10_000)
    await storage.close()

    assert (0, 0) == (storage.size, storage.size_bytes)
    with pytest.raises(StoreError, match="the storage is closed; make a new one"):
        await storage.get("a")


# the least recently used


async def remaining(storage):
    return sorted([key async for key in storage.keys()])


async def test_what_was_not_used_for_longest_goes_first():
    storage = LruMemoryStorage(max_entries=2)
    for key in "abc":
        await storage.set(key, key)

    assert ["b", "c"] == await remaining(storage)
    assert (2, 1) == (storage.size, storage.evicted)


@pytest.mark.parametrize(
    ("use", "left"),
    [
        (lambda storage: storage.get("a"), ["a", "c"]),
        (lambda storage: storage.get_many(["a"]), ["a", "c"]),
        (lambda storage: storage.set("a", 2), ["a", "c"]),
        (lambda storage: storage.update("a", lambda value: value + 1), ["a", "c"]),
        (lambda storage: storage.has("a"), ["b", "c"]),
        (lambda storage: storage.mark("a"), ["b", "c"]),
        (lambda storage: storage.delete("missing"), ["b", "c"]),
    ],
    ids=["get", "get_many", "set", "update", "has", "mark", "delete"],
)
async def test_getting_and_setting_is_use(use, left):
    storage = LruMemoryStorage({"a": 1, "b": 1}, max_entries=2)
    await use(storage)
    await storage.set("c", 1)

    assert left == await remaining(storage)


async def test_a_deleted_key_makes_room():
    storage = LruMemoryStorage({"a": 1, "b": 1}, max_entries=2)
    await storage.delete("b")
    await storage.set("c", 1)

    assert ["a", "c"] == await remaining(storage)
    assert 0 == storage.evicted


async def test_the_dead_go_before_the_living():
    clock = ManualClock()
    storage = LruMemoryStorage({"old": 1}, max_entries=2, clock=clock)
    await storage.set("dead", 1, ttl_ms=1_000)
    clock.advance(ms=10_000)
    await storage.set("new", 1)

    assert (["new", "old"], 0) == (await remaining(storage), storage.evicted)


async def test_bytes_are_bounded_by_what_values_take():
    storage = LruMemoryStorage(max_bytes=3 * SLOT_BYTES + 3_000)
    for key in "abc":
        await storage.set(key, key * 1_400)
        assert storage.size_bytes <= 3 * SLOT_BYTES + 3_000

    assert ["b", "c"] == await remaining(storage)


async def test_an_overwrite_by_something_larger_makes_others_go():
    storage = LruMemoryStorage({"a": "x", "b": "x", "c": "x"}, max_bytes=3 * SLOT_BYTES + 1_000)
    await storage.set("c", "x" * 1_300)

    assert ["b", "c"] == await remaining(storage)


async def test_what_is_larger_than_the_bound_makes_no_other_go():
    storage = LruMemoryStorage({"a": 1, "b": 2}, max_bytes=2 * SLOT_BYTES + 100)
    await storage.set("b", "x" * 5_000)

    assert ["a"] == await remaining(storage)
    assert 1 == storage.evicted


async def test_a_tombstone_takes_room_too():
    storage = LruMemoryStorage(max_entries=2)
    version = await storage.set("a", 1)
    await storage.delete("a", expected_version=version)
    await storage.set_many({"b": 1, "c": 1})

    assert ["b", "c"] == await remaining(storage)
    assert 0 == len(await storage.backend.look(["a"]))


@pytest.mark.parametrize(
    "options", [{}, {"max_entries": 0}, {"max_bytes": -1}, {"share": True, "max_bytes": 9}]
)
def test_a_bound_is_needed_that_makes_sense(options):
    with pytest.raises(ValueError, match=r"bound|bytes"):
        LruMemoryStorage(**options)


async def test_a_backend_in_memory_answers_at_once():
    backend = MemoryStorage({"a": [1]}).backend
    await backend.write([Write("gone", GONE, 2**50, 1)])

    assert [1] == backend.at_hand("a").value
    assert GONE is backend.at_hand("gone").value
    assert (True, False) == (backend.is_inline, backend.is_durable)
