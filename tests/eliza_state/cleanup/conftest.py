"""Stores to clean up."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from eliza_state.manager import StateManager
from eliza_state.testing import ManualClock
from tests.eliza_state.cleanup import chat


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def open_chat(clock: ManualClock) -> AsyncIterator[Callable[..., Any]]:
    """Open managers by one clock; they are closed in the end, the last one first."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_manager(url: str, **options: Any) -> StateManager:
            if url.startswith("sqlite:"):
                url += "?synchronous=NORMAL"
            options = {"modules": chat.modules(), "clock": clock, **options}
            return await stack.enter_async_context(StateManager.open(url, **options))

        yield open_manager


@pytest.fixture
async def store(open_chat: Callable[..., Any], sqlite_url: str) -> StateManager:
    """An open store in a file in which nothing has happened yet."""
    return await open_chat(sqlite_url)
