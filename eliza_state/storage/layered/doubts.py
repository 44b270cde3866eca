"""Keys of which nobody knows whether a write has been done, or will be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable


class Doubts:
    """Remember keys for a while after a write of them whose outcome is unknown: it may still land.

    `monotonic` gives seconds that never go back.
    """

    def __init__(self, *, lasting_ms: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lasting_s = lasting_ms / 1_000
        self._monotonic = monotonic
        self._until_s: dict[str, float] = {}

    def add(self, keys: Iterable[str]) -> None:
        """Doubt keys from now on."""
        now_s = self._monotonic()
        for key, until_s in list(self._until_s.items()):
            if until_s <= now_s:
                del self._until_s[key]
        self._until_s.update(dict.fromkeys(keys, now_s + self._lasting_s))

    def __contains__(self, key: str) -> bool:
        return bool(self._until_s) and self._until_s.get(key, 0.0) > self._monotonic()
