"""Stores to test with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.manager import StateManager
from tests.eliza_state import chat

Open = Callable[..., Any]


@pytest.fixture
def sqlite_url(tmp_path: FilePath) -> str:
    """A store in a file that is not there yet."""
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest) -> str:
    """A store of each kind."""
    return "memory://" if request.param == "memory" else request.getfixturevalue("sqlite_url")


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
