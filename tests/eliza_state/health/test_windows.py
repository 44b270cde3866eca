"""Frequencies over sliding windows, and recent durations."""

from __future__ import annotations

import pytest

from eliza_state.health.windows import Rate, RecentLatency
from tests.eliza_state.health.watched import Seconds


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


def test_a_rate_counts_what_came_within_the_window(clock: Seconds):
    rate = Rate(0, monotonic=clock)
    clock.now_s += 600
    rate.reached(60)
    clock.now_s += 30
    rate.reached(90)

    assert [rate.per_second(window) for window in (1, 60, 300)] == [30, 1.5, 0.3]


def test_what_leaves_the_window_counts_no_more(clock: Seconds):
    rate = Rate(0, monotonic=clock)
    rate.reached(60)
    clock.now_s += 300.1

    assert [rate.per_second(window) for window in (1, 60, 300)] == [0, 0, 0]


def test_a_short_life_is_no_long_window(clock: Seconds):
    rate = Rate(0, monotonic=clock)
    clock.now_s += 9.9
    rate.reached(50)

    assert rate.per_second(300) == pytest.approx(5)


def test_a_number_that_goes_back_says_nothing(clock: Seconds):
    rate = Rate(10, monotonic=clock)
    clock.now_s += 1
    rate.reached(5)
    rate.reached(11)

    assert rate.per_second(1) == 1


def test_what_is_told_late_counts_when_it_was(clock: Seconds):
    rate = Rate(0, monotonic=clock)
    began_s = clock.now_s
    clock.now_s += 400
    rate.reached(1)
    rate.reached(101, began_s)
    rate.reached(111, began_s + 350)

    assert [rate.within(window_s) for window_s in (1, 60, 300)] == [1, 11, 11]


def test_old_durations_are_forgotten_after_looks(clock: Seconds):
    recent = RecentLatency(monotonic=clock)
    recent.add(1_000_000_000)
    assert recent.latency() is not None
    for _ in range(5):
        clock.now_s += 60
        recent.latency()
    recent.add(1_000)
    found = recent.latency()

    assert found is not None
    assert (found.count, found.max_us) == (1, 1)
    assert (recent.total, recent.total_ns) == (2, 1_000_001_000)


def test_durations_that_are_told_together_count_each(clock: Seconds):
    recent = RecentLatency(monotonic=clock)
    recent.add(1_000, 3)
    recent.add(5_000)
    found = recent.latency()

    assert found is not None
    assert (found.count, found.mean_us, found.max_us) == (4, 2, 5)
    assert (recent.total, recent.total_ns) == (4, 8_000)


def test_what_came_since_a_look_long_ago_is_told(clock: Seconds):
    recent = RecentLatency(monotonic=clock)
    recent.add(1_000)
    clock.now_s += 3_600
    found = recent.latency()

    assert found is not None
    assert found.count == 1
    assert recent.latency() is None
