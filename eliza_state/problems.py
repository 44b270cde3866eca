"""What went wrong without stopping anything: kept for inspection, logged, handed to listeners."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from eliza_state.path import Path

_logger = logging.getLogger("eliza_state")

KEPT: Final = 1_000


@attrs.frozen
class Problem:
    """One thing that went wrong.

    `kind` is one of a few fixed words (`receiver`, `reducer`, `record`, `snapshot`, `journal`, `overflow`,
    `value`, `layer`, `effect`, `follower`, `index`, `feed`); `path` is the scope concerned, where there is
    one; `error` the exception, where there was one.
    """

    kind: str
    message: str
    path: Path | None = None
    error: BaseException | None = None


class Problems:
    """Collect problems: the last 1,000 are kept, each is logged as a warning and handed to the listeners."""

    def __init__(self) -> None:
        self._kept: deque[Problem] = deque(maxlen=KEPT)
        self._listeners: list[Callable[[Problem], None]] = []

    def report(self, problem: Problem) -> None:
        """Take a problem; never raises."""
        self._kept.append(problem)
        where = f" at {problem.path.encode()!r}" if problem.path is not None else ""
        _logger.warning("%s%s: %s", problem.kind, where, problem.message, exc_info=problem.error)
        for listener in tuple(self._listeners):
            try:
                listener(problem)
            except Exception:
                _logger.exception("a listener for problems failed")

    def listen(self, listener: Callable[[Problem], None]) -> Callable[[], None]:
        """Call `listener` for every further problem, in the thread that reports it; return how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def __iter__(self) -> Iterator[Problem]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)
