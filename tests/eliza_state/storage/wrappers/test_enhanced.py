"""Enhanced storages: values of every version are read as the current one, and none is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.errors import StoreError
from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.disk.file import FileStorage
from eliza_state.storage.errors import FutureValue, MigrationFailed, StaleValue
from eliza_state.storage.wrappers.enhanced import Migrated, enhance_storage, migrate
from eliza_state.storage.wrappers.limit import SizeLimit
from eliza_state.storage.wrappers.measured import measured
from eliza_state.storage.wrappers.sliding import sliding
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.kept import Kept, Meddling, storage_over
from tests.eliza_state.storage.wrappers.test_foreign import TheirsWithAll

Use = Callable[[Storage[Any]], Awaitable[object]]
STEPS = {
    1: lambda value: {**value, "role": "guest"},
    2: lambda value: {"counter": 0, **value},
    3: lambda value: {**value, "role": value["role"].upper()},
}
NOW = {"counter": 0, "role": "GUEST"}


def failing(value: Any) -> Any:
    value["half"] = "done"
    raise KeyError("role")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["written", "shared", "theirs"])
def base(request: pytest.FixtureRequest, clock: ManualClock) -> Any:
    """A storage of values as bytes, one of values as they are, and one of somebody else."""
    if request.param == "theirs":
        return TheirsWithAll()
    return MemoryStorage[Any](share=request.param == "shared", clock=clock)


@pytest.fixture
def own(clock: ManualClock) -> MemoryStorage[Any]:
    return MemoryStorage[Any](clock=clock)


def now_ms(clock: ManualClock) -> int:
    return clock() // 1_000


async def keys_of(storage: Storage[Any]) -> list[str]:
    return [key async for key in storage.keys()]


class TestEnhancedStorage(StorageContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with enhance_storage(MemoryStorage[Any](clock=clock), migrations=STEPS) as storage:
            yield storage


class TestEnhancedStorageWithoutLegacy(StorageContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        base = MemoryStorage[Any](clock=clock)
        async with enhance_storage(base, migrations=STEPS, legacy_expiry=False) as storage:
            yield storage


# versions


async def test_what_is_set_is_of_the_current_version(base: Any) -> None:
    await enhance_storage(base, migrations=STEPS).set("a", NOW)

    assert {"__v": 3, "data": NOW} == await base.get("a")


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"__v": 0, "data": {}},
        {"__v": 1, "data": {"role": "guest"}},
        {"__v": 2, "data": {"counter": 0, "role": "guest"}},
        {"__v": 3, "data": NOW},
    ],
)
async def test_a_value_of_any_version_is_read_as_the_current_one(base: Any, raw: Any) -> None:
    await base.set("a", raw)
    storage = enhance_storage(base, migrations=STEPS)

    assert NOW == await storage.get("a")
    assert {"__v": 3, "data": NOW} == await base.get("a")


async def test_a_later_read_skips_the_migration(base: Any) -> None:
    seen: list[Any] = []
    await base.set("a", 1)
    storage = enhance_storage(base, migrations={1: lambda value: seen.append(value) or value})
    await storage.get("a")
    await storage.get_many(["a"])

    assert [1] == seen


async def test_a_stored_none_is_a_value(base: Any) -> None:
    await base.set("a", None)
    storage = enhance_storage(base, migrations={1: lambda value: [value]})

    assert [None] == await storage.get("a")


async def test_without_migrations_everything_is_of_version_0(base: Any) -> None:
    await base.set("a", 1)
    storage = enhance_storage(base, migrations={})
    await storage.set("b", 2)

    assert (1, 2) == (await storage.get("a"), await storage.get("b"))
    assert {"__v": 0, "data": 2} == await base.get("b")


PARTS = st.sampled_from(["__v", "__exp", "data"])
LOOKALIKES = st.recursive(
    st.integers() | st.none(), lambda inner: st.dictionaries(PARTS, inner) | st.lists(inner)
)


@given(
    LOOKALIKES | st.builds(lambda version, data: {"__v": version, "data": data}, st.integers(0), LOOKALIKES)
)
async def test_data_that_looks_like_an_envelope_comes_back_equal(value: Any) -> None:
    for base in (MemoryStorage[Any](), TheirsWithAll()):
        storage = enhance_storage(base, migrations=STEPS)
        await storage.set("a", value)

        assert value == await storage.get("a")


async def test_a_migration_may_change_what_it_gets(base: Any) -> None:
    def add(value: Any) -> Any:
        value["items"].append(1)
        return value

    await base.set("a", {"items": []})
    storage = enhance_storage(base, migrations={1: add, 2: add})

    assert {"items": [1, 1]} == await storage.get("a")
    assert {"items": [1, 1]} == await storage.get("a")


@pytest.mark.parametrize("versions", [{0}, {2}, {1, 3}, {0, 1}, {-1}, {1, 2, 4}])
def test_migrations_count_from_one_without_a_gap(versions: set[int]) -> None:
    with pytest.raises(ValueError, match="1, 2, 3"):
        enhance_storage(MemoryStorage[Any](), migrations=dict.fromkeys(versions, lambda value: value))


def test_a_storage_of_this_package_has_its_clock(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="clock"):
        enhance_storage(MemoryStorage[Any](), migrations={}, clock=clock)


# values from the future, and migrations that fail

READS: list[Use] = [
    lambda storage: storage.get("a"),
    lambda storage: storage.get_many(["b", "a"]),
    lambda storage: storage.entry("a"),
]


@pytest.mark.parametrize("use", READS)
async def test_a_value_from_the_future_is_refused_with_both_versions(base: Any, use: Use) -> None:
    await base.set("a", {"__v": 7, "data": 1})
    with pytest.raises(FutureValue, match="version 7, newer than 3") as caught:
        await use(enhance_storage(base, migrations=STEPS))

    assert ("a", 7, 3) == (caught.value.key, caught.value.found, caught.value.known)


async def test_an_update_never_overwrites_a_value_from_the_future(own: MemoryStorage[Any]) -> None:
    await own.set("a", {"__v": 7, "data": 1})
    with pytest.raises(FutureValue):
        await enhance_storage(own, migrations=STEPS).update("a", lambda _: 2)

    assert {"__v": 7, "data": 1} == await own.get("a")


async def test_a_value_from_the_future_exists(base: Any) -> None:
    await base.set("a", {"__v": 7, "data": 1})

    assert await enhance_storage(base, migrations=STEPS).has("a")


@pytest.mark.parametrize("use", READS)
async def test_a_migration_that_fails_is_named_and_changes_nothing(base: Any, use: Use) -> None:
    await base.set("a", {"x": 1})
    storage = enhance_storage(base, migrations={1: lambda value: value, 2: failing})
    with pytest.raises(MigrationFailed, match="'a' to version 2 failed: KeyError: 'role'") as caught:
        await use(storage)

    assert ("a", 2) == (caught.value.key, caught.value.version)
    assert {"x": 1} == await base.get("a")


# races


async def test_two_readers_migrate_at_once_and_agree(base: Any) -> None:
    await base.set("a", {})
    storages = [enhance_storage(base, migrations=STEPS) for _ in range(2)]
    found = await asyncio.gather(*(storage.get("a") for storage in storages for _ in range(3)))

    assert [NOW] * 6 == found
    assert {"__v": 3, "data": NOW} == await base.get("a")


async def test_a_value_set_meanwhile_is_not_overwritten(own: MemoryStorage[Any]) -> None:
    await own.set("a", {})
    writer = enhance_storage(own, migrations=STEPS)
    meddling = own.around(lambda backend: Meddling(backend, lambda: writer.set("a", "newer")))
    reader = enhance_storage(meddling, migrations=STEPS)

    assert NOW == await reader.get("a")
    assert "newer" == await writer.get("a")


async def test_a_value_set_meanwhile_in_their_storage_is_not_overwritten() -> None:
    base = TheirsWithAll(a={})
    storage = enhance_storage(base, migrations=STEPS)
    await asyncio.gather(storage.get("a"), storage.set("a", "newer"), storage.get("a"))

    assert "newer" == await storage.get("a")


async def test_no_update_is_lost_while_readers_migrate(own: MemoryStorage[Any]) -> None:
    await own.set("a", {"n": 0})
    storages = [enhance_storage(own, migrations=STEPS) for _ in range(4)]

    async def count(storage: Storage[Any]) -> None:
        for _ in range(25):
            await storage.update("a", lambda value: {**value, "n": value["n"] + 1})
            await asyncio.sleep(0)
            await storage.get("a")

    await asyncio.gather(*map(count, storages))

    assert {**NOW, "n": 100} == await storages[0].get("a")


async def test_the_version_that_a_migrating_read_gives_is_the_one_to_expect(own: MemoryStorage[Any]) -> None:
    await own.set("a", {})
    storage = enhance_storage(own, migrations=STEPS)
    entry = await storage.entry("a")
    assert entry is not None
    await storage.set("a", 1, expected_version=entry.version)

    assert 1 == await storage.get("a")


async def test_a_value_that_cannot_be_written_back_is_read_nevertheless() -> None:
    kept = Kept()
    await storage_over(kept).set("a", {})
    storage = enhance_storage(storage_over(kept, SizeLimit(10)), migrations=STEPS)

    assert NOW == await storage.get("a")
    assert b"json:{}" == kept.content("a")


# deadlines


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


# all at once


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


async def test_only_an_enhanced_storage_is_migrated(own: MemoryStorage[Any]) -> None:
    with pytest.raises(ValueError, match="enhance_storage"):
        await migrate(own)


async def test_closing_it_closes_what_it_is_over(own: MemoryStorage[Any]) -> None:
    await enhance_storage(own, migrations=STEPS).close()

    with pytest.raises(StoreError):
        await own.set("a", 1)


async def test_a_version_that_moved_on_is_stale(own: MemoryStorage[Any]) -> None:
    storage = enhance_storage(own, migrations=STEPS)
    version = await storage.set("a", 1)
    await storage.set("a", 2)

    with pytest.raises(StaleValue):
        await storage.set("a", 3, expected_version=version)
