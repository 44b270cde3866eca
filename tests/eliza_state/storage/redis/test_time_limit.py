"""A limit on waiting, in which a busy event loop does not count."""

from __future__ import annotations

import asyncio
import time

import pytest

from eliza_state.storage.redis.time_limit import TimeLimit


async def test_what_takes_too_long_is_cancelled() -> None:
    begun_s = time.monotonic()
    with pytest.raises(TimeoutError):
        async with TimeLimit(asyncio.get_running_loop().time() + 0.02):
            await asyncio.sleep(30)

    assert time.monotonic() - begun_s < 10


async def test_what_is_done_in_time_is_left_alone() -> None:
    async with TimeLimit(asyncio.get_running_loop().time() + 30):
        await asyncio.sleep(0)

    await asyncio.sleep(0)


async def test_an_answer_that_came_while_the_loop_was_busy_is_read() -> None:
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    async with TimeLimit(loop.time() + 0.02):
        loop.call_soon(time.sleep, 0.2)  # the loop is busy beyond the limit
        loop.call_later(0.05, answer.set_result, "here")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found = await answer

    assert "here" == found


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def wait() -> None:
        async with TimeLimit(asyncio.get_running_loop().time() + 30):
            await asyncio.sleep(30)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limit_in_the_past_ends_the_first_wait() -> None:
    with pytest.raises(TimeoutError):
        async with TimeLimit(asyncio.get_running_loop().time() - 5):
            await asyncio.sleep(30)
