"""Limits on waiting: each call has its own, one timer serves all, and a busy event loop does not count."""

from __future__ import annotations

import asyncio
import time

import pytest

from eliza_state.storage.time_limit import TimeLimits


async def hang_within(limits: TimeLimits, seconds: float) -> None:
    with limits.within(seconds):
        await asyncio.Event().wait()


async def test_what_is_done_in_time_is_left_alone() -> None:
    with TimeLimits().within(30):
        found = await asyncio.sleep(0, "here")

    assert "here" == found


async def test_what_takes_too_long_is_cancelled() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError), TimeLimits().within(0.01):
        await hang()

    assert ended.is_set()


async def test_each_call_has_its_own_time() -> None:
    limits, loop = TimeLimits(), asyncio.get_running_loop()

    async def ended_s(seconds: float) -> float:
        with pytest.raises(TimeoutError):
            await hang_within(limits, seconds)
        return loop.time()

    begun_s = loop.time()
    # The second one is due before the first, the third after both.
    ends_s = await asyncio.gather(ended_s(0.1), ended_s(0.01), ended_s(0.2))

    assert ends_s[1] < ends_s[0] < ends_s[2]
    assert ends_s[0] >= begun_s + 0.1
    assert ends_s[2] >= begun_s + 0.2


async def test_a_call_after_one_that_was_answered_has_its_whole_time() -> None:
    limits, loop = TimeLimits(), asyncio.get_running_loop()
    with limits.within(0.1):
        await asyncio.sleep(0.06)
    begun_s = loop.time()
    with pytest.raises(TimeoutError):
        await hang_within(limits, 0.1)

    assert loop.time() - begun_s >= 0.1


async def test_a_limit_in_the_past_ends_the_first_wait() -> None:
    with pytest.raises(TimeoutError), TimeLimits().until(asyncio.get_running_loop().time() - 5):
        await asyncio.sleep(30)


async def test_an_answer_that_came_while_the_loop_was_busy_is_read() -> None:
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    with TimeLimits().within(0.02):
        loop.call_soon(time.sleep, 0.2)  # the loop is busy beyond the limit
        loop.call_later(0.05, answer.set_result, "here")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found = await answer

    assert "here" == found


async def test_a_cancellation_from_outside_stays_one() -> None:
    task = asyncio.create_task(hang_within(TimeLimits(), 30))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_from_outside_counts_when_the_time_is_up_as_well() -> None:
    limits = TimeLimits()
    task = asyncio.create_task(hang_within(limits, 30))
    await asyncio.sleep(0)
    (limit,) = limits._running
    limit.end()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_inner_of_two_limits_leaves_the_outer_one_alone() -> None:
    with TimeLimits().within(30):
        with pytest.raises(TimeoutError):
            await hang_within(TimeLimits(), 0.01)
        found = await asyncio.sleep(0, "here")

    assert "here" == found


def test_one_event_loop_may_come_after_another() -> None:
    limits = TimeLimits()

    async def cut_short() -> None:
        task = asyncio.create_task(hang_within(limits, 0.01))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(cut_short())

    with pytest.raises(TimeoutError):
        asyncio.run(hang_within(limits, 0.01))
