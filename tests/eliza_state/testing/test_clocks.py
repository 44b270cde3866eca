"""A clock that a test turns."""

from __future__ import annotations

import datetime

from eliza_state.manager import StateManager
from eliza_state.testing import START, ManualClock
from tests.eliza_state import chat
from tests.eliza_state.chat import ROOM, Joined


def test_a_clock_stands_still_until_it_is_turned():
    clock = ManualClock()

    assert clock() == clock()
    assert START == clock.now


def test_a_clock_advances_by_milliseconds():
    clock = ManualClock(1_000)
    clock.advance(ms=1.5)

    assert clock() == 2_500


def test_a_clock_is_set_to_a_time_or_to_microseconds():
    clock = ManualClock()
    clock.set(datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC))

    assert clock() == 1_000_000
    clock.set(7)
    assert clock() == 7


def test_a_clock_shows_itself():
    assert repr(ManualClock(0)) == "ManualClock(1970-01-01T00:00:00+00:00)"


async def test_a_manager_takes_its_times_from_the_clock():
    clock = ManualClock()
    async with StateManager.open(modules=chat.modules(), clock=clock) as manager:
        clock.advance(ms=250)
        change = await manager.dispatch(Joined(user="ada"), to=ROOM)

    assert clock.now == change.record.recorded_at
