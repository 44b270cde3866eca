"""On the way to the disk: together, in order, retried or given up; and what a kill leaves."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from eliza_state.errors import StaleState, StoreError
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.testing import RecordingReceiver
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Drawn, Said, Typing
from tests.forking.process import start_program

IMPATIENT = Limits(busy_timeout_ms=60, inline_below_ms=0)


def said(number: int) -> Said:
    return Said(user="ada", text=str(number))


def file_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def stored(url: str) -> int:
    """How many records another reader of the file finds."""
    with contextlib.closing(sqlite3.connect(file_of(url))) as connection:
        return int(connection.execute("SELECT count(*) FROM record").fetchone()[0])


@pytest.fixture
def lock(sqlite_url: str) -> Iterator[Any]:
    """Hold the write lock of the store as another process would; `lock()` takes it, `lock.release()` ends."""

    class Lock:
        def __init__(self) -> None:
            self.connection: sqlite3.Connection | None = None

        def __call__(self) -> None:
            self.connection = sqlite3.connect(file_of(sqlite_url), isolation_level=None)
            self.connection.execute("BEGIN IMMEDIATE")

        def release(self, *_: object) -> None:
            if self.connection is not None:
                self.connection.close()
                self.connection = None

    lock = Lock()
    yield lock
    lock.release()


async def texts(manager: StateManager) -> list[str]:
    return list((await manager.at(TALK).state("talk")).texts)


def count_appends(manager: StateManager, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    append = manager.journal.append

    def counted(drafts, *, after):
        sizes.append(len(drafts))
        return append(drafts, after=after)

    monkeypatch.setattr(manager.journal, "append", counted)
    return sizes


# Committed


async def test_concurrent_dispatches_share_a_transaction(opened, sqlite_url, monkeypatch):
    manager = await opened(sqlite_url)
    await manager.at(TALK).state()
    sizes = count_appends(manager, monkeypatch)
    await asyncio.gather(*(manager.dispatch(said(number), to=TALK) for number in range(100)))

    assert sum(sizes) == 100
    assert len(sizes) <= 3


async def test_a_record_is_durable_when_the_dispatch_returns(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await manager.dispatch(said(1), to=TALK)

    assert stored(sqlite_url) == 1


async def test_a_change_is_announced_when_its_record_is_durable(opened, sqlite_url):
    manager = await opened(sqlite_url)
    found = []
    manager.subscribe(lambda change: found.append(stored(sqlite_url)))
    await asyncio.gather(*(manager.dispatch(said(number), to=TALK) for number in range(5)))

    assert [5] * 5 == sorted(found)


async def test_readers_see_what_is_durable_only(opened, sqlite_url, lock):
    manager = await opened(sqlite_url)
    await manager.dispatch(said(1), to=TALK)
    lock()
    call = asyncio.ensure_future(manager.dispatch(said(2), to=TALK))
    for _ in range(10):
        await asyncio.sleep(0)

    assert (await texts(manager), await manager.at(TALK).version()) == (["1"], 1)
    lock.release()
    await call
    assert await texts(manager) == ["1", "2"]


async def test_a_locked_store_is_waited_for(opened, sqlite_url, lock):
    manager = await opened(sqlite_url)
    lock()
    asyncio.get_running_loop().call_later(0.05, lock.release)

    assert (await manager.dispatch(said(1), to=TALK)).version == 1


@pytest.mark.parametrize("inline_below_ms", [0, 1_000])
async def test_a_store_that_stays_locked_refuses_and_nothing_has_changed(
    opened, sqlite_url, lock, inline_below_ms
):
    manager = await opened(sqlite_url, limits=Limits(busy_timeout_ms=60, inline_below_ms=inline_below_ms))
    receiver = RecordingReceiver()
    await manager.dispatch(said(1), to=TALK)
    before = await manager.state()
    manager.subscribe(receiver)
    lock()
    outcomes = await asyncio.gather(
        manager.dispatch(said(2), to=TALK),
        manager.dispatch_all([(said(3), TALK), (Drawn(amount=3), AGENT)]),
        manager.dispatch(said(4), to=OTHER, id="x"),
        return_exceptions=True,
    )

    assert all(isinstance(outcome, StoreError) for outcome in outcomes)
    assert "journal" in {problem.kind for problem in manager.problems}
    assert (before, []) == (await manager.state(), receiver.changes)
    assert await manager.at(TALK).phase() == "active"
    lock.release()
    assert (await manager.dispatch(said(5), to=TALK)).version == 2
    assert not (await manager.dispatch(said(4), to=OTHER, id="x")).duplicate
    assert (await manager.at(AGENT).state("budget")).left == 10


async def test_those_behind_a_failed_batch_reduce_again_without_it(opened, sqlite_url, lock):
    manager = await opened(sqlite_url, limits=IMPATIENT)
    await manager.at(TALK).state()
    lock()
    manager.problems.listen(lock.release)
    first = asyncio.ensure_future(manager.dispatch(said(1), to=TALK))
    for _ in range(5):
        await asyncio.sleep(0)
    second = asyncio.ensure_future(manager.dispatch(said(2), to=TALK, expected_version=1))
    third = asyncio.ensure_future(manager.dispatch(said(3), to=TALK))
    fourth = asyncio.ensure_future(manager.dispatch(Typing(user="ada"), to=TALK))
    outcomes = await asyncio.gather(first, second, third, fourth, return_exceptions=True)

    assert isinstance(outcomes[0], StoreError)
    assert isinstance(outcomes[1], StaleState)
    assert (outcomes[2].version, outcomes[2].position) == (1, 1)
    assert await texts(manager) == ["3"] == list((await manager.at(TALK).state("talk", at=1)).texts)
    assert (await manager.at(TALK).state("presence")).typing == ("ada",)


async def test_a_caller_that_is_cancelled_while_the_store_is_locked(opened, sqlite_url, lock):
    manager = await opened(sqlite_url)
    await manager.at(TALK).state()
    lock()
    calls = [asyncio.ensure_future(manager.dispatch(said(number), to=TALK)) for number in range(3)]
    for _ in range(10):
        await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.sleep(0)
    lock.release()
    first, _, third = await asyncio.gather(*calls, return_exceptions=True)

    assert calls[1].cancelled()
    assert (1, 3) == (first.version, third.version)
    assert await texts(manager) == ["0", "1", "2"]


async def test_after_a_commit_whose_answer_was_lost_nothing_is_doubled(opened, sqlite_url, monkeypatch):
    manager = await opened(sqlite_url)
    await manager.at(TALK).state()
    append = manager.journal.append

    def loses_the_answer(drafts, *, after):
        append(drafts, after=after)
        raise StoreError("connection lost")

    monkeypatch.setattr(manager.journal, "append", loses_the_answer)
    changes = await asyncio.gather(*(manager.dispatch(said(number), to=TALK) for number in range(3)))
    monkeypatch.undo()
    await manager.dispatch(said(3), to=TALK)

    assert [1, 2, 3] == [change.position for change in changes]
    assert await texts(manager) == ["0", "1", "2", "3"]
    assert stored(sqlite_url) == 4


async def test_flushing_with_nothing_under_way_returns(manager):
    await manager.flush()


# Buffered


@pytest.fixture
async def buffered(opened, sqlite_url):
    """Open a store that is written when it is told to."""

    async def open_buffered(**limits: Any) -> StateManager:
        limits = {"flush_interval_ms": 3_600_000, "busy_timeout_ms": 30, **limits}
        return await opened(sqlite_url, durability="buffered", limits=Limits(**limits))

    return open_buffered


async def test_a_buffered_dispatch_returns_and_announces_at_once(buffered, sqlite_url):
    manager, receiver = await buffered(), RecordingReceiver()
    manager.subscribe(receiver)
    changes = [await manager.dispatch(said(number), to=TALK) for number in range(3)]

    assert changes == receiver.changes
    assert [(1, 1), (2, 2), (3, 3)] == [(change.position, change.version) for change in changes]
    assert await texts(manager) == ["0", "1", "2"]
    assert stored(sqlite_url) == 0


async def test_flush_writes_everything(buffered, sqlite_url):
    manager = await buffered()
    for number in range(3):
        await manager.dispatch(said(number), to=TALK)
    await manager.flush()

    assert stored(sqlite_url) == 3
    assert await manager.at(TALK).phase() == "active"


async def test_closing_writes_everything(buffered, opened, sqlite_url):
    manager = await buffered()
    changes = [await manager.dispatch(said(number), to=TALK) for number in range(3)]
    await manager.close()
    manager = await opened(sqlite_url)

    assert await texts(manager) == ["0", "1", "2"]
    assert [change.record.id for change in changes] == [record.id for record in await manager.root.records()]
    assert [change.record.recorded_at for change in changes] == [
        record.recorded_at for record in await manager.root.records()
    ]


@pytest.mark.parametrize("interval", [0, 10])
async def test_the_buffer_is_written_by_itself(buffered, sqlite_url, monkeypatch, interval):
    manager = await buffered(flush_interval_ms=interval)
    loop, written, append = asyncio.get_running_loop(), asyncio.Event(), manager.journal.append

    def told(drafts, *, after):
        outcome = append(drafts, after=after)
        loop.call_soon_threadsafe(written.set)
        return outcome

    monkeypatch.setattr(manager.journal, "append", told)
    await manager.dispatch(said(1), to=TALK)
    await asyncio.wait_for(written.wait(), 10)

    assert stored(sqlite_url) == 1


async def test_the_past_is_read_with_what_is_not_written_yet(buffered):
    manager = await buffered()
    for number in range(3):
        await manager.dispatch(said(number), to=TALK)

    assert list((await manager.at(TALK).state("talk", at=2)).texts) == ["0", "1"]
    assert [1, 2, 3] == [record.position for record in await manager.root.records()]


async def test_a_buffered_duplicate_is_recognised_before_and_after_it_is_written(buffered):
    manager = await buffered()
    await manager.dispatch(said(1), to=TALK, id="once")
    before = await manager.dispatch(said(1), to=TALK, id="once")
    await manager.flush()
    after = await manager.dispatch(said(1), to=TALK, id="once")

    assert [(1, 1, True)] * 2 == [(each.position, each.version, each.duplicate) for each in (before, after)]


async def test_what_could_not_be_written_is_kept_in_order_and_tried_again(buffered, sqlite_url, lock):
    manager = await buffered()
    lock()
    for number in range(3):
        await manager.dispatch(said(number), to=TALK)
    with pytest.raises(StoreError):
        await manager.flush()
    await manager.dispatch(said(3), to=TALK)
    with pytest.raises(StoreError):
        await manager.flush()

    assert await texts(manager) == ["0", "1", "2", "3"]
    assert stored(sqlite_url) == 0
    lock.release()
    await manager.flush()
    assert ["0", "1", "2", "3"] == list((await manager.at(TALK).state("talk", at=4)).texts)
    assert {"journal"} == {problem.kind for problem in manager.problems}


async def test_a_full_buffer_makes_dispatches_wait_then_fail(buffered, lock):
    manager = await buffered(max_queued=3, queue_timeout_ms=40)
    await manager.at(TALK).state()
    lock()
    for number in range(3):
        await manager.dispatch(said(number), to=TALK)
    for dispatch in (manager.dispatch(said(3), to=TALK), manager.dispatch_all([(said(3), TALK)])):
        with pytest.raises(StoreError, match="3 events wait for the store"):
            await dispatch

    assert await manager.at(TALK).version() == 3
    lock.release()
    await manager.flush()
    assert (await manager.dispatch(said(3), to=TALK)).version == 4


async def test_a_full_buffer_lets_on_when_there_is_room(buffered, lock):
    manager = await buffered(max_queued=3, queue_timeout_ms=60_000, flush_interval_ms=5)
    await manager.at(TALK).state()
    lock()
    asyncio.get_running_loop().call_later(0.05, lock.release)
    await asyncio.gather(*(manager.dispatch(said(number), to=TALK) for number in range(3)))

    assert (await asyncio.wait_for(manager.dispatch(said(3), to=TALK), 10)).version == 4


async def test_closing_a_store_that_cannot_be_written_says_so_and_releases_it(opened, sqlite_url, lock):
    limits = Limits(flush_interval_ms=3_600_000, busy_timeout_ms=30)
    manager = await StateManager.open(
        sqlite_url, modules=chat.modules(), durability="buffered", limits=limits
    )
    await manager.dispatch(said(1), to=TALK)
    await manager.flush()
    lock()
    await manager.dispatch(said(2), to=TALK)
    with pytest.raises(StoreError):
        await manager.close()
    lock.release()
    manager = await opened(sqlite_url, durability="buffered")

    assert await texts(manager) == ["1"]


async def test_the_committed_queue_is_bounded_too(opened, sqlite_url, lock):
    limits = Limits(max_queued=2, queue_timeout_ms=30, busy_timeout_ms=5_000, inline_below_ms=0)
    manager = await opened(sqlite_url, limits=limits)
    await manager.at(TALK).state()
    lock()
    calls = [asyncio.ensure_future(manager.dispatch(said(number), to=TALK)) for number in range(2)]
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(StoreError, match="events wait for the store"):
        await manager.dispatch(said(2), to=TALK)
    lock.release()
    await asyncio.gather(*calls)

    assert await texts(manager) == ["0", "1"]


# Kills

CHILD = """
import asyncio, sys
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from tests.eliza_state import chat

async def main(url, durability, start):
    manager = await StateManager.open(f"{url}?synchronous=NORMAL", modules=chat.modules(),
                                      durability=durability, limits=Limits(flush_interval_ms=5))
    async def talk(number):
        while True:
            text = f"{start}-{number}-{next(counter)}"
            to = (chat.TALK, chat.OTHER)[number % 2]
            await manager.dispatch(chat.Said(user="ada", text=text), to=to, id=text)
            sys.stdout.write(text + "\\n")
            sys.stdout.flush()
            await asyncio.sleep(0)
    import itertools
    counter = itertools.count()
    await asyncio.gather(*(talk(number) for number in range(4)))

asyncio.run(main(*sys.argv[1:]))
"""


def run_and_kill(url: str, durability: str, start: str, *, lines: int) -> list[str]:
    """Let a process dispatch, kill it after so many lines, and return what it said was done."""
    with start_program(CHILD, url, durability, start) as child:
        told = [child.stdout.readline().strip() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read().split("\n")[:-1]
    return [line for line in told if line]


async def check(url: str) -> list[str]:
    """Check that a store is whole, and return the ids of its records in order."""
    async with StateManager.open(url, modules=chat.modules()) as manager:
        records = await manager.root.records(limit=None)
        spoken = [text for path in (TALK, OTHER) for text in (await manager.at(path).state("talk")).texts]

        assert [record.position for record in records] == list(range(1, len(records) + 1))
        assert (await manager.root.state("totals")).said == len(records) == len(spoken)
        assert sorted(spoken) == sorted(record.id for record in records)
        assert len((await manager.at(ROOM).state("people")).names) == bool(records)
        assert list(manager.problems) == []
        return [record.id for record in records]


async def test_a_kill_loses_nothing_that_was_acknowledged_and_doubles_nothing(sqlite_url):
    acknowledged: set[str] = set()
    for attempt in range(3):
        lines = random.Random(attempt).randint(1, 150)
        acknowledged |= set(
            await asyncio.to_thread(run_and_kill, sqlite_url, "committed", str(attempt), lines=lines)
        )
        ids = await check(sqlite_url)

        assert len(set(ids)) == len(ids)
        assert acknowledged <= set(ids)


async def test_a_kill_of_a_buffered_store_loses_a_tail_and_nothing_else(sqlite_url):
    for attempt in range(2):
        told = await asyncio.to_thread(run_and_kill, sqlite_url, "buffered", str(attempt), lines=400)
        ids = [each for each in await check(sqlite_url) if each.startswith(f"{attempt}-")]
        # one writer announces in position order, so what is there is the beginning of what was told
        missing = [line for line in told if line not in set(ids)]

        assert sorted(told[: len(told) - len(missing)]) == sorted(set(told) & set(ids))
        assert told[len(told) - len(missing) :] == missing


async def test_who_begins_to_wait_while_the_manager_closes_is_told(opened, sqlite_url):
    told: list[StoreError | None] = []
    for turns in range(12):  # of the loop, in one of which what was written is told
        manager = await opened(sqlite_url)
        closing = asyncio.create_task(manager.core.committer.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            (error,) = await asyncio.gather(manager.flush(), return_exceptions=True)
        told.append(error)
        await closing

    assert {type(error) for error in told} <= {type(None), StoreError}
