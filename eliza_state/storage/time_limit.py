"""Limits on how long to wait for somebody else, in which a busy event loop does not count."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Any, Final

_LATE_S: Final = 0.05


class TimeLimits:
    """Limit how long calls wait, all of one place with a single timer.

    A timer for each call costs the event loop about what a write to SQLite does, and next to none of them
    is ever due. Event loops may come one after the other.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at_s = math.inf
        self._running: set[TimeLimit] = set()

    def within(self, seconds: float) -> TimeLimit:
        """Return a limit on what is done inside it, for so many seconds from now."""
        loop = asyncio.get_running_loop()
        return self._limit(loop, loop.time() + seconds)

    def until(self, end_s: float) -> TimeLimit:
        """Return a limit on what is done inside it, up to a time of the event loop's clock."""
        return self._limit(asyncio.get_running_loop(), end_s)

    def _limit(self, loop: asyncio.AbstractEventLoop, end_s: float) -> TimeLimit:
        if loop is not self._loop:
            # The calls of an event loop that has ended are due no more.
            self._loop, self._timer, self._running = loop, None, set()
            self._looks_at_s = math.inf
        if end_s < self._looks_at_s:
            self._look_at(loop, end_s)
        task = asyncio.current_task(loop)
        assert task is not None, "only a task can be told to stop waiting"
        return TimeLimit(self._running, end_s, task)

    def _look_at(self, loop: asyncio.AbstractEventLoop, time_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at_s = max(time_s, loop.time())
        self._timer = loop.call_at(self._looks_at_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is overdue; where the loop has been busy, give answers that may be there time first."""
        now_s = loop.time()
        late_s = now_s - self._looks_at_s
        self._timer, self._looks_at_s = None, math.inf
        for limit in [limit for limit in self._running if limit.end_s <= now_s]:
            if late_s < _LATE_S:
                limit.end()
            else:
                limit.end_s = now_s + late_s
        if self._running:
            self._look_at(loop, min(limit.end_s for limit in self._running))


class TimeLimit:
    """Cancel what is done inside when its time is up, and raise `TimeoutError`.

    It is `asyncio.timeout_at` but for one thing: when the loop was busy and gets to it late, the answer may
    be there and only have to be read. Then as much time is added as the loop was late, before each decision.
    """

    __slots__ = ("_cancelling", "_has_ended", "_running", "_task", "end_s")

    def __init__(self, running: set[TimeLimit], end_s: float, task: asyncio.Task[Any]) -> None:
        self.end_s = end_s
        """When the time is up, by the event loop's clock."""
        self._running = running
        self._task = task
        self._has_ended = False

    def __enter__(self) -> None:
        self._cancelling = self._task.cancelling()
        self._running.add(self)

    def end(self) -> None:
        """Say that the time is up."""
        self._running.discard(self)
        self._has_ended = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.discard(self)
        # As in `asyncio.Timeout`: a cancellation by somebody else stays one.
        if self._has_ended and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
