"""A cluster keeps namespaces together and other keys apart, and its slots move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from redis.crc import key_slot

from eliza_state.errors import StoreError
from eliza_state.storage.redis.storage import RedisStorage
from tests.eliza_state.storage.redis.server import PATIENT_MS, eventually

if TYPE_CHECKING:
    from tests.servers import RedisCluster, RedisServer


def url_of(cluster: RedisCluster) -> str:
    return f"redis+cluster://{','.join(f'{host}:{port}' for host, port in cluster.addresses)}"


@pytest.fixture
async def storage(redis_cluster: RedisCluster) -> AsyncIterator[RedisStorage[Any]]:
    async with RedisStorage[Any](url_of(redis_cluster), answer_within_ms=PATIENT_MS) as storage:
        yield storage


def keys_at(node: RedisServer) -> list[str]:
    with node.client() as client:
        found: Any = client.keys("*")
    return sorted(found)


async def test_a_namespace_lies_on_one_node(redis_cluster: RedisCluster, storage: RedisStorage[Any]) -> None:
    room = storage.namespace("room", "{general}")
    await room.set_many({f"key {number} {{x}}": number for number in range(50)})

    assert [0, 0, 50] == sorted(len(keys_at(node)) for node in redis_cluster.nodes)
    assert 50 == len([key async for key in room.keys()])


async def test_other_keys_lie_on_all_nodes(redis_cluster: RedisCluster, storage: RedisStorage[Any]) -> None:
    keys = [f"key {{{number}}}" for number in range(100)]
    await storage.set_many(dict.fromkeys(keys, 1))

    assert all(len(keys_at(node)) > 10 for node in redis_cluster.nodes)
    assert set(keys) == {key async for key in storage.keys()}
    assert dict.fromkeys(keys, 1) == await storage.get_many(keys)


async def test_many_keys_of_many_slots_are_changed(storage: RedisStorage[Any]) -> None:
    keys = [str(number) for number in range(100)]
    await storage.set_many(dict.fromkeys(keys, 1), ttl_ms=60_000)
    for number in range(20):
        await storage.namespace(str(number)).set("key", 1)

    assert 100 == await storage.delete_many(keys)
    await storage.clear()
    assert [] == [key async for key in storage.keys()]
    assert not any([await storage.namespace(str(number)).has("key") for number in range(20)])


async def test_an_applications_client_serves_and_stays_open(redis_cluster: RedisCluster) -> None:
    host, port = redis_cluster.addresses[1]
    async with redis.asyncio.RedisCluster(host=host, port=port) as client:
        async with RedisStorage[Any](client, answer_within_ms=PATIENT_MS) as storage:
            await storage.set_many({str(number): number for number in range(20)})
            assert 20 == len([key async for key in storage.keys()])

        assert await client.ping(target_nodes="all")  # type: ignore[misc]


async def test_a_server_that_is_no_cluster_is_told(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis+cluster://").removesuffix("/0")
    async with RedisStorage[Any](url, answer_within_ms=PATIENT_MS) as storage:
        with pytest.raises(StoreError, match="cluster support disabled"):
            await storage.get("key")


# slots that move


@pytest.fixture
def own_cluster() -> Iterator[RedisCluster]:
    """A cluster that the test may change."""
    from tests import servers

    if servers.REDIS_URL and not servers.REQUIRED:
        pytest.skip("needs a cluster of its own")
    with servers.obtain(servers.RedisCluster) as cluster:
        yield cluster


class Move:
    """A slot, the node that has it, and another one that will."""

    def __init__(self, cluster: RedisCluster, name: str) -> None:
        self.name = name
        self.slot = key_slot(name.encode())
        self._nodes = cluster.nodes
        ids = [self._ask(node, "CLUSTER", "MYID") for node in cluster.nodes]
        at = next(at for at, node in enumerate(cluster.nodes) if self._has(node))
        self.source, self.target = cluster.nodes[at], cluster.nodes[(at + 1) % 3]
        self._source_id, self._target_id = ids[at], ids[(at + 1) % 3]

    def _ask(self, node: RedisServer, *command: Any) -> Any:
        with node.client() as client:
            return client.execute_command(*command)

    def _has(self, node: RedisServer) -> bool:
        """Tell whether a node answers for the slot itself."""
        try:
            self._ask(node, "GET", self.name)
        except redis.ResponseError:
            return False
        return True

    def begin(self) -> None:
        self._ask(self.target, "CLUSTER", "SETSLOT", self.slot, "IMPORTING", self._source_id)
        self._ask(self.source, "CLUSTER", "SETSLOT", self.slot, "MIGRATING", self._target_id)

    def carry(self) -> None:
        self._ask(self.source, "MIGRATE", *self.target.address, self.name, 0, 5_000)

    def end(self) -> None:
        for node in (self.target, self.source, *self._nodes):
            self._ask(node, "CLUSTER", "SETSLOT", self.slot, "NODE", self._target_id)


async def test_a_storage_follows_slots_that_move(own_cluster: RedisCluster) -> None:
    async with RedisStorage[Any](url_of(own_cluster), answer_within_ms=PATIENT_MS) as storage:
        await storage.set("key", 1)
        await storage.set("{other}", 1)
        move = Move(own_cluster, "eliza_state:key")
        move.begin()
        before = await storage.get("key")
        move.carry()
        during = [await storage.get("key"), await storage.set("key", 2) > 0, await storage.get("key")]
        touched = await storage.touch("key")
        move.end()

        assert (1, [1, True, 2], True) == (before, during, touched)
        assert await storage.update("key", lambda value: value + 1) == 3
        assert {"key": 3, "{other}": 1} == await storage.get_many(["key", "{other}"])
        assert {"key", "{other}"} == {key async for key in storage.keys()}
        assert ["eliza_state:key"] == [name for name in keys_at(move.target) if name == "eliza_state:key"]


async def test_keys_of_a_namespace_that_is_moving_are_removed_together(own_cluster: RedisCluster) -> None:
    """Some keys have gone already, so that the servers refuse to change them in one step until all have."""
    async with RedisStorage[Any](url_of(own_cluster), answer_within_ms=PATIENT_MS) as storage:
        room = storage.namespace("room")
        await room.set_many({"a": 1, "b": 2})
        move = Move(own_cluster, "eliza_state:{room/}a")
        move.begin()
        move.carry()
        removing = asyncio.create_task(room.delete_many(["a", "b"]))
        await asyncio.sleep(0)
        move.name = "eliza_state:{room/}b"
        move.carry()

        assert 2 == await removing
        move.end()
        assert [] == [key async for key in room.keys()]


@pytest.mark.parametrize("fault", ["pause", "kill"])
async def test_a_node_that_fails_takes_its_slots_along_only(own_cluster: RedisCluster, fault: str) -> None:
    keys = [str(number) for number in range(60)]
    async with RedisStorage[Any](url_of(own_cluster), answer_within_ms=1_500) as storage:
        await storage.set_many(dict.fromkeys(keys, 1))
        node = own_cluster.nodes[0]
        for other in own_cluster.nodes[1:]:
            other.configure(cluster_require_full_coverage="no")
        mine = {name.removeprefix("eliza_state:") for name in keys_at(node)}
        getattr(node, fault)()
        with pytest.raises(StoreError):
            await storage.get(next(iter(mine)))

        async def serves_the_rest() -> bool:
            try:
                return [1] * (60 - len(mine)) == [await storage.get(key) for key in keys if key not in mine]
            except StoreError:
                return False

        await eventually(serves_the_rest)
        if fault == "pause":
            node.resume()
        else:
            node.start()

        async def serves_all() -> bool:
            try:
                await storage.set_many(dict.fromkeys(keys, 2))
            except StoreError:
                return False
            return True

        await eventually(serves_all)
        assert dict.fromkeys(keys, 2) == await storage.get_many(keys)


async def test_a_silent_node_is_passed_over_in_the_search(
    own_cluster: RedisCluster, own_redis_server: Callable[..., RedisServer]
) -> None:
    """It is only one of those that are named in the URL."""
    silent = own_redis_server()
    silent.pause()
    url = f"{url_of(own_cluster)},127.0.0.1:{silent.port}"
    for _ in range(4):
        async with RedisStorage[Any](url, answer_within_ms=5_000) as storage:
            assert await storage.set("key", 1)
