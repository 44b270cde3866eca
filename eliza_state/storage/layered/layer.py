"""One layer of a layered store: a backend with a time limit, a breaker and figures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Generic, TypeVar

import attrs

from eliza_state.errors import StoreError
from eliza_state.storage.backend import Backend
from eliza_state.storage.errors import DamagedValue, OutcomeUnknown
from eliza_state.storage.layered.breaker import Breaker, LayerDown

B = TypeVar("B", bound=Backend[bytes])
R = TypeVar("R")


@attrs.frozen
class LayerStatus:
    """What a layer has done so far, and how it is.

    `hits` and `misses` count keys asked for; `failures` calls that failed or took too long; `skipped` calls
    that were not made because the layer was down; `to_repair` keys written meanwhile, whose copies are
    not used before they are repaired (-1: all of them).
    """

    name: str
    role: str
    is_up: bool
    hits: int
    misses: int
    failures: int
    skipped: int
    to_repair: int = 0


class Layer(Generic[B]):
    """Call a backend within a time limit and leave it alone for a while when it fails again and again.

    `timeout_ms` bounds every call; a backend that reads inline is called without a limit.
    """

    def __init__(self, backend: B, *, role: str, timeout_ms: float, breaker: Breaker) -> None:
        if not timeout_ms > 0:
            raise ValueError(f"a time limit is a positive number of milliseconds, got {timeout_ms!r}")
        self.backend = backend
        self.name = backend.name
        self.breaker = breaker
        self._role = role
        self._timeout_s = timeout_ms / 1_000
        self.hits = 0
        self.misses = 0
        self._failures = 0
        self._skipped = 0

    def count(self, *, hits: int, asked: int) -> None:
        """Count keys that were asked for, and those of them that were there."""
        self.hits += hits
        self.misses += asked - hits

    def status(self) -> LayerStatus:
        """Return the figures so far."""
        return LayerStatus(
            self.name,
            self._role,
            self.breaker.is_closed,
            self.hits,
            self.misses,
            self._failures,
            self._skipped,
        )

    async def call(self, awaitable: Awaitable[R], *, writes: bool = False) -> R:
        """Await an answer of the backend.

        Raises `LayerDown` without waiting while the breaker is open, `StoreError` when the backend fails or
        the time is up, `OutcomeUnknown` in the latter case for a call that `writes`. One damaged value, and
        what the caller did wrong, is no failure of the layer.
        """
        if not self.breaker.permits:
            _close(awaitable)
            self._skipped += 1
            raise LayerDown(f"{self.name} has failed repeatedly; it is tried again in a while")
        self.breaker.begin()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await awaitable
        except TimeoutError:
            self._fail()
            kind = OutcomeUnknown if writes else StoreError
            raise kind(f"{self.name} did not answer within {self._timeout_s * 1_000:g} ms") from None
        except DamagedValue:
            self.breaker.succeeded()
            raise
        except StoreError:
            self._fail()
            raise
        except BaseException:
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()
        return answer

    def _fail(self) -> None:
        self._failures += 1
        self.breaker.failed()


def _close(awaitable: Awaitable[object]) -> None:
    if asyncio.iscoroutine(awaitable):
        awaitable.close()
