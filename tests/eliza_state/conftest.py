"""Stores to test with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eliza_state.manager import StateManager
from tests.eliza_state import chat

if TYPE_CHECKING:
    from tests.servers import Administrator

Open = Callable[..., Any]

_ON_SERVERS = (
    "test_erasure",
    "test_follower",
    "test_manager",
    "test_manager_concurrency",
    "test_manager_ids",
    "test_restoring",
)


@pytest.fixture
def sqlite_url(tmp_path: FilePath) -> str:
    """A store in a file that is not there yet."""
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture(scope="session")
def postgres_database(postgres_administrator: Administrator) -> Iterator[str]:
    """A PostgreSQL database in which each test makes a schema of its own: a database takes longer to make."""
    url = postgres_administrator.create()
    yield url
    postgres_administrator.drop(url)


@pytest.fixture
def postgres_store(postgres_database: str) -> str:
    """A store in PostgreSQL that is not there yet."""
    return f"{postgres_database}{'&' if '?' in postgres_database else '?'}schema=test_{uuid4().hex}"


@pytest.fixture(params=["sqlite_url", "postgres_store"])
def shared_url(request: pytest.FixtureRequest) -> str:
    """A store, not there yet, that several managers may have open as if they were processes."""
    found: str = request.getfixturevalue(request.param)
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run some of what runs on every store on a server as well: all of it would take minutes."""
    if "store_kind" in metafunc.fixturenames:
        is_for_servers = metafunc.module.__name__.rpartition(".")[2] in _ON_SERVERS
        kinds = ["memory", "sqlite", *(["postgresql"] if is_for_servers else [])]
        metafunc.parametrize("store_kind", kinds)


@pytest.fixture
def url(request: pytest.FixtureRequest, store_kind: str) -> str:
    """A store of each kind."""
    if store_kind == "memory":
        return "memory://"
    found: str = request.getfixturevalue("sqlite_url" if store_kind == "sqlite" else "postgres_store")
    return found


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Open managers of the chat system; they are closed in the end, the last one first."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_manager(url: str = "memory://", **options: Any) -> StateManager:
            if url.startswith("sqlite:") and "?" not in url:
                url += "?synchronous=NORMAL"
            options = {"modules": chat.modules(), **options}
            return await stack.enter_async_context(StateManager.open(url, **options))

        yield open_manager


@pytest.fixture
async def manager(opened: Open, url: str) -> StateManager:
    """An open store of each kind in which nothing has happened yet."""
    return await opened(url)
