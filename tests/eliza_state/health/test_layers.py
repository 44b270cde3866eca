"""The layers of storages of snapshots and plugins, as a monitor tells of them."""

from __future__ import annotations

from pathlib import Path as FilePath

from eliza_state.errors import StoreError
from eliza_state.health import HealthMonitor
from eliza_state.manager import StateManager
from eliza_state.plugins import Plugins
from eliza_state.storage import MemoryStorage
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.wrappers import measured
from eliza_state.testing.backends import MemoryCache
from tests.eliza_state.chat import TALK, Said, modules


async def test_layers_of_snapshots_and_plugins_are_told(sqlite_url: str, tmp_path: FilePath):
    places = [f"sqlite:///{tmp_path}/home.db", f"archive:{tmp_path}/archive"]
    async with StateManager.open(sqlite_url, modules=modules(), snapshots=places) as manager:
        await manager.dispatch(Said(user="ada", text="hello"), to=TALK)
    async with (
        Plugins(measured(MemoryStorage())) as plugins,
        StateManager.open(sqlite_url, modules=modules(), snapshots=places, plugins=plugins) as manager,
    ):
        await manager.at(TALK).state()
        await manager.plugins["trader"].set("a", 1)
        await manager.plugins["trader"].get("a")
        await manager.plugins["trader"].get("b")
        monitor = HealthMonitor(manager)
        health = await monitor.check_health()
        await monitor.close()

    told = {(layer.place, layer.role): layer for layer in health.layers}
    assert {("snapshots", "cache"), ("snapshots", "home"), ("snapshots", "archive")} < told.keys()
    home, shared = told["snapshots", "home"], told["plugins", "storage"]
    assert home.is_up
    assert home.latency is not None
    assert home.latency.count > 0
    assert shared.hit_rate == 0.5
    assert shared.latency is not None


async def test_an_open_breaker_is_a_reason(tmp_path: FilePath):
    cache = MemoryCache()
    async with (
        LayeredStore(cache, f"{tmp_path}/home.db") as store,
        Plugins(store) as plugins,
        StateManager.open(modules=modules(), plugins=plugins) as manager,
    ):
        cache.reads.error = StoreError("no")
        for number in range(3):
            await manager.plugins["trader"].get(f"key {number}")
        monitor = HealthMonitor(manager)
        health = await monitor.check_health()
        await monitor.close()

    assert [str(reason) for reason in health.reasons if reason.condition == "breakers_open"] == [
        f"plugins {cache.name} does not answer and is left alone for a while"
    ]
