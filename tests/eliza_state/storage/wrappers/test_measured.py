"""Measured storages: what was asked, what came of it, how long it took; and nothing else changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest

from eliza_state.errors import StoreError
from eliza_state.storage import LruMemoryStorage, MemoryStorage, Storage
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import DamagedValue, StaleValue
from eliza_state.storage.wrappers.compression import Compression
from eliza_state.storage.wrappers.limit import SizeLimit
from eliza_state.storage.wrappers.measured import MeasuredStorage, Traffic, measured
from eliza_state.storage.wrappers.sliding import sliding
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.kept import Kept, storage_over

Use = Callable[[Storage[Any]], Awaitable[object]]


class TestMeasuredStorage(StorageContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with measured(MemoryStorage[Any](clock=clock)) as storage:
            yield storage


class TestMeasuredBytes(StorageContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with measured(storage_over(Kept(clock=clock))) as storage:
            yield storage


class Ticking:
    """A timer that goes on by a microsecond whenever it is looked at."""

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> int:
        self._now_ns += 1_000
        return self._now_ns


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["at hand", "read"])
def storage(request: pytest.FixtureRequest, clock: ManualClock) -> MeasuredStorage[Any]:
    """A measured storage whose values are at hand, and one that has to be asked."""
    inner = MemoryStorage[Any](clock=clock)
    return measured(inner if request.param == "at hand" else sliding(inner), timer=Ticking())


async def drained(values: AsyncIterator[Any]) -> Sequence[Any]:
    return [value async for value in values]


async def test_hits_and_misses_are_keys_that_were_read(storage: MeasuredStorage[Any]) -> None:
    await storage.set_many({"a": 1, "b": None})
    await storage.get("a")
    await storage.get("b")
    await storage.get("c")
    await storage.get_many(["a", "c", "d"])

    assert (3, 3) == (storage.statistics.hits, storage.statistics.misses)
    assert 0.5 == storage.statistics.hit_rate


async def test_a_key_past_its_deadline_is_missed(storage: MeasuredStorage[Any], clock: ManualClock) -> None:
    await storage.set("a", 1, ttl_ms=10)
    clock.advance(ms=10)
    await storage.get("a")

    assert (0, 1) == (storage.statistics.hits, storage.statistics.misses)


async def test_looking_is_no_reading(storage: MeasuredStorage[Any]) -> None:
    await storage.has("a")

    assert None is storage.statistics.hit_rate
    assert {"look"} == set(storage.statistics.latencies)


async def test_sets_and_deletes_are_keys_that_changed(storage: MeasuredStorage[Any]) -> None:
    await storage.set_many({"a": 1, "b": 2, "c": 3, "d": 4})
    await storage.delete("a")
    await storage.delete("a")
    await storage.delete_many(["b", "e"])
    await storage.update("c", lambda _: GONE)

    assert (4, 3) == (storage.statistics.sets, storage.statistics.deletes)


async def test_a_lost_race_is_an_error(storage: MeasuredStorage[Any]) -> None:
    await storage.set("a", 1)
    with pytest.raises(StaleValue):
        await storage.set("a", 2, expected_version=0)

    assert {"StaleValue": 1} == storage.statistics.errors
    assert 1 == storage.statistics.sets


@pytest.mark.parametrize(
    "use",
    [
        lambda storage: storage.get("a"),
        lambda storage: storage.has("a"),
        lambda storage: storage.set("a", 1),
        lambda storage: storage.delete("a"),
        lambda storage: storage.touch("a"),
        lambda storage: storage.clear(),
        lambda storage: storage.sweep(),
        lambda storage: drained(storage.keys()),
    ],
)
async def test_errors_are_counted_by_kind_and_raised(use: Use) -> None:
    inner = MemoryStorage[Any]()
    storage = measured(inner)
    await inner.close()
    with pytest.raises(StoreError):
        await use(storage)

    assert {"StoreError": 1} == storage.statistics.errors


async def test_a_damaged_value_at_hand_is_counted() -> None:
    kept = Kept()
    storage = measured(storage_over(kept))
    kept.plant("a", b"nonsense")
    with pytest.raises(DamagedValue):
        await storage.get("a")

    assert {"DamagedValue": 1} == storage.statistics.errors


async def test_a_value_that_is_refused_is_counted() -> None:
    storage = measured(storage_over(Kept(), SizeLimit(10)))
    with pytest.raises(ValueError, match="10"):
        await storage.set("a", "x" * 100)

    assert (0, {"ValueTooLarge": 1}) == (storage.statistics.sets, storage.statistics.errors)


async def test_bytes_are_those_that_are_stored() -> None:
    kept = Kept()
    storage = measured(storage_over(kept, Compression()))
    await storage.set("a", "word " * 1_000)
    await storage.get("a")
    await storage.get_many(["a", "b"])
    size_bytes = len(kept.content("a"))

    assert Traffic(2 * size_bytes, size_bytes) == storage.statistics.traffic


async def test_bytes_are_unknown_where_values_are_kept(storage: MeasuredStorage[Any]) -> None:
    await storage.set("a", 1)

    assert None is storage.statistics.traffic


async def test_each_operation_has_its_latency(storage: MeasuredStorage[Any]) -> None:
    await storage.set("a", 1)
    await storage.get("a")
    await storage.get("b")
    await storage.has("a")
    await storage.touch("a")
    await storage.delete("a")
    await drained(storage.keys())
    await storage.sweep()
    await storage.flush()
    await storage.clear()
    latencies = storage.statistics.latencies

    assert {"read", "look", "write", "remove", "touch", "scan", "clear", "sweep", "flush"} == set(latencies)
    assert 2 == latencies["read"].count
    assert {1} == {latencies[name].max_us for name in ("look", "write", "touch", "remove")}


async def test_pages_are_timed_without_what_is_done_with_them(storage: MeasuredStorage[Any]) -> None:
    await storage.set_many({f"k{index}": index for index in range(2_500)})
    async for key in storage.keys():
        await storage.has(key)

    assert 4 == storage.statistics.latencies["scan"].count
    assert 1 == storage.statistics.latencies["scan"].max_us


async def test_namespaces_count_together(storage: MeasuredStorage[Any]) -> None:
    await storage.namespace("a").set("k", 1)
    await storage.namespace("b").set("k", 1)

    assert 2 == storage.statistics.sets
    assert storage.statistics == storage.namespace("a").statistics


async def test_what_goes_past_it_is_not_counted() -> None:
    inner = MemoryStorage[int]()
    storage = measured(inner)
    await inner.set("a", 1)

    assert 1 == await storage.get("a")
    assert 0 == storage.statistics.sets


async def test_reset_begins_anew(storage: MeasuredStorage[Any]) -> None:
    empty = storage.statistics
    await storage.set("a", 1)
    await storage.get("a")
    storage.reset()

    assert empty == storage.statistics


async def test_statistics_are_a_value(storage: MeasuredStorage[Any]) -> None:
    before = storage.statistics
    await storage.set("a", 1)

    assert 0 == before.sets
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before.sets = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        before.errors["a"] = 1  # type: ignore[index]


async def test_namespace_and_default_time_to_live_stay(clock: ManualClock) -> None:
    storage = measured(MemoryStorage[int](ttl_ms=10, clock=clock).namespace("room"))
    await storage.set("a", 1)
    clock.advance(ms=10)

    assert ("room",) == storage.names
    assert None is await storage.get("a")


async def test_a_measured_read_is_a_use() -> None:
    inner = LruMemoryStorage[int]({"a": 1, "b": 2}, max_entries=2)
    await measured(inner).get("a")
    await inner.set("c", 3)

    assert {"a", "c"} == set(await drained(inner.keys()))


async def test_sliding_around_it_still_has_statistics() -> None:
    storage = sliding(measured(MemoryStorage[int](ttl_ms=1_000)))
    await storage.set("a", 1)
    await storage.get("a")

    assert 1 == storage.statistics.hits
    assert 1 == storage.statistics.latencies["touch"].count
