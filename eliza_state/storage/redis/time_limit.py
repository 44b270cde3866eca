"""A limit on how long to wait for somebody else, in which a busy event loop does not count."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

_LATE_S: Final = 0.05


class TimeLimit:
    """Cancel what is done inside at a time of the event loop's clock, and raise `TimeoutError`.

    It is `asyncio.timeout_at` but for one thing: when the loop was busy and gets to it late, the answer may
    be there and only have to be read. Then as much time is added as the loop was late, before each decision.
    """

    __slots__ = ("_loop", "_timeout", "_timer", "_until_s")

    def __init__(self, until_s: float) -> None:
        self._until_s = until_s

    async def __aenter__(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self._until_s = max(self._until_s, loop.time())
        self._timer = loop.call_at(self._until_s, self._due)

    def _due(self) -> None:
        now_s = self._loop.time()
        late_s = now_s - self._until_s
        if late_s < _LATE_S:
            self._timeout.reschedule(now_s)
        else:
            self._until_s = now_s + late_s
            self._timer = self._loop.call_at(self._until_s, self._due)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)
