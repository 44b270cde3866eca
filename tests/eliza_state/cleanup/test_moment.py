"""The moment at which ages are measured: no clock makes old what the journal has just recorded."""

from __future__ import annotations

import datetime

import pytest

from eliza_state.cleanup.moment import before, moment_of
from eliza_state.testing import ManualClock
from tests.eliza_state.cleanup.chat import DAY, live_days, pass_days, say, talk


@pytest.fixture
async def manager(open_chat, url):
    return await open_chat(url)


async def test_an_empty_store_goes_by_the_clock(manager, clock):
    assert moment_of(manager.journal) == clock.now


async def test_a_store_in_use_goes_by_its_newest_record(manager, clock):
    await live_days(manager, clock, 10)
    newest = clock.now
    clock.advance(ms=60_000)

    assert moment_of(manager.journal) == newest


async def test_a_clock_that_leaps_makes_nothing_old(manager, clock):
    await live_days(manager, clock, 10)
    newest = clock.now
    pass_days(clock, 400)

    assert moment_of(manager.journal) == newest


async def test_what_is_recorded_after_a_leap_is_doubted_for_a_day(manager, clock):
    await live_days(manager, clock, 10)
    newest = clock.now
    pass_days(clock, 400)
    await say(manager, talk("c1"), clock)

    assert moment_of(manager.journal) == newest + DAY


async def test_after_a_day_of_records_the_leap_is_believed(manager, clock):
    await live_days(manager, clock, 10)
    pass_days(clock, 400)
    await say(manager, talk("c1"), clock)
    await live_days(manager, clock, 2)

    assert moment_of(manager.journal) == clock.now


async def test_a_clock_that_is_put_right_counts_before_the_records_it_had_spoilt(manager, clock):
    await live_days(manager, clock, 10)
    right = clock.now + datetime.timedelta(hours=1)
    pass_days(clock, 400)
    await say(manager, talk("c1"), clock)
    clock.set(right)

    assert moment_of(manager.journal) == right


async def test_a_young_store_is_believed(manager, clock):
    await say(manager, talk("c1"), clock)
    clock.advance(ms=1_000)
    await say(manager, talk("c2"), clock)

    assert moment_of(manager.journal) == clock.now


def test_an_age_beyond_all_time_is_before_everything() -> None:
    first = datetime.datetime.min.replace(tzinfo=datetime.UTC)

    assert before(ManualClock().now, datetime.timedelta.max) == first
    assert before(ManualClock().now, DAY) == ManualClock().now - DAY
