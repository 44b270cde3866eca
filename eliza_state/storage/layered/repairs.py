"""Copies in a cache that are not to be trusted: their keys were written while it could not be told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

MAX_KEYS: Final = 100_000
"""How many keys are remembered one by one; beyond it all copies are distrusted."""


class Repairs:
    """Remember keys until their copies are repaired; past a bound, distrust all copies instead.

    A key may be held back for a while first: a write whose outcome is unknown may still land.
    """

    def __init__(self, *, max_keys: int = MAX_KEYS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._max_keys = max_keys
        self._monotonic = monotonic
        self._not_before_s: dict[str, float] = {}
        self._all = False

    def __bool__(self) -> bool:
        return self._all or bool(self._not_before_s)

    @property
    def count(self) -> int:
        """How many keys wait; -1 for all there are."""
        return -1 if self._all else len(self._not_before_s)

    @property
    def concerns_all(self) -> bool:
        """Whether no copy is to be trusted."""
        return self._all

    def concerns(self, key: str) -> bool:
        """Tell whether a key's copy is not to be trusted."""
        return self._all or key in self._not_before_s

    def add(self, keys: Iterable[str], *, delay_ms: float = 0) -> None:
        """Distrust the copies of keys; repair them after a while, at the earliest."""
        not_before_s = self._monotonic() + delay_ms / 1_000
        for key in keys:
            self._not_before_s[key] = max(not_before_s, self._not_before_s.get(key, 0.0))
        if len(self._not_before_s) > self._max_keys:
            self._not_before_s.clear()
            self._all = True

    def due(self, *, limit: int = 500) -> dict[str, float]:
        """Return keys that can be repaired now, each with what `done` wants back."""
        now_s = self._monotonic()
        found: dict[str, float] = {}
        for key, not_before_s in self._not_before_s.items():
            if not_before_s <= now_s:
                found[key] = not_before_s
                if len(found) == limit:
                    break
        return found

    def done(self, repaired: dict[str, float]) -> None:
        """Trust copies again, except those that were distrusted anew meanwhile."""
        for key, not_before_s in repaired.items():
            if self._not_before_s.get(key) == not_before_s:
                del self._not_before_s[key]

    def done_with_all(self) -> None:
        """Trust all copies again but those that are named one by one."""
        self._all = False
