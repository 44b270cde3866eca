"""What happened lately, in a fixed amount of memory: counts in a ring, durations in a few histograms."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from eliza_state.storage.wrappers.histogram import Histogram, Latency

WINDOWS_S: Final = (1, 60, 300)
"""The windows that frequencies are told for: a second, a minute, five minutes."""

_SLOTS_A_SECOND: Final = 10
_SLOTS: Final = WINDOWS_S[-1] * _SLOTS_A_SECOND
_HISTOGRAMS: Final = 5


class Rate:
    """Count how far a number that only grows has come, over sliding windows of up to five minutes.

    `start` is where it stands, `monotonic` gives seconds that never go back. A tenth of a second is the unit:
    what came in the one that is running counts at once, what left the window leaves a tenth at a time.
    """

    def __init__(self, start: int, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last = start
        self._ring = [0] * _SLOTS
        self._started = self._slot = int(monotonic() * _SLOTS_A_SECOND)

    def reached(self, number: int, at_s: float | None = None) -> None:
        """Say that the number has come to this, now or at a time before; a smaller one says nothing."""
        slot = int((self._monotonic() if at_s is None else at_s) * _SLOTS_A_SECOND)
        if slot > self._slot:
            self._roll(slot)
        if number > self._last:
            if slot > self._slot - _SLOTS:
                self._ring[slot % _SLOTS] += number - self._last
            self._last = number

    def _roll(self, slot: int) -> None:
        for passed in range(max(self._slot + 1, slot - _SLOTS + 1), slot + 1):
            self._ring[passed % _SLOTS] = 0
        self._slot = slot

    def per_second(self, window_s: int) -> float:
        """Return the growth a second over the last `window_s` seconds, or since the start if that is less."""
        grown = self.within(window_s)
        slots = window_s * _SLOTS_A_SECOND
        # No less than a second, so that the first event is no storm.
        lived = max(min(slots, self._slot - self._started + 1), _SLOTS_A_SECOND)
        return grown * _SLOTS_A_SECOND / lived

    def within(self, window_s: int) -> int:
        """Return how far the number has come in the last `window_s` seconds, of which there are 300."""
        self.reached(self._last)
        first = self._slot - window_s * _SLOTS_A_SECOND + 1
        return sum(self._ring[slot % _SLOTS] for slot in range(first, self._slot + 1))


class RecentLatency:
    """Durations of the last five minutes or so: a histogram a minute, of which the oldest is dropped.

    What was slow an hour ago does not hide what is quick now, or the other way round.
    """

    def __init__(self, *, monotonic: Callable[[], float], slice_s: float = 60.0) -> None:
        self._monotonic = monotonic
        self._slice_s = slice_s
        self._kept: deque[Histogram] = deque([Histogram()], maxlen=_HISTOGRAMS)
        self._since_s = monotonic()
        self.total = 0
        """How many durations there ever were."""
        self.total_ns = 0
        """How long they took together."""

    def add(self, duration_ns: int, count: int = 1) -> None:
        """Count a duration in nanoseconds, of `count` that took as long."""
        self._kept[-1].add(duration_ns, count)
        self.total += count
        self.total_ns += duration_ns * count

    def latency(self) -> Latency | None:
        """Return the figures of the last minutes, or since the last look; `None` when nothing was timed."""
        together = Histogram()
        for histogram in self._kept:
            together.include(histogram)
        self._roll()
        return together.latency if together.count else None

    def _roll(self) -> None:
        """Begin new histograms where minutes have passed: after a look, so that adding asks for no time."""
        now_s = self._monotonic()
        passed = int((now_s - self._since_s) / self._slice_s)
        for _ in range(min(passed, _HISTOGRAMS)):
            self._kept.append(Histogram())
        self._since_s += passed * self._slice_s
