"""Real processes at one store: killed, stopped and started, what they commit is heard and worked on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from eliza_state.followers import Followers
from tests.eliza_state import chat
from tests.eliza_state.feed.conftest import Heard, eventually, say
from tests.forking.process import Process, start_module

TALKS = [chat.ROOM.child("conversation", f"c{number}") for number in range(6)]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"{request.getfixturevalue('sqlite_url')}?synchronous=NORMAL"
    found: str = request.getfixturevalue("postgres_store")
    return found


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Start processes of `program`."""
    started: list[Process] = []

    def start_one(*arguments: object) -> Process:
        process = start_module("tests.eliza_state.feed.program", *arguments, stderr=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


async def line(process: Process) -> str:
    return (await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30)).strip()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_killed_writers_commits_are_heard(woken, url, start):
    # Of its last ones nobody may have been told: the look behind that finds them.
    here = await woken(url, feed_interval_ms=100)
    heard = Heard()
    here.subscribe(heard)
    writer = start("write", url, 1_000)
    while int(await line(writer)) < 5:
        pass
    writer.kill()
    writer.wait()
    last = await asyncio.to_thread(here.journal.head)
    await heard.until(last)

    assert list(range(1, last + 1)) == heard.positions
    assert {"remote"} == {change.origin for change in heard.changes}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_process_that_was_stopped_hears_what_it_missed(opened, url, start):
    here = await opened(url)
    listener = start("listen", url, "")
    assert "ready" == await line(listener)
    os.kill(listener.pid, signal.SIGSTOP)
    await say(here, *range(20))
    os.kill(listener.pid, signal.SIGCONT)

    assert list(range(1, 21)) == [int(await line(listener)) for _ in range(20)]


async def test_a_killed_workers_records_are_worked_on_by_the_others(opened, url, start):
    here = await opened(url)
    workers = [start("work", url, 4) for _ in range(2)]
    for worker in workers:
        assert "ready" == await line(worker)
    for number in range(6):
        for talk in TALKS:
            await say(here, f"{talk.steps[-1][1]} {number}", to=talk)
        if number == 2:
            workers[0].kill()
    noted = await noted_texts(here, 36)

    assert {1} == set(Counter(noted).values())
    assert all(each == sorted(each) for each in by_talk(noted))


def by_talk(texts: list[str]) -> list[list[str]]:
    return [[text for text in texts if text.startswith(f"{talk.steps[-1][1]} ")] for talk in TALKS]


async def noted_texts(manager, count: int) -> list[str]:
    """Wait until so much was worked on, and return it in the order of the journal."""
    found: list[str] = []
    async with asyncio.timeout(30):
        async for change in manager.changes(after=0, event=chat.Noted):
            found.append(change.event.text)
            if len(found) == count:
                return found
    raise AssertionError


async def test_a_process_that_lost_its_claims_gives_its_partitions_up(opened, postgres_store, following_soon):
    managers = [await opened(postgres_store) for _ in range(2)]
    groups = [await following_soon(manager) for manager in managers]
    await eventually(lambda: [2, 2] == [len(group.partitions) for group in groups])
    managers[0].claims._drop()
    await eventually(lambda: [2, 2] == [len(group.partitions) for group in groups])
    for talk in TALKS:
        await say(managers[0], talk.steps[-1][1], to=talk)

    assert 6 == len(set(await noted_texts(managers[1], 6)))


@pytest.fixture
async def following_soon():
    """Join as a worker that notes what is said."""

    def note(told, write):
        write(chat.Noted(text=told.event.text))

    async with contextlib.AsyncExitStack() as stack:

        async def join(manager):
            followers = await stack.enter_async_context(Followers(manager, poll_interval_ms=20))
            return await followers.join("worker", note, partitions=4, events=[chat.Said])

        yield join
