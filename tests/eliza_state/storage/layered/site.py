"""Layered stores over real servers, as several processes would open them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import attrs
import redis

from eliza_state.clock import Clock, now_us
from eliza_state.storage.backend import Backend
from eliza_state.storage.layered import LayeredStore, LayerStatus
from eliza_state.storage.redis import RedisBackend
from eliza_state.storage.sql import SqlBackend
from eliza_state.testing.backends import FaultyBackend
from tests.eliza_state.storage.redis.server import PATIENT_MS, eventually

PATIENT: Final = {"redis": PATIENT_MS, "sql": PATIENT_MS}
CHANNEL: Final = "eliza_state:changes"


@attrs.define
class Site:
    """A Redis and a database; `store` opens what a process would, and `closing` closes it all."""

    redis_url: str
    home_url: str
    listening: list[LayeredStore[Any]] = attrs.field(factory=list)
    quiet_stores: list[LayeredStore[Any]] = attrs.field(factory=list)

    def home(self, clock: Clock = now_us) -> SqlBackend:
        """Open the database."""
        return SqlBackend(self.home_url, timeout_ms=PATIENT_MS, clock=clock)

    def store(
        self,
        *,
        redis_url: str | None = None,
        home: Backend[bytes] | None = None,
        clock: Clock = now_us,
        **options: Any,
    ) -> LayeredStore[Any]:
        """Open a store; `redis_url` leads to the same Redis on another way."""
        options = {"timeouts_ms": PATIENT, "max_age_ms": PATIENT_MS * 10, **options}
        cache = RedisBackend(redis_url or self.redis_url, answer_within_ms=PATIENT_MS, clock=clock)
        store = LayeredStore[Any](cache, home or self.home(clock), clock=clock, **options)
        self.listening.append(store)
        return store

    def quiet(self) -> LayeredStore[Any]:
        """Open a store that writes to the database and tells nobody."""
        store = LayeredStore[Any](self.home(), timeouts_ms={"sql": PATIENT_MS})
        self.quiet_stores.append(store)
        return store

    def held(self) -> tuple[LayeredStore[Any], FaultyBackend[bytes]]:
        """Open a store with its home, whose calls wait when they are told to."""
        home = FaultyBackend(self.home())
        return self.store(home=home), home

    @contextlib.contextmanager
    def client(self) -> Any:
        """Lend a plain client of the Redis."""
        with redis.Redis.from_url(self.redis_url) as client:
            yield client

    async def hearing(self, store: LayeredStore[Any], key: str, value: Any) -> None:
        """Wait until a store hears what others write, and reads a key from memory."""
        await store.get(key)
        with self.client() as client:

            async def are_subscribed() -> bool:
                return bool(client.pubsub_numsub(CHANNEL)[0][1] == len(self.listening))

            async def is_hit() -> bool:
                hits = status(store, "memory").hits
                assert await store.get(key) == value
                return status(store, "memory").hits > hits

            await eventually(are_subscribed)
        # Memory is emptied when listening begins, which the server knows before the store does.
        await eventually(lambda: is_listening(store))
        await eventually(is_hit)

    async def close(self) -> None:
        for store in (*self.listening, *self.quiet_stores):
            await store.close()


async def is_listening(store: LayeredStore[Any]) -> bool:
    """Tell whether a store hears what others write."""
    return all(heard._listener is not None for heard in store.backend._invalidations)  # type: ignore[attr-defined]


def status(store: LayeredStore[Any], layer: str) -> LayerStatus:
    """Return the figures of one layer."""
    return next(status for status in store.status() if status.name == layer)


@contextlib.asynccontextmanager
async def closing(site: Site) -> AsyncIterator[Site]:
    """Close the stores of a site in the end, in bounded time."""
    try:
        yield site
    finally:
        async with asyncio.timeout(PATIENT_MS / 1_000):
            await site.close()
