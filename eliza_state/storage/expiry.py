"""Times to live: milliseconds in, an absolute deadline out."""

from __future__ import annotations

import math
from typing import Final

MAX_TTL_MS: Final = 100 * 366 * 24 * 60 * 60 * 1_000
"""A hundred years; a longer time to live is more likely a mistaken unit."""


def check_ttl(ttl_ms: float | None) -> int | None:
    """Return a time to live in whole milliseconds, rounded up; `None` stays: no deadline.

    Raises `ValueError` for zero, negative, infinite and undefined numbers and for more than a hundred years,
    `TypeError` for what is no number.
    """
    if ttl_ms is None:
        return None
    if isinstance(ttl_ms, bool) or not isinstance(ttl_ms, int | float):
        raise TypeError(f"a time to live is a number of milliseconds, got {ttl_ms!r}")
    if not 0 < ttl_ms <= MAX_TTL_MS:  # false for NaN too
        raise ValueError(f"a time to live is more than 0 and at most {MAX_TTL_MS} ms, got {ttl_ms!r}")
    return math.ceil(ttl_ms)
