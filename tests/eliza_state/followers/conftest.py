"""Followers to test with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from eliza_state.followers import Followers

Follow = Callable[..., Any]


@pytest.fixture
async def following() -> AsyncIterator[Follow]:
    """Make the followers of a manager; they are closed in the end, before the managers."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(manager: Any, **timing: Any) -> Followers:
            timing = {"retry_delay_ms": 1, "poll_interval_ms": 20, **timing}
            return await stack.enter_async_context(Followers(manager, **timing))

        yield make


@pytest.fixture
async def followers(manager: Any, following: Follow) -> Followers:
    """Followers of a store of each kind, which never look at other processes of themselves."""
    return await following(manager, poll_interval_ms=3_600_000)
