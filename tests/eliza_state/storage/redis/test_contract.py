"""What every storage promises, kept by one in Redis: on one server and in a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from eliza_state.storage.redis.storage import RedisStorage
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.redis.server import PATIENT_MS

if TYPE_CHECKING:
    from tests.servers import RedisCluster


class RedisContract(StorageContract):
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def open_(self, url: str, clock: ManualClock) -> Callable[[], RedisStorage[Any]]:
        return lambda: RedisStorage[Any](url, answer_within_ms=PATIENT_MS, clock=clock)

    @pytest.fixture
    async def storage(self, open_: Callable[[], RedisStorage[Any]]) -> AsyncIterator[RedisStorage[Any]]:
        async with open_() as storage:
            yield storage

    @pytest.fixture
    def reopen(self, open_: Callable[[], RedisStorage[Any]]) -> Callable[[], RedisStorage[Any]]:
        return open_


class TestOneServer(RedisContract):
    @pytest.fixture
    def url(self, redis_url: str) -> str:
        return redis_url


class TestCluster(RedisContract):
    @pytest.fixture
    def url(self, redis_cluster: RedisCluster) -> str:
        return redis_cluster.url.replace("redis://", "redis+cluster://").removesuffix("/0")


del RedisContract
