"""Processes tell each other through Redis, and do without it while it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from eliza_state.errors import StoreError
from eliza_state.feed.redis import RedisAnnouncer, RedisChannel
from eliza_state.storage.redis.changes import RedisListener
from eliza_state.testing import FaultProxy
from tests.eliza_state.feed.conftest import Heard, eventually, problems_of, say

if TYPE_CHECKING:
    from tests.servers import RedisServer


async def test_a_commit_is_told(woken, sqlite_url, redis_url):
    here, there = [await woken(sqlite_url, feed=redis_url) for _ in range(2)]
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    await say(there, *range(5))
    await heard.until(5)

    assert [1, 2, 3, 4, 5] == heard.positions


async def test_ones_own_commits_are_not_told(woken, sqlite_url, redis_url):
    here, there = [await woken(sqlite_url, feed=redis_url) for _ in range(2)]
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    before = here.feed.status.wakes
    await say(here, *range(5))
    await say(there, "hello")
    await heard.until(6)

    assert 1 == here.feed.status.wakes - before


async def test_stores_do_not_hear_of_each_other(woken, tmp_path, redis_url):
    here = await woken(f"sqlite:///{tmp_path}/a.db", feed=redis_url)
    there = await woken(f"sqlite:///{tmp_path}/b.db", feed=redis_url)
    here.subscribe(Heard())
    heard = Heard()
    beside = await woken(f"sqlite:///{tmp_path}/b.db", feed=redis_url)
    beside.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake and beside.feed.status.is_awake)
    before = here.feed.status.wakes
    await say(there, "hello")
    await heard.until(1)

    assert before == here.feed.status.wakes


async def test_one_that_is_gone_is_reported_and_the_journal_looked_at(woken, sqlite_url, own_redis_server):
    server: RedisServer = own_redis_server()
    here = await woken(sqlite_url, feed=server.url, feed_interval_ms=20)
    there = await woken(sqlite_url, feed=server.url)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    await asyncio.to_thread(server.kill)
    await say(there, "hello")
    await heard.until(1)
    await eventually(lambda: "feed" in problems_of(here))
    await asyncio.to_thread(server.start)
    await eventually(lambda: here.feed.status.is_awake)
    await say(there, "again")
    await heard.until(2)

    assert [1, 2] == heard.positions


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[FaultProxy]:
    place = urlsplit(redis_url)
    async with FaultProxy(str(place.hostname), place.port) as proxy:
        yield proxy


async def test_a_cut_connection_is_made_anew_and_what_was_missed_is_read(woken, sqlite_url, redis_url, proxy):
    here = await woken(sqlite_url, feed=f"redis://{proxy.address}{urlsplit(redis_url).path}")
    there = await woken(sqlite_url, feed=redis_url)
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    proxy.reset()
    await say(there, "missed")
    await heard.until(1)

    assert [1] == heard.positions


async def test_what_could_not_be_published_is_published_later(redis_url, proxy):
    told = asyncio.Queue()
    listening = RedisChannel(redis_url, epoch="store", writer="here")
    hearing = RedisListener(
        listening.servers,
        listening.names,
        limit_s=2,
        on_change=lambda *each: told.put_nowait(each),
        on_lost=bool,
    )
    await hearing.open()
    channel = RedisChannel(f"redis://{proxy.address}", epoch="store", writer="there")
    announcer = RedisAnnouncer(channel)
    proxy.refuse()
    announcer.announce(7)
    await eventually(lambda: announcer.error is not None)
    proxy.heal()
    async with asyncio.timeout(20):
        heard = await told.get()
    await announcer.close()
    await hearing.close()
    await listening.close()

    assert ("there", 7) == heard
    assert announcer.error is None


async def test_closing_does_not_wait_for_one_that_is_gone(redis_url, proxy):
    announcer = RedisAnnouncer(RedisChannel(f"redis://{proxy.address}", epoch="store", writer="there"))
    proxy.refuse()
    announcer.announce(7)
    await eventually(lambda: announcer.error is not None)

    async with asyncio.timeout(20):
        await announcer.close()
    assert announcer.error is not None


async def test_all_nodes_of_a_cluster_tell(woken, sqlite_url, redis_cluster):
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    here, there = [await woken(sqlite_url, feed=url) for _ in range(2)]
    heard = Heard()
    here.subscribe(heard)
    await eventually(lambda: here.feed.status.is_awake)
    for number in range(1, 13):
        await say(there, number)
        await heard.until(number)

    assert list(range(1, 13)) == heard.positions


async def test_a_url_of_something_else_is_refused(opened, sqlite_url):
    with pytest.raises(StoreError, match="the feed is True, False or the URL of a Redis"):
        await opened(sqlite_url, feed="https://example.org")


async def test_memory_is_nobody_elses(opened):
    with pytest.raises(StoreError, match="no use for a feed"):
        await opened("memory://", feed="redis://127.0.0.1")
