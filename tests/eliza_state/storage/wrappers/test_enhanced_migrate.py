"""Bringing all values of an enhanced storage to the current version."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.errors import FutureValue, MigrationFailed
from eliza_state.storage.wrappers.enhanced import Migrated, enhance_storage, migrate
from eliza_state.storage.wrappers.limit import SizeLimit
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.kept import Kept, Meddling, storage_over
from tests.eliza_state.storage.wrappers.enhancing import NOW, STEPS, now_ms


async def fill(base: Any) -> None:
    await base.set("a", {})
    await base.set("b", {"__v": 1, "data": {"role": "guest"}})
    await base.set("c", {"__v": 3, "data": NOW})
    await base.set("d", {"__v": 7, "data": 1})
    await base.set("e", {"__v": 0, "data": "no dictionary"})


@pytest.mark.parametrize("dry_run", [True, False])
async def test_migrate_reports_versions_and_failures(base: Any, dry_run: bool) -> None:
    await fill(base)
    report = await migrate(enhance_storage(base, migrations=STEPS), dry_run=dry_run)

    assert {0: 2, 1: 1, 3: 1, 7: 1} == report.versions
    assert (2, 0, 2) == (report.migrated, report.contended, report.failed)
    assert {FutureValue, MigrationFailed} == set(map(type, report.failures))


async def test_a_dry_run_writes_nothing(base: Any, clock: ManualClock) -> None:
    await fill(base)
    await base.set("f", {"__v": 0, "__exp": 1, "data": {}})
    await base.set("g", {"__v": 0, "__exp": now_ms(clock) + 10_000, "data": {}})
    storage = enhance_storage(
        base, migrations=STEPS, **({} if isinstance(base, Storage) else {"clock": clock})
    )
    before = {key: await base.get(key) for key in "abcdefg"}
    report = await migrate(storage, dry_run=True)

    assert 3 == report.migrated
    assert before == {key: await base.get(key) for key in "abcdefg"}


async def test_migrate_leaves_nothing_to_do(base: Any) -> None:
    for index in range(250):
        await base.set(f"k{index}", {"n": index})
    storage = enhance_storage(base, migrations=STEPS)
    await migrate(storage)

    assert Migrated({3: 250}, 0, 0, 0, ()) == await migrate(storage)
    assert {"__v": 3, "data": {**NOW, "n": 7}} == await base.get("k7")


async def test_migrate_moves_every_deadline_out_of_its_envelope(
    own: MemoryStorage[Any], clock: ManualClock
) -> None:
    await own.set("a", {"__v": 3, "__exp": now_ms(clock) + 10, "data": 1})
    await own.set("b", {"__v": 3, "__exp": now_ms(clock), "data": 1})
    await migrate(enhance_storage(own, migrations=STEPS))
    storage = enhance_storage(own, migrations=STEPS, legacy_expiry=False)

    assert (True, False) == (await storage.has("a"), await storage.has("b"))


async def test_migrate_goes_over_its_namespace_and_those_below(own: MemoryStorage[Any]) -> None:
    for names in ((), ("a",), ("a", "b"), ("c",)):
        await own.namespace(*names).set("k", {})

    assert 2 == (await migrate(enhance_storage(own, migrations=STEPS).namespace("a"))).migrated
    assert {} == await own.namespace("c").get("k")


async def test_migrate_reports_what_cannot_be_read_or_written_and_does_the_rest() -> None:
    kept = Kept()
    plain = storage_over(kept)
    await plain.set_many({"a": {}, "b": {"x": "x" * 100}, "c": {}})
    kept.plant("d", b"nonsense")
    report = await migrate(enhance_storage(storage_over(kept, SizeLimit(100)), migrations=STEPS))

    assert (2, 2) == (report.migrated, report.failed)
    assert {"b": {"x": "x" * 100}} == await plain.get_many(["b"])


async def test_migrate_does_not_overwrite_what_is_set_meanwhile(own: MemoryStorage[Any]) -> None:
    await own.set("a", {})
    writer = enhance_storage(own, migrations=STEPS)
    meddling = own.around(lambda backend: Meddling(backend, lambda: writer.set("a", "newer")))

    assert Migrated({0: 1}, 0, 1, 0, ()) == await migrate(enhance_storage(meddling, migrations=STEPS))
    assert "newer" == await writer.get("a")


async def test_migrate_does_not_undo_a_touch(own: MemoryStorage[Any], clock: ManualClock) -> None:
    await own.set("a", {}, ttl_ms=1_000)
    clock.advance(ms=400)
    meddling = own.around(lambda backend: Meddling(backend, lambda: own.touch("a")))

    assert Migrated({0: 1}, 1, 0, 0, ()) == await migrate(enhance_storage(meddling, migrations=STEPS))
    assert now_ms(clock) + 1_000 == (await own.mark("a") or pytest.fail("missing")).deadline_ms


async def test_only_an_enhanced_storage_is_migrated(own: MemoryStorage[Any]) -> None:
    with pytest.raises(ValueError, match="enhance_storage"):
        await migrate(own)
