"""Leave alone what does not answer, and ask again after a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from eliza_state.errors import StoreError

_LONGEST_PAUSE_MS: Final = 30_000


class LayerDown(StoreError):
    """A layer has failed several times in a row and is left alone for a while."""


class Breaker:
    """Count failures in a row; after `failures` of them refuse for a pause, which doubles up to 30 s.

    After the pause one call is let through to try; its outcome closes or opens the breaker (Nygard,
    "Release It!", 2007). `monotonic` gives seconds that never go back.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        pause_ms: float = 500,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or pause_ms <= 0:
            raise ValueError(f"expected a positive count and pause, got {failures=} and {pause_ms=}")
        self._failures = failures
        self._first_pause_ms = pause_ms
        self._pause_ms = pause_ms
        self._monotonic = monotonic
        self._in_a_row = 0
        self._opened_at_s = 0.0
        self._trying = False
        self.is_closed = True
        """Whether calls go through as usual."""

    @property
    def permits(self) -> bool:
        """Whether a call may go through now: as usual, or to try."""
        if self.is_closed:
            return True
        return not self._trying and (self._monotonic() - self._opened_at_s) * 1_000 >= self._pause_ms

    def begin(self) -> None:
        """Say that a call goes through; while it is closed this need not be said."""
        self._trying = not self.is_closed

    def succeeded(self) -> None:
        """Say that a call came back: that ends an outage."""
        self._in_a_row = 0
        self._pause_ms = self._first_pause_ms
        self._trying = False
        self.is_closed = True

    def failed(self) -> None:
        """Say that a call failed."""
        self._in_a_row += 1
        self.is_closed = self._in_a_row < self._failures
        if self.is_closed:
            return
        if self._trying:
            self._pause_ms = min(self._pause_ms * 2, _LONGEST_PAUSE_MS)
        self._trying = False
        self._opened_at_s = self._monotonic()

    def abandoned(self) -> None:
        """Say that a call was given up before it came back: it tells nothing."""
        self._trying = False
