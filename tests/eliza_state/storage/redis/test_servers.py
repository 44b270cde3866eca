"""A primary that moves: sentinels say where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import redis

from eliza_state.errors import StoreError
from eliza_state.storage.redis.storage import RedisStorage
from eliza_state.testing import FaultProxy
from tests.eliza_state.storage.redis.server import PATIENT_MS, eventually
from tests.servers import until

if TYPE_CHECKING:
    from tests.servers import SentinelGroup


def url_of(group: SentinelGroup, *, first: str = "") -> str:
    sentinels = ",".join(f"{host}:{port}" for host, port in group.addresses)
    return f"redis+sentinel://{first}{sentinels}/{group.name}/0"


@pytest.fixture
async def storage(sentinel_group: SentinelGroup) -> AsyncIterator[RedisStorage[Any]]:
    async with RedisStorage[Any](url_of(sentinel_group), answer_within_ms=PATIENT_MS) as storage:
        yield storage


async def test_a_storage_follows_the_primary(
    sentinel_group: SentinelGroup, storage: RedisStorage[Any]
) -> None:
    await storage.set("key", 1)
    changes: list[tuple[str, int]] = []
    lost = asyncio.Event()
    await storage.backend.inner.listen(  # type: ignore[attr-defined]
        lambda key, version: changes.append((key, version)), lost.set
    )
    with sentinel_group.primary.client() as client:
        client.wait(1, 5_000)
    await asyncio.to_thread(sentinel_group.failover)
    version = await storage.set("key", 2)

    assert 2 == await storage.get("key")
    with sentinel_group.replica.client() as client:
        assert 1 == client.exists("eliza_state:key")
    await lost.wait()

    async def is_heard() -> bool:
        await storage.set("key", 3)
        return ("key", version) < max(changes, default=("", 0))

    await eventually(is_heard)


async def test_a_primary_that_was_degraded_is_left(
    sentinel_group: SentinelGroup, storage: RedisStorage[Any]
) -> None:
    """Its connections stay, and it refuses writes; the sentinels know better by then."""
    await storage.set("key", 1)
    with sentinel_group.sentinels[0].client() as client:

        async def is_ordered() -> bool:
            try:
                return bool(client.execute_command("SENTINEL", "FAILOVER", sentinel_group.name))
            except redis.ResponseError:  # it has not heard from the replica yet
                return False

        async def is_stored() -> bool:
            try:
                return await storage.set("key", 2) > 0
            except StoreError:  # in the middle of it
                return False

        await eventually(is_ordered)
    async with asyncio.timeout(PATIENT_MS / 1_000):
        await asyncio.to_thread(
            until, lambda: sentinel_group.primary_address() == sentinel_group.replica.address
        )
    await eventually(is_stored)

    assert 2 == await storage.get("key")


async def test_a_sentinel_that_is_silent_is_passed_over(sentinel_group: SentinelGroup) -> None:
    async with FaultProxy(*sentinel_group.addresses[0]) as proxy:
        proxy.black_hole()
        url = url_of(sentinel_group, first=f"{proxy.address},")
        async with RedisStorage[Any](url, answer_within_ms=5_000) as storage:
            assert await storage.set("key", 1)


async def test_a_service_that_nobody_watches_is_told(sentinel_group: SentinelGroup) -> None:
    url = url_of(sentinel_group).replace("/main/", "/other/")
    async with RedisStorage[Any](url, answer_within_ms=PATIENT_MS) as storage:
        with pytest.raises(StoreError, match="Redis 'other' under sentinels: No master found"):
            await storage.get("key")
