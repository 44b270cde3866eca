"""A Redis that fails over below a running manager: dispatches go on, and all that used it finds it again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import pytest

from eliza_state import snapshotter
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.storage.layered import LayeredStore, LayerStatus
from tests.eliza_state import chat
from tests.eliza_state.feed.conftest import NEVER_MS, Heard, eventually, say

if TYPE_CHECKING:
    from tests.servers import RedisCluster, RedisServer, SentinelGroup

Open = Callable[..., Any]
pytestmark = pytest.mark.once

PATIENCE_S = 60


class Site:
    """Two managers of one store, who use a Redis for snapshots, a plugin's state and the feed."""

    def __init__(self, here: StateManager, there: StateManager, plugins: list[LayeredStore[Any]]) -> None:
        self.here = here
        self.there = there
        self._plugins = plugins
        self.heard = Heard()
        self.acknowledged: list[str] = []
        here.subscribe(self.heard)

    async def is_heard(self, text: str) -> None:
        """Dispatch there, and wait until it has come here, where nobody looks of himself."""
        change = await self.there.at(chat.OTHER).dispatch(chat.Said(user="bob", text=text))
        await self.heard.until(change.position, within_s=PATIENCE_S)

    @contextlib.asynccontextmanager
    async def talking(self) -> AsyncIterator[None]:
        """Dispatch, and write a plugin's state, all the while: none of that may fail."""
        is_over = asyncio.Event()

        async def talk() -> None:
            while not is_over.is_set():
                text = str(len(self.acknowledged))
                await say(self.here, text)
                self.acknowledged.append(text)
                await self.here.plugins["trader"].set("last", text)

        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            await eventually(lambda: len(self.acknowledged) > 3)
            yield
            before = len(self.acknowledged)
            await eventually(lambda: len(self.acknowledged) > before + 3)
            is_over.set()

    @property
    def _snapshots(self) -> SnapshotStore:
        assert self.here.core.snapshots is not None
        return self.here.core.snapshots

    def caches(self) -> list[LayerStatus]:
        """How the layers on Redis are, of the snapshots here and of the plugin in both."""
        stores = [*self._plugins, self._snapshots.storage]
        return [
            layer
            for store in stores
            if isinstance(store, LayeredStore)
            for layer in store.status()
            if layer.role == "cache"
        ]

    async def is_whole(self) -> None:
        """Wait until every layer answers again, with nothing left to repair."""
        async with asyncio.timeout(PATIENCE_S):
            while not all(cache.is_up and not cache.to_repair for cache in self.caches()):
                for manager in (self.here, self.there):
                    await manager.plugins["trader"].get("last")
                await asyncio.to_thread(self._snapshots.load, chat.TALK, report=pytest.fail)
                await asyncio.sleep(0.05)

    async def check(self) -> None:
        """Look whether all that was acknowledged is there, for the other manager as well."""
        await self.there.refresh()
        states: list[Any] = [await manager.at(chat.TALK).state("talk") for manager in (self.here, self.there)]
        assert [self.acknowledged] * 2 == [list(state.texts) for state in states]
        assert self.acknowledged[-1] == await self.there.plugins["trader"].get("last")


@pytest.fixture
def open_site(opened: Open, tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Open both managers, with the Redis of a URL; a few events make a snapshot due."""
    monkeypatch.setattr(snapshotter, "MIN_TAIL", 4)

    async def open_site(url: str) -> Site:
        stores: list[LayeredStore[Any]] = []

        def plugin(_name: str) -> LayeredStore[Any]:
            stores.append(LayeredStore(url, f"sqlite:///{tmp_path}/trader.db"))
            return stores[-1]

        here, there = [
            await opened(
                f"sqlite:///{tmp_path}/state.db",
                snapshots=[url, f"sqlite:///{tmp_path}/snapshots.db"],
                plugins=plugin,
                feed=url,
                limits=Limits(feed_interval_ms=NEVER_MS),
            )
            for _ in range(2)
        ]
        site = Site(here, there, stores)
        await eventually(lambda: here.feed.status.is_awake)
        return site

    return open_site


async def test_a_pair_under_sentinels(sentinel_group: SentinelGroup, open_site: Callable[[str], Any]) -> None:
    sentinels = ",".join(f"{host}:{port}" for host, port in sentinel_group.addresses)
    site: Site = await open_site(f"redis+sentinel://{sentinels}/{sentinel_group.name}/0")
    await site.is_heard("before")
    async with site.talking():
        await asyncio.to_thread(sentinel_group.failover)
    await site.is_heard("after")
    await site.is_whole()

    await site.check()


@pytest.fixture
def replicated_cluster() -> Iterator[tuple[RedisCluster, RedisServer]]:
    """A cluster of the test's own, and a replica of its first node."""
    from tests import servers

    if servers.REDIS_URL and not servers.REQUIRED:
        pytest.skip("needs a cluster of its own")
    settings = ('save ""', "cluster-enabled yes", "cluster-node-timeout 1000")
    with (
        servers.obtain(servers.RedisCluster) as cluster,
        servers.RedisServer(settings=settings) as replica,
    ):
        for node in cluster.nodes:
            node.configure(cluster_node_timeout=1_000)
        with cluster.nodes[0].client() as first, replica.client() as client:
            client.execute_command("CLUSTER", "MEET", *cluster.nodes[0].address)
            name = first.execute_command("CLUSTER", "MYID")
            servers.until(lambda: name in client.execute_command("CLUSTER", "NODES"))
            client.execute_command("CLUSTER", "REPLICATE", name)
            servers.until(lambda: client.info("replication").get("master_link_status") == "up")
        yield cluster, replica


async def test_a_node_of_a_cluster(
    replicated_cluster: tuple[RedisCluster, RedisServer], open_site: Callable[[str], Any]
) -> None:
    from tests import servers

    cluster, replica = replicated_cluster
    addresses = ",".join(f"{host}:{port}" for host, port in cluster.addresses)
    site: Site = await open_site(f"redis+cluster://{addresses}")
    await site.is_heard("before")

    def is_promoted() -> bool:
        with replica.client() as client:
            return bool(client.role()[0] == "master")

    async with site.talking():
        await asyncio.to_thread(cluster.nodes[0].kill)
        await asyncio.to_thread(servers.until, is_promoted)
    await site.is_heard("after")
    await site.is_whole()

    await site.check()
