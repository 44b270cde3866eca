"""Histograms: percentiles that are nearly right, whatever goes in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.storage.wrappers.histogram import Histogram, Latency

DURATIONS = st.one_of(st.integers(0, 100), st.integers(0, 2**40 - 1))


def filled(*durations_ns: int) -> Histogram:
    histogram = Histogram()
    for duration_ns in durations_ns:
        histogram.add(duration_ns)
    return histogram


def test_nothing_took_no_time() -> None:
    assert Latency(0, 0, 0, 0, 0, 0) == filled().latency


def test_its_figures_are_in_microseconds() -> None:
    latency = filled(*[1_000] * 98, 64_000, 128_000).latency

    assert (100, 2.9, 128) == (latency.count, latency.mean_us, latency.max_us)
    assert [1, 1, 64] == [
        pytest.approx(figure, rel=0.07) for figure in (latency.p50_us, latency.p95_us, latency.p99_us)
    ]


@given(st.lists(DURATIONS, min_size=1), st.floats(0, 1))
def test_a_percentile_is_a_sixteenth_off_at_most(durations_ns: list[int], share: float) -> None:
    rank = max(1, math.ceil(len(durations_ns) * share))
    exact = sorted(durations_ns)[rank - 1]

    assert exact == pytest.approx(filled(*durations_ns).percentile_ns(share), rel=1 / 15, abs=0)


@given(st.lists(DURATIONS, min_size=1))
def test_no_percentile_is_above_the_maximum(durations_ns: list[int]) -> None:
    latency = filled(*durations_ns).latency

    assert latency.p50_us <= latency.p95_us <= latency.p99_us <= latency.max_us


@pytest.mark.parametrize("duration_ns", [2**40, 2**60])
def test_what_takes_for_ever_shows_in_the_maximum(duration_ns: int) -> None:
    latency = filled(duration_ns).latency

    assert duration_ns / 1_000 == latency.max_us
    assert 10**9 < latency.p99_us


def test_a_clock_that_was_turned_back_counts_as_nothing() -> None:
    assert Latency(1, 0, 0, 0, 0, 0) == filled(-5).latency


def test_one_that_includes_another_is_as_if_it_had_counted_both() -> None:
    both, other = filled(1, 500, 2_000_000), filled(7, 70_000_000)
    both.include(other)

    assert both.latency == filled(1, 500, 2_000_000, 7, 70_000_000).latency
