"""A time limit that all calls of a layer share, at the cost of one timer for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

R = TypeVar("R")


class CallLimit:
    """Await answers, each for at most so many seconds.

    It does what `asyncio.timeout` does. But a timer for each call costs the event loop about what a write to
    SQLite does; and as all calls have the same limit, the oldest of them is due first.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds: Final = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends_s: dict[asyncio.Timeout, float] = {}  # the oldest first

    async def answer(self, awaitable: Awaitable[R]) -> R:
        """Return what comes of an awaitable; cancel it and raise `TimeoutError` when the time is up."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Loops come one after the other: the calls of one that has ended are due no more.
            self._loop, self._timer, self._ends_s = loop, None, {}
        ends_s = self._ends_s
        async with asyncio.timeout(None) as timeout:
            ends_s[timeout] = end_s = loop.time() + self.seconds
            if self._timer is None:
                self._timer = loop.call_at(end_s, self._end_overdue, loop)
            try:
                return await awaitable
            finally:
                ends_s.pop(timeout, None)

    def _end_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        while self._ends_s:
            timeout, end_s = next(iter(self._ends_s.items()))
            if end_s > now_s:
                self._timer = loop.call_at(end_s, self._end_overdue, loop)
                return
            del self._ends_s[timeout]
            timeout.reschedule(now_s)
        self._timer = None
