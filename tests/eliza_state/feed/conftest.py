"""Stores that several managers have open, each of which hears of the others only by being woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from eliza_state.change import Change
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.path import Path
from tests.eliza_state import chat

NEVER_MS = 3_600_000
Open = Callable[..., Any]


class Heard:
    """A receiver that remembers the positions of changes, and can be waited for."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._arrived = asyncio.Event()

    def __call__(self, change: Change) -> None:
        self.changes.append(change)
        self._arrived.set()

    @property
    def positions(self) -> list[int]:
        return [change.position for change in self.changes]

    async def until(self, position: int, *, within_s: float = 20) -> None:
        """Wait until a position has come."""
        async with asyncio.timeout(within_s):
            while position not in self.positions:
                self._arrived.clear()
                await self._arrived.wait()


async def say(manager: StateManager, *texts: object, to: Path = chat.TALK) -> None:
    for text in texts:
        await manager.dispatch(chat.Said(user="ada", text=str(text)), to=to)


async def eventually(condition: Callable[[], bool], *, within_s: float = 20) -> None:
    """Wait for what is told to nobody, in bounded time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def problems_of(manager: StateManager) -> list[str]:
    """What was reported, but that this machine's SQLite is an old one."""
    return [problem.kind for problem in manager.problems if problem.kind != "journal"]


@pytest.fixture
def woken(opened: Open) -> Open:
    """Open managers that never look at the journal unless something wakes them."""

    async def open_manager(url: str, **options: Any) -> StateManager:
        limits = Limits(feed_interval_ms=options.pop("feed_interval_ms", NEVER_MS))
        manager: StateManager = await opened(url, limits=limits, **options)
        return manager

    return open_manager
