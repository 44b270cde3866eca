"""Times with and without a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from eliza_modules.moment import moment, objection_to
from eliza_state.errors import StateError
from eliza_state.testing import START, ManualClock

NAIVE = datetime(2024, 5, 1, 12)  # noqa: DTZ001  # what is refused


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_an_aware_time_is_fine(zone):
    assert objection_to(datetime(2024, 5, 1, 12, tzinfo=zone)) is None


@pytest.mark.parametrize("at", [NAIVE, NAIVE.date(), 0, None])
def test_anything_else_is_not(at):
    assert f"a time with a time zone is wanted, got {at!r}" == objection_to(at)


def test_a_time_that_is_not_given_is_the_clocks():
    assert moment(None, ManualClock()) == START


def test_a_time_that_is_given_counts():
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)

    assert moment(noon, ManualClock()) is noon


def test_a_naive_time_is_refused():
    with pytest.raises(StateError, match="a time with a time zone is wanted"):
        moment(NAIVE, ManualClock())
