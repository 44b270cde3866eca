"""Storages in SQL databases that are closed in the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.storage.sql import SqlStorage
from eliza_state.testing import FaultProxy
from tests.eliza_state.storage.sql.support import PATIENT_MS, OpenStorage, proxy_to


@pytest.fixture
def file(tmp_path: FilePath) -> FilePath:
    return tmp_path / "state.db"


@pytest.fixture
def file_url(file: FilePath) -> str:
    return f"sqlite:///{file}"


@pytest.fixture(params=["file_url", "postgres_url"])
def url(request: pytest.FixtureRequest) -> str:
    """A database in which there is nothing yet, of either kind."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def open_storage() -> AsyncIterator[OpenStorage]:
    """Open storages with patience, unless said otherwise; in a thread, as a proxy may be in this one."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(url: Any, **options: Any) -> SqlStorage[Any]:
            chosen = {"timeout_ms": PATIENT_MS, **options}
            storage: SqlStorage[Any] = await asyncio.to_thread(SqlStorage, url, **chosen)
            stack.push_async_callback(storage.close)
            return storage

        yield open_one


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[FaultProxy]:
    """A network between a storage and the server of `postgres_url`."""
    async with proxy_to(postgres_url) as proxy:
        yield proxy
