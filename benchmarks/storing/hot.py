"""Reading what is in memory."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final

import attrs

from benchmarks.dispatching import TEXT
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
from eliza_state.storage import LruMemoryStorage, MemoryStorage, Storage
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.sql import SqlBackend

KEYS: Final = keys(1_000)
ROUNDS: Final = 5
RUNS: Final = 15
CACHETOOLS: Final = "cachetools.TTLCache in a coroutine"
COPYING: Final = "cachetools.TTLCache and copy.deepcopy"


@attrs.frozen
class Sides:
    """How each side reads: of a text, which cannot change, and of a dict, which each reader gets anew."""

    text: dict[str, Get]
    session: dict[str, Get]


def rows() -> list[Row]:
    """Measure all of this file."""
    with disk_folder() as folder, entered(_opened(f"sqlite:///{folder}/home.db")) as (run, sides):
        text = partial(_row, run, sides.text, "text")
        session = partial(_row, run, sides.session, "dict")
        return [
            text("MemoryStorage", CACHETOOLS, bound=3.0),
            text("LruMemoryStorage", CACHETOOLS, bound=3.0),
            text("LayeredStore", CACHETOOLS, bound=3.0),
            text("LayeredStore", "aiocache SimpleMemoryCache", bound=1.0),
            text("LayeredStore", "cashews in memory", bound=1.0),
            text("LayeredStore", "litestar MemoryStore", bound=1.0),
            session("LayeredStore", COPYING, bound=3.0),
            session("LayeredStore", "py-key-value MemoryStore", bound=1.0),
        ]


def _row(run: Run, sides: dict[str, Get], what: str, ours: str, other: str, *, bound: float) -> Row:
    def taken(get: Get) -> float:
        run(read_all(get, KEYS))  # a copy in the layered store's memory is fresh for a second
        return run(read_all(get, KEYS * ROUNDS, clock=time.process_time))

    return compare(
        f"hot read of a {what}, {ours}",
        ours=lambda: taken(sides[ours]),
        other=lambda: taken(sides[other]),
        other_name=other,
        unit="µs",
        bound=bound,
        runs=RUNS,
    )


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[Sides]:
    async with contextlib.AsyncExitStack() as stack:
        stores: dict[str, Storage[Any]] = {
            "MemoryStorage": MemoryStorage(),
            "LruMemoryStorage": LruMemoryStorage(max_entries=len(KEYS) * 2),
            "LayeredStore": LayeredStore(SqlBackend(url)),
        }
        text: dict[str, Get] = {}
        session: dict[str, Get] = {}
        for name, store in stores.items():
            await stack.enter_async_context(store)
            await store.set_many(dict.fromkeys(KEYS, TEXT), ttl_ms=TTL_MS)
            text[name] = store.get
            below = store.namespace("session")
            await below.set_many(dict.fromkeys(KEYS, SESSION), ttl_ms=TTL_MS)
            session[name] = below.get
        yield Sides(
            text={**text, **_cachetools(), **await _aiocache(), **await _cashews(stack), **await _litestar()},
            session={**session, **_copying(), **await _py_key_value()},
        )


def _cachetools() -> dict[str, Get]:
    cache = peer("cachetools").TTLCache(maxsize=len(KEYS) * 2, ttl=TTL_S)
    cache.update(dict.fromkeys(KEYS, TEXT))

    async def get(key: str) -> Any:
        return cache[key]

    return {CACHETOOLS: get}


def _copying() -> dict[str, Get]:
    cache = peer("cachetools").TTLCache(maxsize=len(KEYS) * 2, ttl=TTL_S)
    cache.update(dict.fromkeys(KEYS, SESSION))

    async def get(key: str) -> Any:
        return copy.deepcopy(cache[key])

    return {COPYING: get}


async def _aiocache() -> dict[str, Get]:
    cache = peer("aiocache").SimpleMemoryCache()
    await cache.multi_set([(key, TEXT) for key in KEYS], ttl=TTL_S)
    return {"aiocache SimpleMemoryCache": cache.get}


async def _cashews(stack: contextlib.AsyncExitStack) -> dict[str, Get]:
    cache = peer("cashews").Cache()
    cache.setup("mem://", size=len(KEYS) * 2)
    stack.push_async_callback(cache.close)
    await cache.set_many(dict.fromkeys(KEYS, TEXT), expire=TTL_S)
    return {"cashews in memory": cache.get}


async def _litestar() -> dict[str, Get]:
    store = peer("litestar.stores.memory").MemoryStore()
    for key in KEYS:
        await store.set(key, TEXT, expires_in=TTL_S)
    return {"litestar MemoryStore": store.get}


async def _py_key_value() -> dict[str, Get]:
    store = peer("key_value.aio.stores.memory").MemoryStore()
    for key in KEYS:
        await store.put(key, SESSION, ttl=TTL_S)
    return {"py-key-value MemoryStore": store.get}
