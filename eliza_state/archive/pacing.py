"""Room for dispatches between the steps of a pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

_SHARE: Final = 2.0
_LONGEST_S: Final = 0.1


class Pace:
    """Rest after each step for as long as dispatches are coming in; `position` is the last one taken in.

    The rest is twice as long as what the step took, so that a pass is in the way a third of the time at most.
    """

    def __init__(self, position: Callable[[], int]) -> None:
        self._position = position
        self._seen = position()
        self._began_s = time.perf_counter()

    async def rest(self) -> None:
        """Let others go on, after a step."""
        took_s = time.perf_counter() - self._began_s
        position = self._position()
        await asyncio.sleep(min(_SHARE * took_s, _LONGEST_S) if position != self._seen else 0)
        self._seen = self._position()
        self._began_s = time.perf_counter()
