"""When a record was made, in a time that respects what its writer knew: hybrid logical clocks.

A journal's `recorded_at` follows the machine's clock but never decreases, also where records of other
replicas came in between; with a counter beside it, for records of the same microsecond, that is the hybrid
logical clock of Kulkarni et al. (2014). What happened before something else, in Lamport's sense (1978), has
the lower stamp; of what is concurrent, the clock, then the writer's name decide, everywhere the same.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_DRIFT_MS: Final = 60_000
"""How far ahead of this machine's clock another replica's records may be."""


class Stamp(NamedTuple):
    """The place of a record in the order of all replicas: stamps compare as tuples, no two are equal.

    `time_us` is the record's `recorded_at` in microseconds since 1970, `counter` tells records of one journal
    apart that have the same; `sequence` counts the records of `writer` from 1.
    """

    time_us: int
    counter: int
    writer: str
    sequence: int


def next_counter(last: tuple[int, int] | None, time_us: int) -> int:
    """Return the counter of a record that a journal took at a time, after one of (time, counter) `last`."""
    return last[1] + 1 if last is not None and last[0] == time_us else 0


def is_ahead(time_us: int, *, now_us: int, max_drift_ms: int) -> bool:
    """Tell whether a time is so far in the future that taking it in would spoil the clock here."""
    return time_us > now_us + max_drift_ms * 1_000
