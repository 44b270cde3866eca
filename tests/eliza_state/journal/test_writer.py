"""The writer: who writes where, what callers are told, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.journal import Appended, Draft, MemoryJournal
from eliza_state.journal.contract import Conflict
from eliza_state.journal.sql import SqlJournal
from eliza_state.journal.writer import Outcome, Writer
from tests.eliza_state.journal.conftest import Clock, Drafts

THREAD = "eliza-state-writer"
PATIENCE_S = 10


class Scripted(MemoryJournal):
    """A journal that notes who appends and does before and after it what a test says."""

    def __init__(self) -> None:
        super().__init__(writer="here", clock=Clock())
        self.threads: list[str] = []
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []

    def append(self, drafts: Sequence[Draft], *, after: int) -> Appended:
        self.threads.append(threading.current_thread().name)
        if self.before:
            self.before.pop(0)()
        landed = super().append(drafts, after=after)
        if self.after:
            self.after.pop(0)()
        return landed


class Maintained(Scripted):
    """A journal that wants maintenance after each append, and takes as long for it as the test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.may_end = threading.Event(), threading.Event()
        self.maintained = 0

    @property
    def wants_maintenance(self) -> bool:
        return self.head() > self.maintained

    def maintain(self) -> None:
        self.started.set()
        assert self.may_end.wait(PATIENCE_S)
        self.maintained = self.head()


def failure(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@contextlib.asynccontextmanager
async def writing(journal: MemoryJournal | SqlJournal, **options: Any) -> AsyncIterator[Writer]:
    writer = Writer(journal, loop=asyncio.get_running_loop(), **options)
    try:
        yield writer
    finally:
        await writer.close()


async def append(writer: Writer, drafts: Sequence[Draft], *, after: int = 0, alone: bool = False) -> Outcome:
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    writer.append(drafts, after=after, done=outcome.set_result, alone=alone)
    return await asyncio.wait_for(outcome, PATIENCE_S)


@pytest.fixture
def writers_alive() -> Callable[[], list[threading.Thread]]:
    """The threads of writers that began in the test."""
    before = set(threading.enumerate())
    return lambda: [
        thread for thread in threading.enumerate() if thread.name == THREAD and thread not in before
    ]


# Where a batch is written


async def test_a_lone_batch_is_written_at_once(scripted: Scripted, draft: Drafts) -> None:
    outcomes: list[Outcome] = []
    async with writing(scripted) as writer:
        writer.append([draft()], after=0, done=outcomes.append, alone=True)

        assert [Appended(1, scripted.clock())] == outcomes
    assert [threading.main_thread().name] == scripted.threads


async def test_a_batch_that_others_wait_for_goes_to_the_thread(scripted: Scripted, draft: Drafts) -> None:
    async with writing(scripted) as writer:
        outcome = await append(writer, [draft(), draft()], alone=False)

    assert Appended(1, scripted.clock()) == outcome
    assert [THREAD] == scripted.threads


async def test_nothing_is_written_at_once_when_that_is_forbidden(scripted: Scripted, draft: Drafts) -> None:
    async with writing(scripted, inline_below_ms=0) as writer:
        await append(writer, [draft()], alone=True)

    assert [THREAD] == scripted.threads


async def test_a_lone_batch_waits_behind_the_one_before_it(scripted: Scripted, draft: Drafts) -> None:
    may_go = threading.Event()
    scripted.before = [lambda: assert_(may_go.wait(PATIENCE_S))]
    order: list[int] = []
    async with writing(scripted) as writer:
        writer.append([draft()], after=0, done=lambda _outcome: order.append(1), alone=False)
        writer.append([draft()], after=1, done=lambda _outcome: order.append(2), alone=True)
        may_go.set()

    assert [THREAD, THREAD] == scripted.threads
    await asyncio.sleep(0)
    assert [1, 2] == order


def assert_(value: object) -> None:
    assert value


async def test_a_slow_journal_is_left_to_the_thread(scripted: Scripted, draft: Drafts) -> None:
    scripted.before = [lambda: time.sleep(0.02)] * 3
    async with writing(scripted, inline_below_ms=1) as writer:
        for head in range(3):
            await append(writer, [draft()], after=head, alone=True)

    assert [threading.main_thread().name, THREAD, THREAD] == scripted.threads


async def test_a_journal_that_became_quick_is_written_at_once_again(
    scripted: Scripted, draft: Drafts
) -> None:
    scripted.before = [lambda: time.sleep(0.02)]
    async with writing(scripted, inline_below_ms=1) as writer:
        for head in range(60):
            await append(writer, [draft()], after=head, alone=True)

    assert THREAD in scripted.threads
    assert threading.main_thread().name == scripted.threads[-1]


async def test_a_lock_held_by_others_is_waited_for_in_the_thread(scripted: Scripted, draft: Drafts) -> None:
    scripted.before = [failure(Busy("held"))] * 4
    async with writing(scripted) as writer:
        outcome = await append(writer, [draft()], alone=True)

    assert Appended(1, scripted.clock()) == outcome
    assert [threading.main_thread().name] + [THREAD] * 4 == scripted.threads


async def test_a_lock_that_is_never_given_back_is_an_error(scripted: Scripted, draft: Drafts) -> None:
    scripted.before = [failure(Busy("held"))] * 1_000
    async with writing(scripted, busy_timeout_ms=5) as writer:
        outcome = await append(writer, [draft()])

    assert isinstance(outcome, StoreError)
    assert "held, for longer than 0.005 s" in str(outcome)
    assert 0 == scripted.head()


async def test_maintenance_does_not_hold_the_event_loop_up(draft: Drafts) -> None:
    journal = Maintained()
    outcomes: list[Outcome] = []
    async with writing(journal) as writer:
        await append(writer, [draft()], alone=True)
        assert await asyncio.to_thread(journal.started.wait, PATIENCE_S)
        await asyncio.sleep(0)

        writer.append([draft()], after=1, done=outcomes.append, alone=True)

        assert [] == outcomes
        journal.may_end.set()
    await asyncio.sleep(0)
    assert [Appended(2, journal.clock())] == outcomes
    assert 2 == journal.maintained


# What callers are told


async def test_an_overtaken_batch_is_told_so(scripted: Scripted, draft: Drafts) -> None:
    conflict = Conflict([])
    scripted.before = [failure(conflict)]
    async with writing(scripted) as writer:
        assert conflict is await append(writer, [draft()])


@pytest.mark.parametrize("alone", [False, True])
async def test_a_batch_whose_commit_was_lost_from_sight_is_found(
    scripted: Scripted, draft: Drafts, alone: bool
) -> None:
    async with writing(scripted) as writer:
        await append(writer, [draft()])
        scripted.after = [failure(StoreError("connection lost"))]

        outcome = await append(writer, [draft(), draft()], after=1, alone=alone)

    assert isinstance(outcome, Appended)
    assert (2, scripted.clock(), []) == (
        outcome.first_position,
        outcome.recorded_at_us,
        list(outcome.missed),
    )


@pytest.mark.parametrize("alone", [False, True])
async def test_a_batch_that_was_not_stored_is_an_error(
    scripted: Scripted, draft: Drafts, alone: bool
) -> None:
    error = StoreError("disk full")
    scripted.before = [failure(error)]
    async with writing(scripted) as writer:
        assert error is await append(writer, [draft()], alone=alone)

        outcome = await append(writer, [draft()], alone=alone)

    assert Appended(1, scripted.clock()) == outcome


async def test_an_older_record_with_the_same_id_is_not_taken_for_the_batch(
    sql: SqlJournal, draft: Drafts
) -> None:
    first = draft()
    async with writing(sql) as writer:
        await append(writer, [first])

        outcome = await append(writer, [draft(key=first.key)], after=1)

    assert isinstance(outcome, Conflict)
    assert [first.key] == [record.key for record in outcome.known]
    assert 1 == sql.head()


async def test_a_record_of_others_with_the_same_id_is_not_taken_for_the_batch(
    scripted: Scripted, draft: Drafts
) -> None:
    wanted, error = draft(), StoreError("disk full")

    def let_others_write_it() -> None:
        scripted.writer = "another"
        MemoryJournal.append(scripted, [wanted], after=0)
        scripted.writer = "here"
        raise error

    scripted.before = [let_others_write_it]
    async with writing(scripted) as writer:
        assert error is await append(writer, [wanted])


@pytest.mark.parametrize("alone", [False, True])
async def test_what_cannot_be_written_at_all_fails_alone(sql: SqlJournal, draft: Drafts, alone: bool) -> None:
    async with writing(sql) as writer:
        refused = await append(writer, [draft(cause="\ud800")], alone=alone)
        outcome = await append(writer, [draft()], alone=alone)

    assert isinstance(refused, StoreError)
    assert isinstance(refused.__cause__, UnicodeEncodeError)
    assert Appended(1, sql.clock()) == outcome


async def test_a_failed_maintenance_is_told_in_the_log(
    draft: Drafts, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Maintained):
        def maintain(self) -> None:
            self.maintained = self.head()
            raise StoreError("no checkpoint today")

    async with writing(Failing()) as writer:
        await append(writer, [draft()])

    assert "no checkpoint today" in caplog.text


# Closing


async def test_closing_writes_what_was_handed_over_and_ends_the_thread(
    scripted: Scripted, draft: Drafts, writers_alive: Callable[[], list[threading.Thread]]
) -> None:
    writer = Writer(scripted, loop=asyncio.get_running_loop())
    assert 1 == len(writers_alive())
    for head in range(50):
        writer.append([draft()], after=head, done=lambda _outcome: None, alone=False)

    await writer.close()

    assert 50 == scripted.head()
    assert [] == writers_alive()


async def test_a_closed_writer_refuses_and_may_be_closed_again(scripted: Scripted, draft: Drafts) -> None:
    writer = Writer(scripted, loop=asyncio.get_running_loop())
    await writer.close()
    await writer.close()

    with pytest.raises(StoreError, match="closed"):
        writer.append([draft()], after=0, done=lambda _outcome: None, alone=False)


@pytest.fixture
def foreign_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_loop_that_closes_first_is_told_in_the_log(
    scripted: Scripted,
    draft: Drafts,
    foreign_loop: asyncio.AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
    writers_alive: Callable[[], list[threading.Thread]],
) -> None:
    may_go = threading.Event()
    scripted.before = [lambda: assert_(may_go.wait(PATIENCE_S))]
    writer = Writer(scripted, loop=foreign_loop)
    writer.append([draft()], after=0, done=lambda _outcome: None, alone=False)
    (thread,) = writers_alive()

    foreign_loop.close()
    may_go.set()
    thread.join(PATIENCE_S)

    assert [] == writers_alive()
    assert "the event loop was closed before the manager" in caplog.text
    assert 1 == scripted.head()
