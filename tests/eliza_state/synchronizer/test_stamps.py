"""Stamps: the order of all replicas' records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eliza_state.synchronizer.stamps import Stamp, is_ahead, next_counter


@given(st.lists(st.integers(0, 3), max_size=20))
def test_the_stamps_of_one_journal_ascend_whatever_its_clock_does(times):
    stamps = []
    last = None
    for number, time_us in enumerate(times, 1):
        at_us = max(time_us, last[0]) if last else time_us  # as a journal does
        last = (at_us, next_counter(last, at_us))
        stamps.append(Stamp(*last, "w", number))

    assert sorted(set(stamps)) == stamps


def test_time_then_counter_then_writer_decide():
    low, high = Stamp(1, 9, "z", 9), Stamp(2, 0, "z", 9)

    assert low < high < Stamp(2, 1, "a", 9) < Stamp(2, 1, "b", 1)


def test_a_time_is_ahead_past_the_drift_that_is_allowed():
    assert not is_ahead(1_000_000, now_us=0, max_drift_ms=1_000)
    assert is_ahead(1_000_001, now_us=0, max_drift_ms=1_000)
