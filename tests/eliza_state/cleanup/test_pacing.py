"""A pass works for a share of the time."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.cleanup.pacing import Pace
from eliza_state.errors import StateError


@pytest.mark.parametrize("share", [0, -0.5, 1.5, float("nan")])
def test_a_share_is_a_part_of_the_time(share):
    with pytest.raises(StateError, match="above 0 and up to 1"):
        Pace(share)


async def test_a_rest_is_as_long_as_the_share_asks():
    turns = iter([0.0, 0.01, 0.03])
    pace = Pace(0.25, monotonic=lambda: next(turns))
    loop = asyncio.get_running_loop()
    started = loop.time()
    await pace.breathe()

    assert loop.time() - started >= 0.029


async def test_a_long_slice_is_followed_by_no_longer_rest_than_a_second():
    turns = iter([0.0, 1_000.0, 2_000.0])
    pace = Pace(0.1, monotonic=lambda: next(turns))

    await asyncio.wait_for(pace.breathe(), 10)


async def test_at_full_speed_the_others_have_a_turn():
    turns: list[str] = []
    task = asyncio.ensure_future(asyncio.sleep(0))
    task.add_done_callback(lambda _task: turns.append("another"))
    pace = Pace(1)
    for _ in range(3):
        await pace.breathe()

    assert turns == ["another"]
