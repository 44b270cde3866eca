"""What went wrong lately, with times: the problems of a manager as its monitor heard of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import attrs

from eliza_state.change import to_datetime
from eliza_state.clock import Clock
from eliza_state.health.windows import Rate
from eliza_state.problems import Problem

KEPT: Final = 100
"""How many errors are kept one by one; the others are counted."""

_LONGEST: Final = 500


@attrs.frozen(kw_only=True)
class ReportedError:
    """One problem: its `kind` (`eliza_state.problems`), the type of the exception, and when it was heard of.

    `type` is empty where there was no exception, `path` where no scope is concerned. `message` is cut at 500
    characters; it shows no secret, since problems do not. `at` is by the manager's clock, in UTC; for what
    had happened before the monitor was there, it is when that was made.
    """

    kind: str
    type: str
    message: str
    path: str
    at: datetime


class Errors:
    """Keep the last 100 problems and count all by kind.

    Problems are reported in any thread; each of these calls is one step for the others.
    """

    def __init__(self, *, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: deque[ReportedError] = deque(maxlen=KEPT)
        self._rate = Rate(0, monotonic=monotonic)
        self._total = 0
        self.by_kind: Counter[str] = Counter()
        """How many there were of each kind."""

    def earlier(self, problem: Problem) -> None:
        """Take what was reported before the monitor was there; it is in no frequency."""
        self.by_kind[problem.kind] += 1
        self._kept.append(self._told(problem))

    def hear(self, problem: Problem) -> None:
        """Take a problem."""
        self.earlier(problem)
        self._total += 1
        self._rate.reached(self._total)

    def _told(self, problem: Problem) -> ReportedError:
        return ReportedError(
            kind=problem.kind,
            type="" if problem.error is None else type(problem.error).__name__,
            message=problem.message[:_LONGEST],
            path="" if problem.path is None else problem.path.encode(),
            at=to_datetime(self._clock()),
        )

    @property
    def per_minute(self) -> int:
        """How many there were in the last minute."""
        return self._rate.within(60)

    def last(self) -> tuple[ReportedError, ...]:
        """Return those that are kept, the oldest first."""
        return tuple(self._kept)

    def __repr__(self) -> str:
        counts: dict[str, Any] = dict(self.by_kind)
        return f"Errors({counts})"
