"""A clock that a test turns."""

from __future__ import annotations

import datetime
from typing import Final

from eliza_state.change import to_datetime, to_microseconds

START: Final = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
"""Where a `ManualClock` starts unless told otherwise."""


class ManualClock:
    """A clock that stands still until it is turned; called, it gives microseconds since 1970.

    Hand it to `StateManager.open(clock=…)`. It may be turned back, as clocks of machines are.
    """

    def __init__(self, at: datetime.datetime | int = START) -> None:
        """Stand at a time: aware, or in microseconds since 1970."""
        self._at_us = _microseconds(at)

    def __call__(self) -> int:
        return self._at_us

    def __repr__(self) -> str:
        return f"ManualClock({self.now.isoformat()})"

    @property
    def now(self) -> datetime.datetime:
        """What the clock shows, in UTC."""
        return to_datetime(self._at_us)

    def advance(self, *, ms: float) -> None:
        """Turn the clock on by milliseconds; back, when they are negative."""
        self._at_us += round(ms * 1_000)

    def set(self, at: datetime.datetime | int) -> None:
        """Turn the clock to a time: aware, or in microseconds since 1970."""
        self._at_us = _microseconds(at)


def _microseconds(at: datetime.datetime | int) -> int:
    return at if isinstance(at, int) else to_microseconds(at)
