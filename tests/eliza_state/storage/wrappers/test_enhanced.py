"""Enhanced storages: values of every version are read as the current one, and none is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.errors import StoreError
from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.errors import FutureValue, MigrationFailed, StaleValue
from eliza_state.storage.wrappers.enhanced import enhance_storage
from eliza_state.storage.wrappers.limit import SizeLimit
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.kept import Kept, Meddling, storage_over
from tests.eliza_state.storage.wrappers.enhancing import NOW, STEPS, Use
from tests.eliza_state.storage.wrappers.test_foreign import TheirsWithAll


def failing(value: Any) -> Any:
    value["half"] = "done"
    raise KeyError("role")


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


# what it is over


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
