"""Who listens hears of every change, or that something may have been missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import redis.asyncio

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Write
from eliza_state.storage.redis.changes import RedisListener
from eliza_state.storage.redis.storage import RedisBackend, RedisStorage
from eliza_state.testing import FaultProxy
from tests.eliza_state.storage.redis.server import PATIENT_MS, eventually

if TYPE_CHECKING:
    from tests.servers import RedisCluster, RedisServer

LOST = ("lost", 0)


@attrs.define(eq=False)
class Heard:
    """What a listener was told, in its order."""

    told: list[tuple[str, int]] = attrs.field(factory=list)

    def changed(self, key: str, version: int) -> None:
        self.told.append((key, version))

    def lost(self) -> None:
        self.told.append(LOST)

    async def wait_for(self, count: int) -> list[tuple[str, int]]:
        async def are_told() -> bool:
            return len(self.told) >= count

        await eventually(are_told)
        return self.told


Listen = Callable[[RedisBackend], Awaitable[tuple[Heard, RedisListener]]]


async def listen(backend: RedisBackend) -> tuple[Heard, RedisListener]:
    heard = Heard()
    return heard, await backend.listen(heard.changed, heard.lost)


@pytest.fixture
async def storage(redis_url: str) -> AsyncIterator[RedisStorage[Any]]:
    async with RedisStorage[Any](redis_url, answer_within_ms=PATIENT_MS) as storage:
        yield storage


@pytest.fixture
async def listening(redis_url: str) -> AsyncIterator[RedisBackend]:
    """The backend of another process."""
    backend = RedisBackend(redis_url, answer_within_ms=PATIENT_MS)
    yield backend
    await backend.close()


async def test_every_write_is_heard_of(storage: RedisStorage[Any], listening: RedisBackend) -> None:
    heard, _ = await listen(listening)
    room = storage.namespace("room", "a/{b}")
    versions = [await storage.set("key {1}", 1)]
    versions += [await room.set("key {1}", 2, ttl_ms=60_000), await room.set("key {1}", 3)]

    in_room = "room/a%2F{b}/key {1}"
    assert list(zip(["key {1}", in_room, in_room], versions, strict=True)) == await heard.wait_for(3)


async def test_every_removal_is_heard_of_as_a_higher_version(
    storage: RedisStorage[Any], listening: RedisBackend
) -> None:
    versions = {key: await storage.set(key, 1) for key in ("a", "b", "c")}
    heard, _ = await listen(listening)
    await storage.delete("a")
    await storage.delete("b", expected_version=versions["b"])
    await storage.clear()

    told = await heard.wait_for(3)
    assert ["a", "b", "c"] == [key for key, _ in told]
    assert all(version > versions[key] for key, version in told)


async def test_what_changes_nothing_is_not_heard_of(
    storage: RedisStorage[Any], listening: RedisBackend
) -> None:
    version = await storage.set("key", 1, ttl_ms=60_000)
    backend: RedisBackend = storage.backend.inner  # type: ignore[attr-defined]
    heard, _ = await listen(listening)
    await storage.touch("key")
    await storage.delete("missing")
    await backend.write([Write("key", b"", expected=version + 1), Write("copy", b"", version=5)])
    await backend.write_copies([Write("copy", b"", version=6)], max_age_ms=1_000)
    await backend.drop_copies(["copy"])
    last = await storage.set("last", 1)

    assert [("last", last)] == await heard.wait_for(1)


async def test_copies_are_heard_of_where_that_is_asked_for(
    storage: RedisStorage[Any], listening: RedisBackend
) -> None:
    backend: RedisBackend = storage.backend.inner  # type: ignore[attr-defined]
    heard, _ = await listen(listening)
    for write in (
        Write("a", b"", version=6),
        Write("a", b"", version=5),
        Write("a", GONE, 10**12, 1, version=7),
    ):
        await backend.write_copies([write], max_age_ms=1_000, announce=True)

    assert [("a", 6), ("a", 5), ("a", 7)] == await heard.wait_for(3)


async def test_prefixes_do_not_hear_of_each_other(redis_url: str, storage: RedisStorage[Any]) -> None:
    other = RedisBackend(redis_url, prefix="other", answer_within_ms=PATIENT_MS)
    heard, _ = await listen(other)
    await storage.set("key", 1)
    (last,) = await other.write([Write("last", b"")])

    assert [("last", last.version)] == await heard.wait_for(1)
    await other.close()


async def test_nothing_is_heard_after_closing(storage: RedisStorage[Any], listening: RedisBackend) -> None:
    still, _ = await listen(listening)
    heard, listener = await listen(listening)
    await listener.close()
    await listener.close()
    await storage.set("key", 1)
    await still.wait_for(1)

    assert [] == heard.told


@pytest.mark.parametrize("protocol", [2, 3])
async def test_it_listens_over_an_applications_client(
    redis_url: str, storage: RedisStorage[Any], protocol: int
) -> None:
    async with redis.asyncio.Redis.from_url(redis_url, protocol=protocol, decode_responses=True) as client:
        backend = RedisBackend(client, answer_within_ms=PATIENT_MS)
        heard, _ = await listen(backend)
        version = await storage.set("key", 1)

        assert [("key", version)] == await heard.wait_for(1)
        await backend.close()


async def test_a_callback_that_raises_ends_nothing(
    storage: RedisStorage[Any], listening: RedisBackend, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()

    def changed(key: str, version: int) -> None:
        heard.changed(key, version)
        raise LookupError(key)

    with caplog.at_level(logging.ERROR):
        await listening.listen(changed, heard.lost)
        await storage.set("a", 1)
        await storage.set("b", 1)
        await heard.wait_for(2)

    assert ["LookupError: a", "LookupError: b"] == [
        record.exc_text.splitlines()[-1].replace("'", "") for record in caplog.records if record.exc_text
    ]


# connections


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(*redis_server.address) as proxy:
        yield proxy


async def test_a_broken_connection_is_told_before_anything_new(
    redis_server: RedisServer, proxy: FaultProxy, storage: RedisStorage[Any]
) -> None:
    backend = RedisBackend(f"redis://{proxy.address}", answer_within_ms=PATIENT_MS)
    heard, _ = await listen(backend)
    first = await storage.set("first", 1)
    await heard.wait_for(1)
    proxy.refuse()
    proxy.reset()
    await heard.wait_for(2)
    await storage.set("missed", 1)
    proxy.heal()
    await heard.wait_for(3)
    last = await storage.set("last", 1)

    assert [("first", first), LOST, LOST, ("last", last)] == await heard.wait_for(4)
    await backend.close()


async def test_a_silent_connection_is_noticed(
    redis_server: RedisServer, proxy: FaultProxy, storage: RedisStorage[Any]
) -> None:
    backend = RedisBackend(f"redis://{proxy.address}", answer_within_ms=200)
    heard, _ = await listen(backend)
    proxy.black_hole()
    await heard.wait_for(1)
    proxy.heal()
    await heard.wait_for(2)

    async def is_heard() -> bool:
        return ("key", await storage.set("key", 1)) > max(heard.told[2:], default=("", 0)) and any(
            key == "key" for key, _ in heard.told
        )

    await eventually(is_heard)
    assert [LOST, LOST] == heard.told[:2]
    await backend.close()


async def test_a_quiet_connection_is_kept(redis_server: RedisServer, storage: RedisStorage[Any]) -> None:
    """The server is asked for signs of life meanwhile, and gives them."""
    backend = RedisBackend(redis_server.url, answer_within_ms=1_000)
    heard, _ = await listen(backend)
    with redis_server.client() as client:

        async def is_asked() -> bool:
            return bool(client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"] > pings)

        pings = client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]
        await eventually(is_asked)
    version = await storage.set("key", 1)

    assert [("key", version)] == await heard.wait_for(1)
    await backend.close()


async def test_it_listens_again_when_the_server_is_back(own_redis_server: Callable[..., RedisServer]) -> None:
    server = own_redis_server()
    async with RedisStorage[Any](server.url, answer_within_ms=PATIENT_MS) as storage:
        heard, _ = await listen(storage.backend.inner)  # type: ignore[attr-defined]
        await asyncio.to_thread(server.kill)
        await heard.wait_for(1)
        await asyncio.to_thread(server.start)
        await heard.wait_for(2)
        version = await storage.set("key", 1)

        assert [LOST, LOST, ("key", version)] == await heard.wait_for(3)


async def test_where_nobody_answers_listening_does_not_begin(
    proxy: FaultProxy, redis_server: RedisServer
) -> None:
    tasks = asyncio.all_tasks()
    backend = RedisBackend(f"redis://{proxy.address}", answer_within_ms=200)
    for fault in (proxy.black_hole, proxy.refuse):
        fault()
        with pytest.raises(StoreError):
            await backend.listen(lambda *_: None, lambda: None)
        proxy.heal()
    await backend.close()

    async def are_gone() -> bool:  # those of the proxy, of which it has one for each connection
        return asyncio.all_tasks() <= tasks

    await eventually(are_gone)


async def test_listening_ends_with_its_loop(redis_url: str) -> None:
    backend = RedisBackend(redis_url, answer_within_ms=PATIENT_MS)
    await asyncio.to_thread(asyncio.run, backend.listen(lambda *_: None, lambda: None))
    await backend.close()


async def test_a_cancelled_beginning_leaves_nothing(redis_url: str, listening: RedisBackend) -> None:
    for steps in range(12):
        task = asyncio.ensure_future(listening.listen(lambda *_: None, lambda: None))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task.result().close()

    assert {asyncio.current_task()} >= {task for task in asyncio.all_tasks() if "listen" in repr(task)}


async def test_a_loop_that_ends_as_listening_begins_leaves_no_connection(
    redis_url: str, listening: RedisBackend
) -> None:
    """It cancels both tasks before the one that listens has run at all."""
    loop = asyncio.get_running_loop()
    opening = asyncio.ensure_future(listening.listen(lambda *_: None, lambda: None))

    def born_cancelled(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        task = asyncio.Task(coroutine, loop=loop, **options)
        if coroutine.__name__ == "_listen":
            task.cancel()
            opening.cancel()
        return task

    loop.set_task_factory(born_cancelled)
    await asyncio.wait([opening])
    loop.set_task_factory(None)
    with redis.Redis.from_url(redis_url) as client:

        async def is_gone() -> bool:
            return not client.pubsub_numsub("eliza_state:changes")[0][1]

        await eventually(is_gone)
    assert opening.cancelled()


async def test_all_nodes_of_a_cluster_are_heard(redis_cluster: RedisCluster) -> None:
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    async with RedisStorage[Any](url, answer_within_ms=PATIENT_MS) as storage:
        heard, _ = await listen(storage.backend.inner)  # type: ignore[attr-defined]
        written = {(key, await storage.set(key, 1)) for key in map(str, range(30))}

        assert written == set(await heard.wait_for(30))
