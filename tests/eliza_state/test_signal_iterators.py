"""Iterators of changes: their queues, what is lost, and how they end."""

from __future__ import annotations

import asyncio
import gc

import pytest

from eliza_state.errors import StateError
from tests.eliza_state.chat import ROOM, TALK, Said


def said(number: int) -> Said:
    return Said(user="ada", text=str(number))


async def say(manager, count: int, *, to=TALK) -> None:
    for number in range(count):
        await manager.dispatch(said(number), to=to)


async def test_changes_come_in_order_from_the_moment_of_the_call(manager):
    await say(manager, 1)
    changes = manager.changes()
    await say(manager, 3)

    assert [2, 3, 4] == [(await anext(changes)).position for _ in range(3)]


async def test_an_iteration_waits_for_the_next_change(manager):
    changes = manager.changes()
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)

    assert not waiting.done()
    await say(manager, 1)
    assert (await waiting).position == 1


async def test_a_cancelled_wait_loses_no_change(manager):
    changes = manager.changes()
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await say(manager, 1)

    assert (await anext(changes)).position == 1


async def take(changes) -> list[int]:
    return [change.position async for change in changes]


async def test_a_full_queue_fails_the_iteration_after_what_it_holds(opened):
    manager = await opened()
    changes = manager.changes(queue_size=2)
    await say(manager, 4)

    assert [1, 2] == [(await anext(changes)).position for _ in range(2)]
    with pytest.raises(StateError, match="changes were lost: more than 2 waited"):
        await anext(changes)


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", [3, 4]), ("drop_newest", [1, 2])])
async def test_a_full_queue_loses_changes_and_reports_it(opened, overflow, kept):
    manager = await opened()
    changes = manager.changes(queue_size=2, overflow=overflow, below=ROOM)
    await say(manager, 4)
    changes.close()

    assert kept == await take(changes)
    assert [("overflow", ROOM)] * 2 == [(problem.kind, problem.path) for problem in manager.problems]


@pytest.mark.parametrize("options", [{"queue_size": 0}, {"overflow": "explode"}])
async def test_options_that_make_no_sense_are_refused(opened, options):
    manager = await opened()

    with pytest.raises(ValueError, match=r"queue holds|overflow is"):
        manager.changes(**options)


async def test_a_closed_iteration_ends_after_what_waits(manager):
    with manager.changes() as changes:
        await say(manager, 2)
    await say(manager, 1)

    assert [1, 2] == await take(changes)


async def test_an_iteration_ends_with_its_manager(opened, url):
    manager = await opened(url)
    taking = asyncio.ensure_future(take(manager.changes()))
    await asyncio.sleep(0)
    await say(manager, 2)
    await manager.close()

    assert [1, 2] == await asyncio.wait_for(taking, 10)


async def test_a_dropped_iterator_is_disconnected(opened):
    manager = await opened()
    changes = manager.changes(queue_size=1, overflow="drop_oldest")
    await say(manager, 1)
    del changes
    gc.collect()
    await say(manager, 3)

    assert list(manager.problems) == []
