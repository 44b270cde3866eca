"""Wrappers around layered stores: the layers are used as they are without them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from eliza_state.storage import Storage
from eliza_state.storage.layered import LayeredStore, PersistOptions
from eliza_state.storage.wrappers.enhanced import enhance_storage, migrate
from eliza_state.storage.wrappers.measured import measured
from eliza_state.storage.wrappers.sliding import sliding
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.layered.conftest import ARCHIVED, CACHED, World
from tests.eliza_state.storage.layered.site import Site

VOLATILE = PersistOptions(volatile=True)
STEPS: dict[int, Callable[[Any], Any]] = {1: lambda value: {**value, "role": "guest"}}


class WrappedContract(StorageContract):
    @staticmethod
    def wrap(store: LayeredStore[Any]) -> Storage[Any]:
        raise NotImplementedError

    @pytest.fixture
    def reopen(self, redis_url: str, tmp_path: Path, clock: ManualClock) -> Callable[[], Storage[Any]]:
        site = Site(redis_url, f"sqlite:///{tmp_path}/state.db")
        return lambda: self.wrap(site.store(clock=clock))

    @pytest.fixture
    async def storage(self, reopen: Callable[[], Storage[Any]]) -> AsyncIterator[Storage[Any]]:
        async with reopen() as storage:
            yield storage


class TestSliding(WrappedContract):
    @staticmethod
    def wrap(store: LayeredStore[Any]) -> Storage[Any]:
        return sliding(store)

    @pytest.mark.xfail(strict=True, reason="an update reads the value, and what is read lives on")
    async def test_an_update_keeps_the_deadline(self, store: Storage[Any], clock: ManualClock) -> None:
        await super().test_an_update_keeps_the_deadline(store, clock)

    @pytest.mark.xfail(strict=True, reason="reading the entry to compare with rolls its deadline on")
    async def test_deadlines_are_there_again(
        self, storage: Storage[Any], store: Storage[Any], clock: ManualClock, reopen: Any
    ) -> None:
        await super().test_deadlines_are_there_again(storage, store, clock, reopen)


class TestEnhanced(WrappedContract):
    """Without deadlines in envelopes: those would be read first, and copies do not know of every touch."""

    @staticmethod
    def wrap(store: LayeredStore[Any]) -> Storage[Any]:
        return enhance_storage(store, migrations=STEPS, legacy_expiry=False)


del WrappedContract


WRAPS = [sliding, lambda store: enhance_storage(store, migrations=STEPS)]


@pytest.mark.parametrize("wrap", WRAPS)
async def test_it_is_still_a_layered_store(world: World, wrap: Callable[[Any], Any]) -> None:
    store = wrap(world.store(cache_keeps_own=True, archive=True))
    await store.set("volatile", {}, options=VOLATILE)
    await store.keeping(CACHED).set("cached", {})
    await store.namespace("room").set("archived", {}, options=ARCHIVED)

    assert isinstance(store, LayeredStore)
    assert await store.get_many(["volatile", "cached"]) == {"volatile": {}, "cached": {}}
    assert [len(await layer.read(["room/archived"])) for layer in (world.home, world.archive)] == [1, 1]
    assert await world.home.read(["volatile", "cached"]) == {}
    assert [status.name for status in store.status()] == ["memory", "cache", "sql", "archive"]
    await store.forget()
    await store.flush()


@pytest.mark.parametrize("wrap", WRAPS)
async def test_its_updates_see_what_others_wrote(world: World, wrap: Callable[[Any], Any]) -> None:
    store, other = (wrap(world.store(max_age_ms=60_000, cache=False)) for _ in range(2))
    await store.set("n", {"n": 1})
    await other.set("n", {"n": 2})
    stale = await store.get("n")
    async with asyncio.timeout(5):
        updated = await store.update("n", lambda value: {"n": value["n"] + 1})

    assert stale == {"n": 1}
    assert updated == {"n": 3} == await store.get("n", consistency="home")


async def test_a_reading_prolongs_a_life_in_every_layer(world: World) -> None:
    store = sliding(world.store())
    await store.set("a", 1, ttl_ms=1_000)
    for _ in range(5):
        world.clock.advance(ms=900)
        assert await store.get("a") == 1

    assert await world.store().get("a") == 1
    world.clock.advance(ms=1_000)
    assert await store.get("a") is None


@pytest.mark.parametrize("options", [PersistOptions(), VOLATILE, CACHED])
async def test_old_values_are_migrated_where_they_live(world: World, options: PersistOptions) -> None:
    plain = world.store(cache_keeps_own=True)
    await plain.set("a", {"x": 1}, options=options)
    store = enhance_storage(plain, migrations=STEPS)
    report = await migrate(store)

    assert (report.migrated, report.contended, report.failed) == (1, 0, 0)
    assert await store.get("a") == {"x": 1, "role": "guest"}
    assert await plain.get("a") == {"__v": 1, "data": {"x": 1, "role": "guest"}}
    assert world.home.writes.calls == (2 if options == PersistOptions() else 0)


async def test_a_measured_view_writes_where_its_options_say(world: World) -> None:
    store = world.store(cache_keeps_own=True)
    await measured(store.keeping(CACHED)).set("a", 1)

    assert await store.get("a") == 1
    assert world.home.writes.calls == 0
