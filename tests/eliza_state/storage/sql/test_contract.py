"""What every storage and every backend promises, kept in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.storage.sql.storage import SqlStorage
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import BackendContract, StorageContract

# A machine that is busy with other tests must not look like a database that is locked.
PATIENT_MS = 30_000


class SqlContract(StorageContract, BackendContract):
    opens_twice = True

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def reopen(self, url: str, clock: ManualClock) -> Callable[[], SqlStorage[Any]]:
        return lambda: SqlStorage[Any](url, timeout_ms=PATIENT_MS, clock=clock)

    @pytest.fixture
    async def storage(self, reopen: Callable[[], SqlStorage[Any]]) -> AsyncIterator[SqlStorage[Any]]:
        async with reopen() as storage:
            yield storage


class TestSqliteFile(SqlContract):
    @pytest.fixture
    def url(self, tmp_path: FilePath) -> str:
        return f"sqlite:///{tmp_path}/state.db"


class TestSqliteInMemory(StorageContract, BackendContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[SqlStorage[Any]]:
        async with SqlStorage[Any]("sqlite://", clock=clock) as storage:
            yield storage


class TestPostgres(SqlContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url


del SqlContract
