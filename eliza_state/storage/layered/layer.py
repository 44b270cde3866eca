"""One layer of a layered store: a backend with a time limit, a breaker and figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Generic, TypeVar

import attrs

from eliza_state.errors import Busy, StoreError
from eliza_state.problems import Problem, Problems
from eliza_state.storage.backend import Backend
from eliza_state.storage.errors import DamagedValue, OutcomeUnknown
from eliza_state.storage.layered.breaker import Breaker, LayerDown
from eliza_state.storage.time_limit import TimeLimits
from eliza_state.storage.wrappers.histogram import Histogram, Latency

B = TypeVar("B", bound=Backend[bytes])
R = TypeVar("R")


@attrs.frozen
class LayerStatus:
    """What a layer has done so far, and how it is.

    `hits` and `misses` count keys asked for; `failures` calls that failed or took too long; `skipped` calls
    that were not made because the layer was down; `to_repair` keys written meanwhile, whose copies are
    not used before they are repaired (-1: all of them). `latency` is that of the calls that were answered,
    or that failed; `None` before the first, and of memory.
    """

    name: str
    role: str
    is_up: bool
    hits: int
    misses: int
    failures: int
    skipped: int
    to_repair: int = 0
    latency: Latency | None = None


class Layer(Generic[B]):
    """Call a backend within a time limit and leave it alone for a while when it fails again and again.

    `timeout_ms` bounds every call; a backend that reads inline is called without a limit.
    """

    def __init__(
        self, backend: B, *, role: str, timeout_ms: float, breaker: Breaker, problems: Problems
    ) -> None:
        if not timeout_ms > 0:
            raise ValueError(f"a time limit is a positive number of milliseconds, got {timeout_ms!r}")
        self.backend = backend
        self.name = backend.name
        self.breaker = breaker
        self.problems = problems
        self._role = role
        self.timeout_s = timeout_ms / 1_000
        self._limits = TimeLimits()
        self.hits = 0
        self.misses = 0
        self._failures = 0
        self._skipped = 0
        self._histogram = Histogram()

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
            latency=self._histogram.latency if self._histogram.count else None,
        )

    async def call(self, awaitable: Awaitable[R], *, writes: bool = False) -> R:
        """Await an answer of the backend.

        Raises `LayerDown` without waiting while the breaker is open, `StoreError` when the backend fails or
        the time is up, `OutcomeUnknown` in the latter case for a call that `writes`. One damaged value, a
        lock that somebody holds (`Busy`), and what the caller did wrong, is no failure of the layer. That it
        begins to be left alone, and that it answers again, is reported as a problem.
        """
        if not self.breaker.is_closed:
            self._try(awaitable)
        started_ns = time.perf_counter_ns()
        try:
            with self._limits.within(self.timeout_s):
                answer = await awaitable
        except TimeoutError:
            kind = OutcomeUnknown if writes else StoreError
            late = kind(f"{self.name} did not answer within {self.timeout_s * 1_000:g} ms")
            self._fail(late)
            raise late from None
        except DamagedValue:
            self._succeed()
            raise
        except Busy:
            # Somebody else holds the lock for writing. That is an answer, and what is there can be read.
            self._failures += 1
            self._succeed()
            raise
        except StoreError as error:
            self._fail(error)
            raise
        except BaseException:
            self.breaker.abandoned()
            raise
        finally:
            self._histogram.add(time.perf_counter_ns() - started_ns)
        self._succeed()
        return answer

    def _try(self, awaitable: Awaitable[object]) -> None:
        """Let a call through to try, or drop it and raise `LayerDown`."""
        if not self.breaker.permits:
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
            self._skipped += 1
            raise LayerDown(f"{self.name} has failed repeatedly; it is tried again in a while")
        self.breaker.begin()

    def _succeed(self) -> None:
        if not self.breaker.is_closed:
            self.problems.report(Problem("layer", f"{self.name} answers again"))
        self.breaker.succeeded()

    def _fail(self, error: StoreError) -> None:
        self._failures += 1
        was_closed = self.breaker.is_closed
        self.breaker.failed()
        if was_closed and not self.breaker.is_closed:
            message = f"{self.name} is passed over until it answers again: {error}"
            self.problems.report(Problem("layer", message, error=error))
