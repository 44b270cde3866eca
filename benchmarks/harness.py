"""Measuring pairs in turn: what we do, what one would write by hand, and the ratio of the two."""

from __future__ import annotations

import contextlib
import gc
import statistics
from collections.abc import Callable, Generator, Sequence
from typing import Final

import attrs

Measure = Callable[[], float]
"""Run once and return a figure; smaller is better."""


@attrs.frozen
class Row:
    """One comparison: medians of both sides, and the ratios pair by pair.

    `bound` is what the ratio, or where there is no other side the figure itself, should not pass; `None`
    where they are only shown. `note` says what is not the same on both sides.
    """

    name: str
    unit: str
    ours: Sequence[float]
    other: Sequence[float]
    other_name: str
    bound: float | None
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """The ratios of the pairs; the figures themselves where there is no other side."""
        if not self.other:
            return list(self.ours)
        return [ours / other for ours, other in zip(self.ours, self.other, strict=True)]

    @property
    def is_within(self) -> bool:
        """Tell whether the median keeps to the bound, if there is one."""
        return self.bound is None or statistics.median(self.ratios) <= self.bound


@attrs.frozen
class Skipped:
    """A comparison that this machine cannot make, and why."""

    name: str
    why: str


COLUMNS: Final = ("what", "ours", "other side", "ratio", "bound", "", "not the same")
"""What `cells` gives."""


def cells(row: Row | Skipped) -> Sequence[str]:
    """Return a row of a table for people: medians, and of the ratios the least, the median and the most."""
    if isinstance(row, Skipped):
        return row.name, "skipped", row.why, "", "", "", ""
    ratios = row.ratios
    ours = f"{statistics.median(row.ours):,.2f} {row.unit}"
    other = f"{statistics.median(row.other):,.2f} {row.unit}  {row.other_name}" if row.other else ""
    spread = f"{min(ratios):.3g}  {statistics.median(ratios):.3g}  {max(ratios):.3g}" if row.other else ""
    bound = "" if row.bound is None else f"{row.bound:.3g}"
    return row.name, ours, other, spread, bound, "" if row.is_within else "over", row.note


@contextlib.contextmanager
def apart() -> Generator[None]:
    """Let collections in the block go through what is made there alone.

    What was there before, the packages of all sides above all, is no matter of what is measured, but whoever
    keeps something would pay for a walk through it.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def compare(
    name: str,
    *,
    ours: Measure,
    other: Measure,
    other_name: str,
    unit: str,
    bound: float | None,
    runs: int = 5,
) -> Row:
    """Measure two sides in turn, A B A B …, after one run of each that does not count."""
    ours()
    other()
    pairs = [(ours(), other()) for _ in range(runs)]
    return Row(name, unit, [a for a, _ in pairs], [b for _, b in pairs], other_name, bound)


def figure(name: str, *, ours: Measure, unit: str, bound: float | None, runs: int = 5) -> Row:
    """Measure one side that has no other."""
    ours()
    return Row(name, unit, [ours() for _ in range(runs)], [], "", bound)
