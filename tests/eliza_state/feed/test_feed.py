"""What others commit arrives by itself while somebody listens, woken or not, and costs nothing else."""

from __future__ import annotations

import asyncio
import threading

import pytest

from eliza_state.errors import StoreError
from tests.eliza_state import chat
from tests.eliza_state.feed.conftest import Heard, eventually, problems_of, say


async def test_a_change_of_another_process_arrives_by_itself(woken, sqlite_url):
    here, there = await woken(sqlite_url), await woken(sqlite_url)
    heard = Heard()
    here.subscribe(heard)
    await say(there, "hello")
    await heard.until(1)

    assert [("remote", 1)] == [(change.origin, change.position) for change in heard.changes]
    assert "hello" in (await here.at(chat.TALK).state("talk")).texts


@pytest.mark.parametrize("how", ["changes", "signal", "coroutine"])
async def test_it_arrives_whoever_listens(woken, sqlite_url, how):
    here, there = await woken(sqlite_url), await woken(sqlite_url)
    heard = Heard()

    async def receive(change):
        heard(change)

    def hear(_sender, change):
        heard(change)

    if how == "signal":
        here.state_changed.connect(hear)
    elif how == "coroutine":
        here.subscribe(receive)
    else:
        changes = here.changes()
    await say(there, "hello")
    if how == "changes":
        heard(await asyncio.wait_for(anext(changes), 20))
    await heard.until(1)

    assert [1] == heard.positions


async def test_it_arrives_where_the_store_is_only_read(woken, opened, sqlite_url):
    there = await opened(sqlite_url)
    await say(there, "first")
    here = await woken(sqlite_url, read_only=True)
    heard = Heard()
    here.subscribe(heard)
    await say(there, "second")
    await heard.until(2)

    assert [2] == heard.positions


async def test_nobody_looks_while_nobody_listens(woken, sqlite_url):
    manager = await woken(sqlite_url)
    before = threading.active_count()
    await say(manager, "hello")

    assert not manager.feed.is_running
    assert 0 == manager.feed.status.looks
    assert before >= threading.active_count()


async def test_it_ends_when_the_last_one_has_left(woken, sqlite_url):
    manager = await woken(sqlite_url, feed_interval_ms=10)
    subscription = manager.subscribe(Heard())
    changes = manager.changes()
    is_running = manager.feed.is_running
    subscription.cancel()
    changes.close()
    await eventually(lambda: not manager.feed.is_running)

    assert is_running


async def test_it_begins_again_for_the_next_one(woken, sqlite_url):
    here, there = await woken(sqlite_url, feed_interval_ms=10), await woken(sqlite_url)
    here.subscribe(Heard()).cancel()
    await eventually(lambda: not here.feed.is_running)
    await say(there, "unheard")
    heard = Heard()
    here.subscribe(heard)
    await say(there, "heard")
    await heard.until(2)

    assert [1, 2] == heard.positions


async def test_a_dropped_iterator_has_left(woken, sqlite_url):
    manager = await woken(sqlite_url, feed_interval_ms=10)
    changes = [manager.changes(), manager.changes(after=0)]
    del changes
    await eventually(lambda: not manager.feed.is_running)

    assert not manager.feed.is_running


async def test_many_commits_are_few_reads(woken, sqlite_url):
    here, there = await woken(sqlite_url), await woken(sqlite_url)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.wakes > 0)
    before = here.feed.status.reads
    await say(there, *range(60))
    await heard.until(60)

    assert list(range(1, 61)) == heard.positions
    assert 30 > here.feed.status.reads - before


async def test_what_was_missed_is_taken_in_a_page_at_a_time(woken, opened, sqlite_url):
    here = await woken(sqlite_url)
    there = await opened(sqlite_url)
    events = [(chat.Said(user="ada", text=str(number)), chat.TALK) for number in range(2_500)]
    await there.dispatch_all(events)
    heard = Heard()
    here.subscribe(heard)
    await heard.until(2_500)

    assert list(range(1, 2_501)) == heard.positions
    assert await here.state() == await there.state()


async def test_without_a_feed_nothing_arrives(opened, sqlite_url):
    here, there = await opened(sqlite_url, feed=False), await opened(sqlite_url)
    heard = Heard()
    here.subscribe(heard)
    await say(there, "hello")
    await asyncio.to_thread(there.journal.head)

    assert ("", False, []) == (here.feed.status.source, here.feed.is_running, heard.positions)
    assert 1 == await here.refresh()


@pytest.mark.parametrize("durability", ["memory", "buffered"])
async def test_a_store_of_ones_own_has_no_feed(opened, sqlite_url, durability):
    url, options = ("memory://", {}) if durability == "memory" else (sqlite_url, {"durability": "buffered"})
    manager = await opened(url, **options)
    manager.subscribe(Heard())

    assert ("", False) == (manager.feed.status.source, manager.feed.is_running)


async def test_a_dead_source_is_reported_and_the_journal_looked_at(woken, sqlite_url, tmp_path):
    here, there = await woken(sqlite_url, feed_interval_ms=20), await woken(sqlite_url)
    heard = Heard()
    here.feed._wake._database = str(tmp_path / "none.db")
    here.subscribe(heard)
    await eventually(lambda: "feed" in problems_of(here))
    await say(there, "hello")
    await heard.until(1)

    assert ["feed"] == problems_of(here)
    assert isinstance(here.feed.status.error, StoreError)
    assert not here.feed.status.is_awake


async def test_dispatches_go_on_while_it_arrives(woken, sqlite_url):
    here, there = await woken(sqlite_url), await woken(sqlite_url)
    heard = Heard()
    here.subscribe(heard)
    await asyncio.gather(say(here, *range(30)), say(there, *range(30), to=chat.OTHER))
    await heard.until(60)

    assert list(range(1, 61)) == heard.positions
    assert {"local", "remote"} == {change.origin for change in heard.changes}


async def test_a_closed_manager_has_no_feed(woken, sqlite_url):
    manager = await woken(sqlite_url)
    manager.subscribe(Heard())
    await manager.close()
    manager.subscribe(Heard())

    assert not manager.feed.is_running
