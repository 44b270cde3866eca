"""Deadlines of enhanced storages, beside values and in their envelopes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eliza_state.storage import MemoryStorage
from eliza_state.storage.disk.file import FileStorage
from eliza_state.storage.wrappers.enhanced import enhance_storage
from eliza_state.storage.wrappers.limit import SizeLimit
from eliza_state.storage.wrappers.measured import measured
from eliza_state.storage.wrappers.sliding import sliding
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.kept import Kept, Meddling, storage_over
from tests.eliza_state.storage.wrappers.enhancing import NOW, STEPS, Use, keys_of, now_ms


async def test_the_deadline_is_the_storages_own(own: MemoryStorage[Any], clock: ManualClock) -> None:
    storage = enhance_storage(own, migrations=STEPS)
    await storage.set("a", 1, ttl_ms=1_000)

    assert {"__v": 3, "data": 1} == await own.get("a")
    assert (now_ms(clock) + 1_000, 1_000) == (await own.entry("a") or pytest.fail("missing"))[2:]


async def test_a_migrated_value_keeps_its_times(own: MemoryStorage[Any], clock: ManualClock) -> None:
    await own.set("a", {}, ttl_ms=1_000)
    clock.advance(ms=400)
    before = await own.mark("a")
    await enhance_storage(own, migrations=STEPS).get("a")
    after = await own.mark("a")

    assert before is not None
    assert after is not None
    assert before[1:] == after[1:]


async def test_migrating_does_not_undo_a_touch(own: MemoryStorage[Any], clock: ManualClock) -> None:
    await own.set("a", {}, ttl_ms=1_000)
    clock.advance(ms=400)
    meddling = own.around(lambda backend: Meddling(backend, lambda: own.touch("a")))
    await enhance_storage(meddling, migrations=STEPS).get("a")

    assert {"__v": 3, "data": NOW} == await own.get("a")
    assert (now_ms(clock) + 1_000, 1_000) == (await own.mark("a") or pytest.fail("missing"))[1:3]


@pytest.mark.parametrize("legacy_expiry", [True, False])
async def test_a_deadline_in_an_envelope_becomes_the_storages_own(
    own: MemoryStorage[Any], clock: ManualClock, legacy_expiry: bool
) -> None:
    deadline_ms = now_ms(clock) + 10
    await own.set("a", {"__v": 3, "__exp": deadline_ms, "data": 1})
    storage = enhance_storage(own, migrations=STEPS, legacy_expiry=legacy_expiry)

    assert 1 == await storage.get("a")
    assert {"__v": 3, "data": 1} == await own.get("a")
    assert (deadline_ms, None) == (await own.entry("a") or pytest.fail("missing"))[2:]


@pytest.mark.parametrize(("inside_ms", "own_ms", "deadline_ms"), [(10, 20, 10), (20, 10, 10), (10, 10, 10)])
async def test_the_earlier_of_two_deadlines_counts(
    own: MemoryStorage[Any], clock: ManualClock, inside_ms: int, own_ms: int, deadline_ms: int
) -> None:
    await own.set("a", {"__v": 3, "__exp": now_ms(clock) + inside_ms, "data": 1}, ttl_ms=own_ms)
    entry = await enhance_storage(own, migrations=STEPS).entry("a")

    assert entry is not None
    assert now_ms(clock) + deadline_ms == entry.deadline_ms


async def test_moving_a_later_deadline_out_of_its_envelope_does_not_undo_a_touch(
    own: MemoryStorage[Any], clock: ManualClock
) -> None:
    await own.set("a", {"__v": 3, "__exp": now_ms(clock) + 10_000, "data": 1}, ttl_ms=1_000)
    clock.advance(ms=400)
    meddling = own.around(lambda backend: Meddling(backend, lambda: own.touch("a")))
    await enhance_storage(meddling, migrations=STEPS).get("a")

    assert {"__v": 3, "data": 1} == await own.get("a")
    assert (now_ms(clock) + 1_000, 1_000) == (await own.mark("a") or pytest.fail("missing"))[1:3]


async def test_a_deadline_that_could_not_be_moved_moves_with_the_migrated_value(
    kept: Kept, clock: ManualClock
) -> None:
    deadline_ms = now_ms(clock) + 10
    envelope = {"__v": 0, "__exp": deadline_ms, "data": "x" * 100}
    await storage_over(kept).set("a", envelope, ttl_ms=1_000)
    limited = storage_over(kept, SizeLimit(100))
    found = await enhance_storage(limited, migrations={1: len}).get("a")

    assert 100 == found
    assert {"__v": 1, "data": 100} == await limited.get("a")
    assert (deadline_ms, None) == (await limited.mark("a") or pytest.fail("missing"))[1:3]


OF_THE_DEAD: list[tuple[Use, Any]] = [
    (lambda storage: storage.get("a"), None),
    (lambda storage: storage.get_many(["a"]), {}),
    (lambda storage: storage.entry("a"), None),
    (lambda storage: storage.has("a"), False),
    (lambda storage: storage.mark("a"), None),
    (lambda storage: storage.touch("a"), False),
    (lambda storage: storage.delete("a"), False),
    (lambda storage: storage.delete_many(["a"]), 0),
    (lambda storage: storage.delete("a", expected_version=0), False),
    (lambda storage: storage.update("a", lambda value: value + 1, default=1), 2),
    (keys_of, []),
]


@pytest.mark.parametrize(("use", "answer"), OF_THE_DEAD)
@pytest.mark.parametrize("version", [0, 3, 7])
async def test_what_is_past_the_deadline_in_its_envelope_does_not_exist(
    own: MemoryStorage[Any], clock: ManualClock, use: Use, answer: Any, version: int
) -> None:
    await own.set("a", {"__v": version, "__exp": now_ms(clock), "data": "no dictionary"})

    assert answer == await use(enhance_storage(own, migrations=STEPS))


async def test_it_is_made_anew_where_it_does_not_exist(own: MemoryStorage[Any], clock: ManualClock) -> None:
    await own.set("a", {"__v": 3, "__exp": now_ms(clock), "data": 1})
    storage = enhance_storage(own, migrations=STEPS)
    await storage.set("a", 2, expected_version=0)

    assert 2 == await storage.get("a")


async def test_what_was_read_past_its_deadline_is_swept(own: MemoryStorage[Any], clock: ManualClock) -> None:
    await own.set("a", {"__v": 3, "__exp": now_ms(clock), "data": 1})
    storage = enhance_storage(own, migrations=STEPS)
    await storage.get("a")
    clock.advance(ms=10_000)

    assert 1 == await storage.sweep()


async def test_a_damaged_value_can_be_deleted() -> None:
    kept = Kept()
    storage = enhance_storage(storage_over(kept), migrations=STEPS)
    kept.plant("a", b"nonsense")

    assert ["a"] == await keys_of(storage)
    assert await storage.delete("a")


async def test_without_legacy_deadlines_nothing_is_read_to_look(own: MemoryStorage[Any]) -> None:
    for legacy_expiry, operations in ((True, {"look", "read"}), (False, {"look"})):
        inner = measured(own)
        await enhance_storage(inner, migrations=STEPS, legacy_expiry=legacy_expiry).has("a")

        assert operations == set(inner.statistics.latencies)


async def test_it_slides(own: MemoryStorage[Any], clock: ManualClock) -> None:
    storage = sliding(enhance_storage(own, migrations=STEPS))
    await storage.set("a", 1, ttl_ms=10)
    for _ in range(3):
        clock.advance(ms=9)
        await storage.get("a")

    assert await storage.has("a")


async def test_namespace_and_default_time_to_live_stay(clock: ManualClock) -> None:
    own = MemoryStorage[Any](ttl_ms=10, clock=clock)
    storage = enhance_storage(own.namespace("room"), migrations=STEPS)
    await storage.set("a", 1)

    assert ("room",) == storage.names
    assert {"__v": 3, "data": 1} == await own.namespace("room").get("a")
    assert (await storage.mark("a") or pytest.fail("missing")).ttl_ms == 10


async def test_a_deadline_in_an_envelope_is_kept_on_disk(tmp_path: Path, clock: ManualClock) -> None:
    async with FileStorage[Any](tmp_path / "kept.json", clock=clock) as own:
        for key, deadline_ms in {"dead": 0, "alive": 10}.items():
            await own.set(key, {"__v": 1, "__exp": now_ms(clock) + deadline_ms, "data": {"role": "guest"}})
        storage = enhance_storage(own, migrations=STEPS)
        assert NOW == await storage.get("alive")
        assert ["alive"] == await keys_of(storage)
    async with FileStorage[Any](tmp_path / "kept.json", clock=clock) as own:
        before = await keys_of(own)
        clock.advance(ms=10)

        assert (["alive"], []) == (before, await keys_of(own))
