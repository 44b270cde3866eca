"""How fast a pass goes: a part of the time, so that those who dispatch hardly notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from eliza_state.errors import StateError

_LONGEST_S: Final = 1.0


class Pace:
    """Work for a share of the time, above 0 and up to 1, and rest for the others', a second at most.

    `monotonic` gives seconds that never go back. Raises `StateError` for a share that is none.
    """

    def __init__(self, share: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        if not 0 < share <= 1:
            raise StateError(f"the share of a clean-up is above 0 and up to 1, got {share!r}")
        self._rest = (1 - share) / share
        self._monotonic = monotonic
        self._started_s = monotonic()

    async def breathe(self) -> None:
        """Rest for as long as the slice since the last rest calls for; everybody else has a turn at least."""
        worked_s = self._monotonic() - self._started_s
        await asyncio.sleep(min(worked_s * self._rest, _LONGEST_S))
        self._started_s = self._monotonic()
