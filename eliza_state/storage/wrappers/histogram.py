"""How long things take, in a fixed amount of memory.

Durations fall into buckets that are an eighth of a power of two wide (the log-linear buckets of
HdrHistogram), so that a percentile is at most 1/16 off, whatever the durations are.
"""

from __future__ import annotations

from typing import Final

import attrs

_BITS: Final = 3
_PER_DOUBLING: Final = 1 << _BITS
_MOST_NS: Final = (1 << 40) - 1
"""Eighteen minutes; what takes longer counts as that, except in the maximum."""
_BUCKETS: Final = (_MOST_NS.bit_length() - _BITS + 1) << _BITS


@attrs.frozen
class Latency:
    """How often something ran and how long it took, in microseconds."""

    count: int
    mean_us: float
    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float


class Histogram:
    """Counts of durations by their logarithm."""

    __slots__ = ("_buckets", "_max_ns", "_sum_ns", "count")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._sum_ns = 0
        self._max_ns = 0
        self.count = 0
        """How many durations there are."""

    def add(self, duration_ns: int, count: int = 1) -> None:
        """Count a duration in nanoseconds, of `count` that took as long; a negative one counts as zero."""
        if not 0 <= duration_ns <= _MOST_NS:
            self._max_ns = max(self._max_ns, duration_ns)
            duration_ns = min(max(duration_ns, 0), _MOST_NS)
        # The highest bit chooses the doubling, the three bits after it the bucket within.
        doubling = duration_ns.bit_length() - _BITS
        if doubling > 1:
            self._buckets[((doubling - 1) << _BITS) + (duration_ns >> (doubling - 1))] += count
        else:
            self._buckets[duration_ns] += count
        self.count += count
        self._sum_ns += duration_ns * count
        if duration_ns > self._max_ns:  # noqa: PLR1730  # calling max costs as much as all of the rest
            self._max_ns = duration_ns

    def include(self, other: Histogram) -> None:
        """Count what another one has counted as well."""
        self._buckets = [mine + theirs for mine, theirs in zip(self._buckets, other._buckets, strict=True)]
        self.count += other.count
        self._sum_ns += other._sum_ns
        self._max_ns = max(self._max_ns, other._max_ns)

    def percentile_ns(self, share: float) -> float:
        """Return the duration that a share (0 to 1) of all does not exceed; 0 when there are none."""
        rank = max(1, -(-self.count * share // 1))
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if seen >= rank:
                return min(_middle_ns(bucket), self._max_ns)
        return 0

    @property
    def latency(self) -> Latency:
        """The figures at this moment."""
        return Latency(
            count=self.count,
            mean_us=self._sum_ns / max(self.count, 1) / 1_000,
            p50_us=self.percentile_ns(0.5) / 1_000,
            p95_us=self.percentile_ns(0.95) / 1_000,
            p99_us=self.percentile_ns(0.99) / 1_000,
            max_us=self._max_ns / 1_000,
        )


def _middle_ns(bucket: int) -> float:
    if bucket < 2 * _PER_DOUBLING:
        return bucket
    shift = (bucket >> _BITS) - 1
    lowest = ((bucket & (_PER_DOUBLING - 1)) + _PER_DOUBLING) << shift
    return lowest + ((1 << shift) - 1) / 2
