"""The clock of stores: microseconds since 1970, handed to whatever needs the time, so that tests turn it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Gives microseconds since 1970; it may jump, as the clocks of machines do."""


def now_us() -> int:
    """Return the wall clock in microseconds since 1970."""
    return time.time_ns() // 1_000
