"""Reading what is in Redis, over the loopback interface."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.harness import Row, compare
from benchmarks.peers import peer
from benchmarks.places import disk_folder
from benchmarks.storing.sides import (
    SESSION,
    TTL_MS,
    TTL_S,
    Get,
    Run,
    entered,
    keys,
    read_all,
)
from eliza_state.storage.layered import LayeredStore, MemoryLimits
from eliza_state.storage.redis import RedisBackend, RedisStorage
from eliza_state.storage.sql import SqlBackend
from tests.servers import RedisServer

KEYS: Final = keys(100)
RUNS: Final = 25
BARE: Final = "redis-py GET and json.loads"
LITESTAR: Final = "litestar RedisStore and json.loads"


def rows() -> list[Row]:
    """Measure all of this file."""
    with (
        RedisServer() as server,
        disk_folder() as folder,
        entered(_opened(server, f"sqlite:///{folder}/home.db")) as (run, sides),
    ):
        row = partial(_row, run, sides)
        return [
            row("RedisStorage", BARE, bound=1.3),
            row("LayeredStore", BARE, bound=1.3),
            row("RedisStorage", "aiocache RedisCache", bound=1.0),
            row("RedisStorage", "cashews redis", bound=1.0),
            row("RedisStorage", LITESTAR, bound=1.0),
            row("RedisStorage", "py-key-value RedisStore", bound=1.0),
        ]


def _row(run: Run, sides: dict[str, Get], ours: str, other: str, *, bound: float) -> Row:
    return compare(
        f"warm read of a dict from Redis, {ours}",
        ours=lambda: run(read_all(sides[ours], KEYS)),
        other=lambda: run(read_all(sides[other], KEYS)),
        other_name=other,
        unit="µs",
        bound=bound,
        runs=RUNS,
    )


@contextlib.asynccontextmanager
async def _opened(server: RedisServer, home: str) -> AsyncGenerator[dict[str, Get]]:
    async with contextlib.AsyncExitStack() as stack:
        storage = await stack.enter_async_context(RedisStorage[Any](server.url))
        await storage.set_many(dict.fromkeys(KEYS, SESSION), ttl_ms=TTL_MS)
        layers = (RedisBackend(server.url), SqlBackend(home))
        store = LayeredStore[Any](*layers, memory=MemoryLimits(max_entries=0))
        await stack.enter_async_context(store)
        layered = store.namespace("layered")
        await layered.set_many(dict.fromkeys(KEYS, SESSION), ttl_ms=TTL_MS)
        yield {
            "RedisStorage": storage.get,
            "LayeredStore": layered.get,
            **await _redis_py(server, stack),
            **await _aiocache(server, stack),
            **await _cashews(server, stack),
            **await _litestar(server, stack),
            **await _py_key_value(server, stack),
        }


async def _redis_py(server: RedisServer, stack: contextlib.AsyncExitStack) -> dict[str, Get]:
    client = await stack.enter_async_context(Redis.from_url(server.url))
    for key in KEYS:
        await client.set(f"by-hand:{key}", json.dumps(SESSION), ex=TTL_S)

    async def get(key: str) -> Any:
        stored: Any = await client.get(f"by-hand:{key}")
        return json.loads(stored)

    return {BARE: get}


async def _aiocache(server: RedisServer, stack: contextlib.AsyncExitStack) -> dict[str, Get]:
    host, port = server.address
    serializer = peer("aiocache.serializers").JsonSerializer()
    cache = peer("aiocache").RedisCache(
        endpoint=host, port=port, serializer=serializer, namespace="aiocache:"
    )
    await stack.enter_async_context(cache)
    await cache.multi_set([(key, SESSION) for key in KEYS], ttl=TTL_S)
    return {"aiocache RedisCache": cache.get}


async def _cashews(server: RedisServer, stack: contextlib.AsyncExitStack) -> dict[str, Get]:
    cache = peer("cashews").Cache()
    cache.setup(server.url, pickle_type="json")
    stack.push_async_callback(cache.close)
    for key in KEYS:
        await cache.set(f"cashews:{key}", SESSION, expire=TTL_S)

    def get(key: str) -> Any:
        return cache.get(f"cashews:{key}")

    return {"cashews redis": get}


async def _litestar(server: RedisServer, stack: contextlib.AsyncExitStack) -> dict[str, Get]:
    store = peer("litestar.stores.redis").RedisStore.with_client(server.url, namespace="litestar")
    await stack.enter_async_context(store)
    for key in KEYS:
        await store.set(key, json.dumps(SESSION), expires_in=TTL_S)

    async def get(key: str) -> Any:
        return json.loads(await store.get(key))

    return {LITESTAR: get}


async def _py_key_value(server: RedisServer, stack: contextlib.AsyncExitStack) -> dict[str, Get]:
    store = peer("key_value.aio.stores.redis").RedisStore(url=server.url)
    await stack.enter_async_context(store)
    for key in KEYS:
        await store.put(key, SESSION, ttl=TTL_S)
    return {"py-key-value RedisStore": store.get}
