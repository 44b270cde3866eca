"""The time limit that calls share: each has its own time, and one timer serves all."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.storage.layered.limit import CallLimit


async def test_an_answer_in_time_is_returned():
    limit = CallLimit(5)

    assert "answer" == await limit.answer(asyncio.sleep(0, "answer"))


async def test_a_call_that_takes_too_long_is_cancelled():
    ended = asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await CallLimit(0.01).answer(hang())
    assert ended.is_set()


async def test_each_call_has_its_own_time():
    limit, loop = CallLimit(0.1), asyncio.get_running_loop()

    async def took():
        started_s = loop.time()
        with pytest.raises(TimeoutError):
            await limit.answer(asyncio.Event().wait())
        return loop.time() - started_s

    first = asyncio.create_task(took())
    await asyncio.sleep(0.05)
    later = [asyncio.create_task(took()) for _ in range(3)]
    times_s = await asyncio.gather(first, *later)

    assert all(0.09 < time_s < 1 for time_s in times_s)


async def test_a_call_after_others_that_were_answered_has_its_whole_time():
    limit, loop = CallLimit(0.1), asyncio.get_running_loop()
    await limit.answer(asyncio.sleep(0))
    await asyncio.sleep(0.06)
    started_s = loop.time()
    with pytest.raises(TimeoutError):
        await limit.answer(asyncio.Event().wait())

    assert loop.time() - started_s > 0.09


async def test_a_caller_that_is_cancelled_is_cancelled():
    task = asyncio.create_task(CallLimit(5).answer(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_one_event_loop_may_come_after_another():
    limit = CallLimit(0.01)

    async def cut_short():
        task = asyncio.create_task(limit.answer(asyncio.Event().wait()))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(cut_short())

    with pytest.raises(TimeoutError):
        asyncio.run(limit.answer(asyncio.Event().wait()))
