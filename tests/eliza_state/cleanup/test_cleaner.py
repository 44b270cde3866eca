"""The clean-up in the background of a manager."""

from __future__ import annotations

import asyncio
import datetime
import logging

import pytest

from eliza_state.cleanup import Cleaner, FileLease, LeaseTaken, OldMessages
from eliza_state.errors import StateError
from tests.eliza_state.cleanup.chat import ids, say, talk

SOON = datetime.timedelta(milliseconds=1)
C1 = talk("c1")


class Reports:
    """Waits for the reports of passes."""

    def __init__(self):
        self.queue = asyncio.Queue()

    def __call__(self, report):
        self.queue.put_nowait(report)

    async def next(self):
        return await asyncio.wait_for(self.queue.get(), 10)


async def test_a_pass_is_made_at_once_and_again(store, clock):
    await say(store, C1, clock, count=3)
    told = Reports()
    async with Cleaner(store, [OldMessages(max_count=2)], every=SOON, share=1, told=told):
        first = await told.next()
        await say(store, C1, clock, count=3, start=3)
        while len(await ids(store, C1)) > 2:
            await told.next()

    assert first.outcomes[0].done == 1
    assert await ids(store, C1) == ("m4", "m5")


async def test_a_pass_can_be_asked_for(store, clock):
    await say(store, C1, clock, count=3)
    cleaner = Cleaner(store, [OldMessages(max_count=2)], share=1)
    report = await cleaner.clean()

    assert (report.outcomes[0].done, cleaner.last) == (1, report)


async def test_another_who_cleans_up_is_let_to_it(store, clock):
    await say(store, C1, clock, count=3)
    told = Reports()
    lease = FileLease(store.core.database)
    lease.take()
    cleaner = Cleaner(store, [OldMessages(max_count=2)], every=SOON, share=1, told=told)
    with pytest.raises(LeaseTaken):
        await cleaner.clean()
    async with cleaner:
        held = await ids(store, C1)
        lease.release()
        await told.next()

    assert (len(held), len(await ids(store, C1))) == (3, 2)


async def test_of_two_in_one_process_one_cleans_up(open_chat, sqlite_url, clock):
    manager, other = await open_chat(sqlite_url), await open_chat(sqlite_url)
    await say(manager, C1, clock, count=3)
    told = Reports()
    policies = [OldMessages(max_count=2)]
    async with Cleaner(manager, policies, share=1, told=told), Cleaner(other, policies, share=1, told=told):
        report = await told.next()
    await manager.refresh()

    assert (report.outcomes[0].done, len(await ids(manager, C1))) == (1, 2)


async def test_a_closed_store_is_told_in_the_log(open_chat, sqlite_url, caplog):
    manager = await open_chat(sqlite_url)
    await manager.close()
    logged = asyncio.Event()

    class Listening(logging.Handler):
        def emit(self, record):
            logged.set()

    handler = Listening()
    logging.getLogger("eliza_state").addHandler(handler)
    try:
        async with Cleaner(manager, [OldMessages(max_count=2)], every=SOON), asyncio.timeout(10):
            await logged.wait()
    finally:
        logging.getLogger("eliza_state").removeHandler(handler)

    assert "cannot be cleaned up now" in caplog.text


async def test_who_fails_at_a_report_stops_nothing(store, clock, caplog):
    await say(store, C1, clock, count=3)
    told = Reports()

    def fail(report):
        told(report)
        raise RuntimeError("no")

    async with Cleaner(store, [OldMessages(max_count=2)], every=SOON, share=1, told=fail):
        await told.next()
        await told.next()

    assert "who is told of clean-ups failed" in caplog.text


async def test_closing_ends_a_pass_that_is_under_way_and_gives_the_lease_back(store, clock):
    for number in range(50):
        await say(store, talk(number), clock, count=2)
    cleaner = Cleaner(store, [OldMessages(max_count=1)], share=0.001)
    begun = asyncio.Event()
    store.subscribe(lambda _change: begun.set())
    async with cleaner, asyncio.timeout(10):
        await begun.wait()
    lease = FileLease(store.core.database)

    assert lease.take()
    assert [len(await ids(store, talk(number))) for number in range(50)].count(2) > 0
    lease.release()


@pytest.mark.parametrize("every", [datetime.timedelta(0), -SOON])
async def test_a_pass_comes_every_so_often(store, every):
    with pytest.raises(StateError, match="every so often"):
        Cleaner(store, every=every)


async def test_a_share_that_is_none_is_refused_at_once(store):
    with pytest.raises(StateError, match="share"):
        Cleaner(store, share=0)
