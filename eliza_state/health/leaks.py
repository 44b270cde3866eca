"""What grows and grows: figures followed over a window, and those that never fell back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs

from eliza_state.health.state_health import Suspect

Subject: TypeAlias = tuple[str, str]
"""A kind of growth, and what grows."""

_POINTS: Final = 12
"""How many points of a figure are kept, spread over the window."""
_SUBJECTS: Final = 2_000
"""How many figures are followed; of further ones, nothing is known."""


@attrs.frozen
class Growth:
    """When growth is suspicious: by at least `least`, to at least `factor` times what it was, in `unit`."""

    least: float
    factor: float
    unit: str


GROWTHS: Final[Mapping[str, Growth]] = MappingProxyType(
    {
        "live scopes": Growth(least=1_000, factor=1.5, unit="scopes in memory"),
        "held scopes": Growth(least=100, factor=1.5, unit="scopes that cannot be dropped"),
        "receivers": Growth(least=50, factor=1.5, unit="connections"),
        "slice": Growth(least=10_000, factor=1.5, unit="entries"),
        "process memory": Growth(least=64_000_000, factor=1.0, unit="bytes beyond what the state explains"),
    }
)
"""The kinds of growth that are looked for."""

BYTES_A_BYTE: Final = 10
"""How much memory a state may take for each byte of the text that it is written in: as objects of Python it
takes five to ten."""


class LeakDetector:
    """Follow figures over a window and name those that have grown all through it.

    A figure is suspected once it was followed for `window_s` seconds, has grown as `GROWTHS` says for its
    kind, and in each third of the window was never as low as at any time in the third before. So what rises
    and falls, and what has filled up to a bound and stays there, is not.
    """

    def __init__(self, *, window_s: float = 600.0) -> None:
        if not window_s > 0:
            raise ValueError(f"a window is a positive number of seconds, got {window_s!r}")
        self.window_s = window_s
        self._series: dict[Subject, deque[tuple[float, float]]] = {}

    def observe(self, now_s: float, figures: Mapping[Subject, float]) -> tuple[Suspect, ...]:
        """Take the figures of a moment and return what is suspected now; what is not among them is forgotten.

        `now_s` is monotonic. Figures that come more often than is of use take the place of the last ones.
        """
        for gone in self._series.keys() - figures.keys():
            del self._series[gone]
        for subject, value in figures.items():
            points = self._series.get(subject)
            if points is None:
                if len(self._series) >= _SUBJECTS:
                    continue
                points = self._series[subject] = deque()
            self._add(points, now_s, value)
        found = (self._suspect(subject, points) for subject, points in self._series.items())
        return tuple(suspect for suspect in found if suspect is not None)

    def _add(self, points: deque[tuple[float, float]], now_s: float, value: float) -> None:
        spacing_s = self.window_s / _POINTS
        if len(points) > 1 and now_s - points[-2][0] < spacing_s:
            points.pop()
        points.append((now_s, value))
        # One point from before the window stays: the window is covered only up to it.
        while len(points) > 2 and now_s - points[1][0] >= self.window_s:
            points.popleft()

    def _suspect(self, subject: Subject, points: deque[tuple[float, float]]) -> Suspect | None:
        kind, what = subject
        rule = GROWTHS[kind]
        (first_s, before), (last_s, now) = points[0], points[-1]
        if last_s - first_s < self.window_s or now - before < rule.least or now < before * rule.factor:
            return None
        third_s = (last_s - first_s) / 3
        thirds: tuple[list[float], ...] = ([], [], [])
        for at_s, value in points:
            thirds[min(int((at_s - first_s) / third_s), 2)].append(value)
        if not all(thirds) or not (max(thirds[0]) < min(thirds[1]) and max(thirds[1]) < min(thirds[2])):
            return None
        return Suspect(kind, what, before, now, last_s - first_s, rule.unit)
