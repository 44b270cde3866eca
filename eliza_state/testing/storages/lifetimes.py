"""Closed is closed, and what a durable storage acknowledged is there when it is opened again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.storage import Storage
from eliza_state.testing.clocks import ManualClock
from eliza_state.testing.storages.fixtures import MISSING, PATIENCE_S, Reopen, StorageFixtures, collect

CALLS: Final[dict[str, Callable[[Storage[Any]], Awaitable[Any]]]] = {
    "get": lambda store: store.get("key"),
    "has": lambda store: store.has("key"),
    "mark": lambda store: store.mark("key"),
    "entry": lambda store: store.entry("key"),
    "set": lambda store: store.set("key", 2),
    "set over a version": lambda store: store.set("key", 2, expected_version=1),
    "delete": lambda store: store.delete("key"),
    "delete a version": lambda store: store.delete("key", expected_version=1),
    "touch": lambda store: store.touch("key"),
    "update": lambda store: store.update("key", lambda value: 3),
    "get_many": lambda store: store.get_many(["key"]),
    "has_many": lambda store: store.has_many(["key"]),
    "set_many": lambda store: store.set_many({"key": 2}),
    "delete_many": lambda store: store.delete_many(["key"]),
    "keys": lambda store: collect(store.keys()),
    "values": lambda store: collect(store.values()),
    "entries": lambda store: collect(store.entries()),
    "clear": lambda store: store.clear(),
    "sweep": lambda store: store.sweep(),
}


async def _error(call: Awaitable[Any]) -> Exception | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await call
    except Exception as error:  # noqa: BLE001  # which one it is, is the question
        return error
    return None


class LifetimeContract(StorageFixtures):
    """Opening, closing, and opening again."""

    async def test_a_closed_storage_refuses(self, storage: Storage[Any], store: Storage[Any]) -> None:
        await store.set("key", 1)
        await storage.close()

        outcomes = {name: await _error(call(store)) for name, call in CALLS.items()}
        assert {name: error for name, error in outcomes.items() if not isinstance(error, StoreError)} == {}

    async def test_leaving_the_context_closes(self, storage: Storage[Any], store: Storage[Any]) -> None:
        async with storage as entered:
            assert entered is storage

        with pytest.raises(StoreError):
            await store.get("key")

    async def test_flushing_keeps_everything(self, storage: Storage[Any], store: Storage[Any]) -> None:
        await store.set("key", 1)
        await storage.flush()
        await store.flush()

        assert await store.get("key") == 1

    async def test_a_storage_shows_what_it_is(self, storage: Storage[Any]) -> None:
        shown = repr(storage.namespace("a", "b"))

        assert type(storage).__name__ in shown
        assert "'a'/'b'" in shown

    # opened again

    async def test_what_was_acknowledged_is_there_again(
        self, storage: Storage[Any], store: Storage[Any], reopen: Reopen
    ) -> None:
        await store.set_many({"key": [1, (2,)], "deleted": 1})
        version = await store.set("other", None)
        await store.delete("deleted")
        await storage.close()

        async with reopen() as again:
            found = again.namespace(*store.names)
            assert dict(await collect(found.entries())) == {"key": [1, (2,)], "other": None}
            mark = await found.mark("other")
            assert mark is not None
            assert mark.version == version

    async def test_versions_go_on_growing(
        self, storage: Storage[Any], store: Storage[Any], reopen: Reopen
    ) -> None:
        version = await store.set("key", 1)
        await storage.close()

        async with reopen() as again:
            found = again.namespace(*store.names)
            assert await found.set("key", 2, expected_version=version) > version

    async def test_deadlines_are_there_again(
        self, storage: Storage[Any], store: Storage[Any], clock: ManualClock, reopen: Reopen
    ) -> None:
        await store.set("dies", 1, ttl_ms=1_000)
        await store.set("lives", 2, ttl_ms=2_000)
        entry = await store.entry("lives")
        await storage.close()
        clock.advance(ms=1_000)

        async with reopen() as again:
            found = again.namespace(*store.names)
            assert await found.get("dies", MISSING) is MISSING
            assert await found.entry("lives") == entry

    async def test_what_was_cleared_does_not_come_back(
        self, storage: Storage[Any], store: Storage[Any], reopen: Reopen
    ) -> None:
        await store.set_many({"a": 1, "b": 2})
        await store.clear()
        await store.set("c", 3)
        await storage.close()

        async with reopen() as again:
            assert await collect(again.namespace(*store.names).keys()) == ["c"]

    async def test_another_event_loop_finds_it_too(
        self, storage: Storage[Any], store: Storage[Any], reopen: Reopen
    ) -> None:
        await store.set("key", 1)
        await storage.close()
        found: list[Any] = []

        async def count_on() -> None:
            async with reopen() as again:
                found.append(await again.namespace(*store.names).update("key", lambda value: value + 1))

        thread = threading.Thread(target=asyncio.run, args=(count_on(),))
        thread.start()
        await asyncio.to_thread(thread.join, PATIENCE_S)
        assert found == [2]

    # opened twice

    async def test_each_sees_what_the_other_wrote(
        self, storage: Storage[Any], store: Storage[Any], reopen: Reopen
    ) -> None:
        self._skip_where_opened_once()
        async with reopen() as other:
            theirs = other.namespace(*store.names)
            await store.set("key", 1)
            await theirs.update("key", lambda value: value + 1)
            await theirs.set("other", 3)

            assert await store.get_many(["key", "other"]) == {"key": 2, "other": 3}

    async def test_a_version_that_the_other_replaced_is_stale(
        self, storage: Storage[Any], store: Storage[Any], reopen: Reopen
    ) -> None:
        self._skip_where_opened_once()
        async with reopen() as other:
            theirs = other.namespace(*store.names)
            seen = await store.set("key", 1)
            version = await theirs.set("key", 2, expected_version=seen)

            with pytest.raises(StaleValue) as stale:
                await store.set("key", 3, expected_version=seen)

            assert (stale.value.actual, await store.get("key")) == (version, 2)

    async def test_no_update_of_either_is_lost(
        self, storage: Storage[Any], store: Storage[Any], reopen: Reopen
    ) -> None:
        self._skip_where_opened_once()
        async with reopen() as other:
            both = [store, other.namespace(*store.names)] * 4
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
                for one in both:
                    tasks.create_task(_count_to(8, one))

            assert await store.get("key") == 8 * len(both)

    def _skip_where_opened_once(self) -> None:
        if not self.opens_twice:
            pytest.skip("the storage is opened once at a time")


async def _count_to(number: int, store: Storage[Any]) -> None:
    for _ in range(number):
        await store.update("key", lambda value: value + 1, default=0)
