"""Changes from a position on: the past out of the journal, then what comes, once and in order."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.errors import StateError
from eliza_state.portal import SyncStateManager
from tests.eliza_state import chat
from tests.eliza_state.feed.conftest import say


async def take(changes, count: int) -> list:
    async with asyncio.timeout(20):
        return [await anext(changes) for _ in range(count)]


def positions(taken) -> list[int]:
    return [change.position for change in taken]


async def test_the_past_comes_first(manager):
    await say(manager, *"abc")
    taken = await take(manager.changes(after=1), 2)

    assert [(2, "history", "b"), (3, "history", "c")] == [
        (change.position, change.origin, change.event.text) for change in taken
    ]


async def test_what_comes_now_has_the_states_before_and_after(manager):
    await say(manager, "past")
    changes = manager.changes(after=0)
    await take(changes, 1)
    await say(manager, "now")
    (taken,) = await take(changes, 1)

    assert ("local", ("past",), ("past", "now")) == (
        taken.origin,
        tuple(taken.before["talk"].texts),
        tuple(taken.after["talk"].texts),
    )


async def test_what_changes_nothing_comes_too(manager):
    await say(manager, "a")
    changes = manager.changes(after=0)
    await take(changes, 1)
    await manager.dispatch(chat.Noted(text="nothing"), to=chat.TALK)
    await say(manager, "b")
    taken = await take(changes, 2)

    assert [(2, "noted"), (3, "said")] == [(change.position, change.record.event) for change in taken]


async def test_a_seam_is_nowhere_while_several_write(opened, sqlite_url):
    managers = [await opened(sqlite_url) for _ in range(3)]
    await say(managers[0], *range(150))
    changes = managers[0].changes(after=0)

    async def write(manager):
        for number in range(40):
            await say(manager, number, to=chat.OTHER)
            await asyncio.sleep(0)

    taken, *_ = await asyncio.gather(take(changes, 270), *map(write, managers))

    assert list(range(1, 271)) == positions(taken)
    assert {"history", "local", "remote"} == {change.origin for change in taken}


async def test_a_slow_consumer_gets_everything(manager):
    changes = manager.changes(after=0, queue_size=2)
    await say(manager, *range(5))
    taken = await take(changes, 5)

    assert [(1, "history"), (2, "history"), (3, "history"), (4, "local"), (5, "local")] == [
        (change.position, change.origin) for change in taken
    ]


async def test_it_goes_on_elsewhere_where_it_was_left(opened, sqlite_url):
    here, there = await opened(sqlite_url), await opened(sqlite_url)
    await say(here, *"abc")
    changes = here.changes(after=0)
    first = await take(changes, 2)
    place = changes.position
    changes.close()
    await there.refresh()
    second = await take(there.changes(after=place), 1)

    assert ([1, 2], 2, [3]) == (positions(first), place, positions(second))


async def test_filters_let_others_pass_and_the_position_with_them(manager):
    await manager.dispatch(chat.Joined(user="bob"), to=chat.ROOM)
    await say(manager, "a")
    await say(manager, "b", to=chat.OTHER)
    changes = manager.changes(after=0, below=chat.TALK, event=chat.Said)
    taken = await take(changes, 1)

    assert [2] == positions(taken)
    assert 3 == changes.position


async def test_what_was_erased_has_no_event(manager):
    changes = manager.changes(after=0)
    await say(manager, "secret")
    await manager.erase(chat.TALK)
    first, *_ = await take(changes, 2)

    assert (1, None, ()) == (first.position, first.event, first.transitions)


async def test_it_waits_for_what_this_process_has_not_taken_in(opened, sqlite_url):
    here, there = await opened(sqlite_url), await opened(sqlite_url)
    await say(there, *"ab")
    taken = await take(here.changes(after=1), 1)

    assert [2] == positions(taken)


async def test_a_position_beyond_the_end_is_refused(manager):
    await say(manager, "a")
    with pytest.raises(StateError, match="the journal ends at position 1, before 7"):
        await anext(manager.changes(after=7))


@pytest.mark.parametrize("options", [{"after": -1}, {"module": "talk"}, {"overflow": "drop_oldest"}])
async def test_what_makes_no_sense_is_refused(manager, options):
    with pytest.raises(StateError, match="changes after a position"):
        manager.changes(**{"after": 0, **options})


async def test_it_ends_with_its_close(manager):
    changes = manager.changes(after=0)
    waiting = asyncio.create_task(anext(changes, None))
    await asyncio.sleep(0)
    changes.close()

    assert await asyncio.wait_for(waiting, 20) is None


async def test_it_ends_with_the_manager(opened):
    manager = await opened()
    changes = manager.changes(after=0)
    waiting = asyncio.create_task(anext(changes, None))
    await asyncio.sleep(0)
    await manager.close()

    assert await asyncio.wait_for(waiting, 20) is None


async def test_a_buffered_store_is_flushed_for_it(opened, sqlite_url):
    manager = await opened(sqlite_url, durability="buffered")
    changes = manager.changes(after=0)
    await say(manager, *"ab")
    taken = await take(changes, 2)

    assert [1, 2] == positions(taken)


def test_a_script_is_told_alike(sqlite_url):
    with SyncStateManager.open(sqlite_url, modules=chat.modules()) as manager:
        manager.dispatch(chat.Said(user="ada", text="a"), to=chat.TALK)
        with manager.changes(after=0, timeout_s=20) as changes:
            past = next(changes)
            manager.dispatch(chat.Said(user="ada", text="b"), to=chat.TALK)
            now = next(changes)

    assert [(1, "history"), (2, "local")] == [(each.position, each.origin) for each in (past, now)]
