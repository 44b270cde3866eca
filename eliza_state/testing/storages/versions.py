"""Versions grow, and a write that expects one is done only over that one."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.storage import Storage
from eliza_state.testing.clocks import ManualClock
from eliza_state.testing.storages.fixtures import MISSING, PATIENCE_S, StorageFixtures, collect, entry_of

_TTL_MS: Final = 5_000
_WRITERS: Final = 32
_TURNS: Final = 4


class _Refused(Exception):
    pass


class VersionContract(StorageFixtures):
    """Versions, compare-and-set, compare-and-delete, and updates of which none is lost."""

    async def test_versions_grow(self, store: Storage[Any]) -> None:
        versions = [await store.set("key", number) for number in range(5)]

        assert versions[0] > 0
        assert versions == sorted(set(versions))

    async def test_a_version_is_told_by_entry_and_mark(self, store: Storage[Any]) -> None:
        version = await store.set("key", 1)

        mark = await store.mark("key")
        assert mark is not None
        assert ((await entry_of(store, "key")).version, mark.version) == (version, version)

    async def test_versions_grow_for_every_kind_of_write(self, store: Storage[Any]) -> None:
        versions = [await store.set("key", 0)]
        await store.set_many({"key": 1})
        versions.append((await entry_of(store, "key")).version)
        await store.update("key", lambda value: value + 1)
        versions.append((await entry_of(store, "key")).version)
        versions.append(await store.set("key", 3, expected_version=versions[-1]))

        assert versions == sorted(set(versions))

    async def test_versions_grow_where_the_clock_stands_still_or_is_turned_back(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        versions = [await store.set("key", 1), await store.set("key", 2)]
        clock.advance(ms=-3_600_000)
        versions += [await store.set("key", 3), await store.set("key", 4)]

        assert versions == sorted(set(versions))

    async def test_versions_grow_across_a_deletion(self, store: Storage[Any], clock: ManualClock) -> None:
        versions = [await store.set("key", 1)]
        clock.advance(ms=1)
        await store.delete("key")
        versions.append(await store.set("key", 2))
        clock.advance(ms=1)
        await store.delete("key", expected_version=versions[-1])
        versions.append(await store.set("key", 3))

        assert versions == sorted(set(versions))

    # expecting a version

    async def test_the_right_version_is_overwritten(self, store: Storage[Any]) -> None:
        version = await store.set("key", "old")

        assert await store.set("key", "new", expected_version=version) > version
        assert await store.get("key") == "new"

    async def test_a_stale_version_changes_nothing(self, store: Storage[Any]) -> None:
        seen = await store.set("key", "seen")
        version = await store.set("key", "newer", ttl_ms=_TTL_MS)
        before = await store.entry("key")

        with pytest.raises(StaleValue) as stale:
            await store.set("key", "mine", expected_version=seen)

        assert (stale.value.key, stale.value.expected, stale.value.actual) == ("key", seen, version)
        assert await store.entry("key") == before

    async def test_a_version_that_is_expected_of_a_missing_key_is_stale(self, store: Storage[Any]) -> None:
        with pytest.raises(StaleValue) as stale:
            await store.set("key", 1, expected_version=7)

        assert (stale.value.expected, stale.value.actual) == (7, 0)
        assert not await store.has("key")

    async def test_version_0_makes_a_new_key(self, store: Storage[Any]) -> None:
        version = await store.set("key", 1, expected_version=0)

        assert (await entry_of(store, "key"))[:2] == (1, version)

    async def test_version_0_is_stale_for_a_key_that_exists(self, store: Storage[Any]) -> None:
        version = await store.set("key", 1)

        with pytest.raises(StaleValue) as stale:
            await store.set("key", 2, expected_version=0)

        assert (stale.value.actual, await store.get("key")) == (version, 1)

    async def test_version_0_makes_a_deleted_key_anew(self, store: Storage[Any]) -> None:
        version = await store.set("key", 1)
        await store.delete("key", expected_version=version)

        assert await store.set("key", 2, expected_version=0) > version

    async def test_version_0_makes_an_expired_key_anew(self, store: Storage[Any], clock: ManualClock) -> None:
        version = await store.set("key", 1, ttl_ms=_TTL_MS)
        clock.advance(ms=_TTL_MS)

        assert await store.set("key", 2, expected_version=0) > version
        assert await store.get("key") == 2

    async def test_the_version_of_an_expired_key_is_stale(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        version = await store.set("key", 1, ttl_ms=_TTL_MS)
        clock.advance(ms=_TTL_MS)

        with pytest.raises(StaleValue) as stale:
            await store.set("key", 2, expected_version=version)

        assert stale.value.actual == 0

    async def test_one_of_many_who_expect_the_same_version_wins(self, store: Storage[Any]) -> None:
        version = await store.set("key", "start")

        async def compete(number: int) -> int | None:
            try:
                await store.set("key", number, expected_version=version)
            except StaleValue:
                return None
            return number

        async with asyncio.timeout(PATIENCE_S):
            won = await asyncio.gather(*map(compete, range(16)))
        assert [number for number in won if number is not None] == [await store.get("key")]

    # deleting a version

    async def test_the_right_version_is_deleted(self, store: Storage[Any]) -> None:
        version = await store.set("key", 1)

        assert await store.delete("key", expected_version=version)
        assert await store.get("key", MISSING) is MISSING
        assert await collect(store.keys()) == []

    async def test_a_stale_version_is_not_deleted(self, store: Storage[Any]) -> None:
        seen = await store.set("key", 1)
        version = await store.set("key", 2)

        with pytest.raises(StaleValue) as stale:
            await store.delete("key", expected_version=seen)

        assert (stale.value.key, stale.value.expected, stale.value.actual) == ("key", seen, version)
        assert await store.get("key") == 2

    async def test_a_version_of_a_missing_key_cannot_be_deleted(self, store: Storage[Any]) -> None:
        with pytest.raises(StaleValue) as stale:
            await store.delete("key", expected_version=7)

        assert stale.value.actual == 0

    async def test_deleting_version_0_of_a_missing_key_does_nothing(self, store: Storage[Any]) -> None:
        assert not await store.delete("key", expected_version=0)
        assert not await store.has("key")

    async def test_a_key_whose_version_was_deleted_is_missing_to_a_plain_delete(
        self, store: Storage[Any]
    ) -> None:
        await store.delete("key", expected_version=await store.set("key", 1))

        assert (await store.delete("key"), await store.delete_many(["key"])) == (False, 0)
        assert not await store.touch("key")

    # updating

    async def test_an_update_replaces_a_value_by_a_function_of_it(self, store: Storage[Any]) -> None:
        version = await store.set("key", 1)

        assert await store.update("key", lambda value: value + 1) == 2
        entry = await entry_of(store, "key")
        assert entry.value == 2
        assert entry.version > version

    async def test_an_update_of_a_missing_key_starts_from_the_default(self, store: Storage[Any]) -> None:
        assert await store.update("key", lambda value: value + 1, default=10) == 11
        assert await store.update("key", lambda value: value + 1, default=10) == 12
        assert await store.update("other", lambda value: value is None) is True

    async def test_an_update_that_returns_the_same_object_writes_nothing(self, store: Storage[Any]) -> None:
        version = await store.set("key", [1])

        assert await store.update("key", lambda value: value) == [1]
        assert await store.update("missing", lambda value: value) is None
        assert (await entry_of(store, "key")).version == version
        assert not await store.has("missing")

    async def test_an_update_that_returns_its_default_stores_it(self, store: Storage[Any]) -> None:
        default = ["start"]

        assert await store.update("key", lambda value: value, default=default) == ["start"]
        assert await store.get("key") == ["start"]

    async def test_an_update_deletes(self, store: Storage[Any]) -> None:
        await store.set("key", 1)

        assert await store.update("key", lambda _: GONE) is None
        assert await store.update("missing", lambda _: GONE) is None
        assert (await store.has("key"), await store.has("missing")) == (False, False)

    async def test_an_update_keeps_the_deadline(self, store: Storage[Any], clock: ManualClock) -> None:
        await store.set("key", 1, ttl_ms=_TTL_MS)
        before = await entry_of(store, "key")
        clock.advance(ms=1_000)
        await store.update("key", lambda value: value + 1)

        after = await entry_of(store, "key")
        assert (after.deadline_ms, after.ttl_ms) == (before.deadline_ms, before.ttl_ms)

    async def test_an_update_may_set_a_deadline_or_clear_it(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        await store.set("key", 1)
        await store.update("key", lambda value: value + 1, ttl_ms=_TTL_MS)
        given = await entry_of(store, "key")
        await store.update("key", lambda value: value + 1, ttl_ms=None)

        assert given.deadline_ms == clock() // 1_000 + _TTL_MS
        assert (await entry_of(store, "key")).deadline_ms is None

    async def test_an_update_whose_function_raises_changes_nothing(self, store: Storage[Any]) -> None:
        await store.set("key", [1])
        before = await store.entry("key")

        def refuse(value: Any) -> Any:
            raise _Refused

        with pytest.raises(_Refused):
            await store.update("key", refuse)

        assert await store.entry("key") == before

    async def test_no_update_of_many_tasks_is_lost(self, store: Storage[Any]) -> None:
        async def count() -> None:
            for _ in range(_TURNS):
                await store.update("key", lambda value: value + 1, default=0)
                await asyncio.sleep(0)

        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            for _ in range(_WRITERS):
                tasks.create_task(count())
        assert await store.get("key") == _WRITERS * _TURNS
