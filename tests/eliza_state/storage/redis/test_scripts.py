"""What the scripts leave on the server where a write keeps the deadline that is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from eliza_state.storage.backend import Entry, Write
from eliza_state.storage.redis.calls import GRACE_MS
from eliza_state.storage.redis.storage import RedisBackend
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.redis.server import PATIENT_MS

TTL_MS = 600_000
HALF_MS = TTL_MS // 2


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def backend(redis_url: str, clock: ManualClock) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(redis_url, answer_within_ms=PATIENT_MS, clock=clock)
    yield backend
    await backend.close()


@pytest.fixture
def bare(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client, as somebody else's tool would be."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


async def test_the_server_drops_an_entry_after_the_deadline_that_was_kept(
    backend: RedisBackend, bare: redis.Redis, clock: ManualClock
) -> None:
    seen_ms = clock() // 1_000 + TTL_MS
    (first,) = await backend.write([Write("a", b"1", seen_ms, TTL_MS)])
    clock.advance(ms=HALF_MS)
    await backend.touch(["a"])
    clock.advance(ms=1)
    write = Write("a", b"2", seen_ms, TTL_MS, expected=first.version, keeps_deadline=True)
    (second,) = await backend.write([write])

    assert {"a": Entry(b"2", second.version, seen_ms + HALF_MS, TTL_MS)} == await backend.read(["a"])
    assert HALF_MS + GRACE_MS < bare.pttl("eliza_state:a") < TTL_MS + GRACE_MS


async def test_an_entry_that_stays_is_never_dropped(backend: RedisBackend, bare: redis.Redis) -> None:
    (first,) = await backend.write([Write("a", b"1")])
    (second,) = await backend.write([Write("a", b"2", expected=first.version, keeps_deadline=True)])

    assert {"a": Entry(b"2", second.version)} == await backend.read(["a"])
    assert -1 == bare.pttl("eliza_state:a")
