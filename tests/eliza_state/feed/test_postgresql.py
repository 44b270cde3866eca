"""PostgreSQL tells of commits; a connection that is cut or stalled is made anew, and nothing is missed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import make_url

from eliza_state.clock import now_us
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import StoreError
from eliza_state.journal import Draft
from eliza_state.journal.databases.names import channel_of
from eliza_state.journal.source import JournalSource
from eliza_state.servers import schema_of
from eliza_state.testing import FaultProxy
from tests.eliza_state import chat
from tests.eliza_state.feed.conftest import Heard, eventually, problems_of, say
from tests.eliza_state.storage.sql.support import proxy_to, through

if TYPE_CHECKING:
    from tests.servers import PostgresServer


@pytest.fixture
async def proxy(postgres_store: str) -> AsyncIterator[FaultProxy]:
    async with proxy_to(postgres_store) as proxy:
        yield proxy


@pytest.fixture
async def far(woken, proxy, postgres_store):
    """A listener behind the proxy that is awake, and who writes beside it."""
    here = await woken(f"{through(proxy, postgres_store)}&answer_within_ms=200", snapshots=False)
    there = await woken(postgres_store)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    return here, there, heard


async def test_a_commit_is_told(woken, postgres_store):
    here, there = await woken(postgres_store), await woken(postgres_store)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    await say(there, "hello")
    await heard.until(1)

    assert [("remote", 1)] == [(change.origin, change.position) for change in heard.changes]


async def test_ones_own_commits_are_not_told(woken, postgres_store):
    here, there = await woken(postgres_store), await woken(postgres_store)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    before = here.feed.status.wakes
    await say(here, *range(5))
    await say(there, "hello")
    await heard.until(6)

    assert 1 == here.feed.status.wakes - before


async def test_a_commit_is_heard_within_tens_of_milliseconds(woken, postgres_store):
    here, there = await woken(postgres_store), await woken(postgres_store)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    taken: list[float] = []
    for position in range(1, 12):
        started = time.perf_counter()
        await say(there, "hello")
        await heard.until(position)
        taken.append(time.perf_counter() - started)

    assert statistics.median(taken) < 0.1


async def test_commits_that_follow_each_other_closely_are_told_meanwhile(woken, postgres_store):
    here, there = await woken(postgres_store), await woken(postgres_store)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    ended = asyncio.Event()

    async def go_on():
        while not ended.is_set():
            await say(there, "on and on")

    saying = asyncio.create_task(go_on())
    await heard.until(1)
    ended.set()
    await saying

    assert here.feed.status.wakes


async def test_what_nobody_could_tell_any_more_is_found_by_looking(woken, postgres_store):
    """As where the process was killed between a commit and its notice."""
    here = await woken(postgres_store, feed_interval_ms=50)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    before = here.feed.status.wakes
    there = JournalSource(url=postgres_store, clock=now_us).journal()
    there.append([Draft(b"k" * 16, chat.TALK, 1, "said", 1, b'{"user":"ada","text":"last words"}')], after=0)
    await heard.until(1)

    assert before == here.feed.status.wakes
    there.close()


async def test_every_way_to_append_tells_the_last_position(woken, postgres_store):
    here, there = await woken(postgres_store), await woken(postgres_store)
    url = make_url(postgres_store)
    with psycopg.connect(
        url.set(drivername="postgresql").difference_update_query(["schema"]).render_as_string(False),
        autocommit=True,
    ) as listening:
        listening.execute(f'LISTEN "{channel_of(schema_of(url))}"')

        async def told_after(saying) -> int:
            await saying
            (notice,) = await asyncio.to_thread(lambda: [*listening.notifies(timeout=20, stop_after=1)])
            return int(notice.payload.partition(" ")[0])

        told = [
            await told_after(say(there, "names are new")),
            await told_after(say(there, "at once")),
            await told_after(there.dispatch_all(two())),
            await told_after(there.dispatch_all(two())),
            await told_after(here.dispatch_all(two())),
        ]

    assert [1, 2, 4, 6, 8] == told


def two() -> list[Dispatch]:
    return [Dispatch(chat.Said(user="ada", text=text), chat.TALK) for text in "ab"]


async def test_a_cut_connection_is_made_anew_and_what_was_missed_is_read(far, proxy):
    here, there, heard = far
    proxy.reset()
    await say(there, "missed")
    await heard.until(1)
    await say(there, "told")
    await heard.until(2)

    assert [1, 2] == heard.positions
    assert [] == problems_of(here)


async def test_a_stalled_connection_is_found_out(far, proxy):
    here, there, heard = far
    proxy.black_hole()
    await say(there, "unheard")
    await eventually(lambda: not here.feed.status.is_awake)
    proxy.heal()
    await heard.until(1)

    assert [1] == heard.positions
    assert "feed" in problems_of(here)


async def test_a_server_that_was_killed_is_listened_to_again(woken, opened, own_postgres_server):
    server: PostgresServer = own_postgres_server()
    here, there = await woken(server.url), await opened(server.url)
    heard = Heard()
    here.subscribe(heard)
    await say(there, "before")
    await heard.until(1)
    await asyncio.to_thread(server.kill)
    await eventually(lambda: not here.feed.status.is_awake)
    await asyncio.to_thread(server.start)
    await until_said(there, "after")
    await heard.until(2)

    assert [1, 2] == heard.positions
    assert "feed" in problems_of(here)
    await eventually(lambda: here.feed.status.error is None)


async def until_said(manager, text: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await say(manager, text)
            except StoreError:
                await asyncio.sleep(0.02)
            else:
                return
