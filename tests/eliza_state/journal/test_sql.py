"""The SQL journal: several writers, failures half-way, checkpoints, reading only."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.ids import encode_id
from eliza_state.journal import Appended, Draft
from eliza_state.journal.contract import Conflict
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import OTHER, ROOM, STRANGER, TALK, Clock, Drafts, open_sql

OpenSql = Callable[..., SqlJournal]


def contents(journal: SqlJournal, path: Path | None = None) -> list[bytes]:
    return [record.content for record in journal.read(path or Path())]


# Keeping


def test_everything_is_there_after_opening_anew(open_journal: OpenSql, draft: Drafts) -> None:
    first = open_journal()
    first.append([draft(), draft(OTHER)], after=0)
    before = list(first.read(Path()))
    first.close()

    again = open_journal(writer="another")

    assert before == list(again.read(Path()))
    assert first.epoch == again.epoch
    again.append([draft()], after=2)
    assert ["here", "here", "another"] == [record.writer for record in again.read(Path())]


def test_recorded_at_never_decreases_from_one_opening_to_the_next(
    open_journal: OpenSql, draft: Drafts, clock: Clock
) -> None:
    clock.now_us = 500
    first = open_journal(clock=clock)
    first.append([draft()], after=0)
    first.close()
    clock.now_us = 300

    assert 500 == open_journal(clock=clock).append([draft()], after=1).recorded_at_us


def test_closing_leaves_nothing_but_the_database(sql: SqlJournal, draft: Drafts, file: FilePath) -> None:
    sql.append([draft()], after=0)
    list(sql.read(TALK))

    sql.close()

    assert [file.name] == os.listdir(file.parent)


def test_a_closed_journal_refuses_everything(sql: SqlJournal, draft: Drafts, file: FilePath) -> None:
    sql.close()

    with pytest.raises(StoreError, match="closed"):
        sql.append([draft()], after=0)
    with pytest.raises(StoreError, match="closed"):
        sql.head()
    sql.maintain()
    assert [file.name] == os.listdir(file.parent)


# Several writers


def test_what_others_wrote_elsewhere_comes_back_as_missed(open_journal: OpenSql, draft: Drafts) -> None:
    one, another = open_journal(writer="one"), open_journal(writer="another")
    one.append([draft(TALK)], after=0)
    one.append([draft(OTHER), draft(STRANGER)], after=1)

    landed = another.append([draft(ROOM)], after=1)

    assert 4 == landed.first_position
    assert [(2, OTHER), (3, STRANGER)] == [(record.position, record.path) for record in landed.missed]
    assert list(one.read(Path(), after=1, until=3)) == landed.missed


def test_a_record_of_others_on_the_same_path_is_a_conflict(open_journal: OpenSql, draft: Drafts) -> None:
    one, another = open_journal(), open_journal()
    one.append([draft(OTHER), draft(TALK)], after=0)

    with pytest.raises(Conflict) as caught:
        another.append([draft(STRANGER), draft(TALK, version=1)], after=0)

    assert [1, 2] == [record.position for record in caught.value.missed]
    assert 2 == one.head()
    assert not another.knows(STRANGER)
    assert 3 == another.append([draft(STRANGER, version=1)], after=2).first_position


@pytest.mark.parametrize("after", [0, 1])
def test_recorded_at_follows_a_writer_whose_clock_is_ahead(
    open_journal: OpenSql, draft: Drafts, after: int
) -> None:
    ahead, behind = Clock(), Clock()
    ahead.now_us, behind.now_us = 900, 100
    one, another = open_journal(clock=ahead), open_journal(clock=behind)
    one.append([draft(TALK)], after=0)

    landed = another.append([draft(OTHER)], after=after)

    assert 900 == landed.recorded_at_us


def test_a_lock_held_by_others_is_busy_at_once(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection
) -> None:
    wanted = draft()
    bare.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        sql.append([wanted], after=0)
    bare.execute("ROLLBACK")

    assert 1 == sql.append([wanted], after=0).first_position


def test_reading_goes_on_while_others_hold_the_lock(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection
) -> None:
    sql.append([draft()], after=0)
    bare.execute("BEGIN IMMEDIATE")

    assert 1 == sql.head()


def test_opening_waits_for_a_lock_no_longer_than_it_is_told(
    open_journal: OpenSql, bare: sqlite3.Connection
) -> None:
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("BEGIN IMMEDIATE")

    with pytest.raises(Busy, match="cannot open"):
        open_journal(busy_timeout_ms=1)


# Failing half-way


@contextlib.contextmanager
def failing_insert(bare: sqlite3.Connection, at: int) -> Iterator[None]:
    """Let the insert of a position fail."""
    bare.execute(
        f"CREATE TRIGGER fails BEFORE INSERT ON record WHEN NEW.position = {at}"
        " BEGIN SELECT RAISE(ABORT, 'struck by the test'); END"
    )
    yield
    bare.execute("DROP TRIGGER fails")


@contextlib.contextmanager
def full_disk(file: FilePath) -> Iterator[None]:
    """Let no file grow beyond what the journal's log has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(f"{file}-wal"), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_transaction_that_fails_in_the_middle_stores_nothing(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection
) -> None:
    sql.append([draft()], after=0)
    with failing_insert(bare, at=4), pytest.raises(StoreError, match="struck by the test"):
        sql.append([draft(OTHER, event="fresh"), draft(STRANGER), draft()], after=1)

    assert 1 == sql.head()
    assert not sql.knows(OTHER)
    assert [(0,), (0,)] == [
        bare.execute("SELECT count(*) FROM path WHERE step LIKE '%someone%'").fetchone(),
        bare.execute("SELECT count(*) FROM event_type WHERE name = 'fresh'").fetchone(),
    ]


def test_numbers_given_in_a_failed_transaction_are_forgotten(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection
) -> None:
    with failing_insert(bare, at=1), pytest.raises(StoreError):
        sql.append([draft(TALK, event="lost")], after=0)

    sql.append([draft(STRANGER, event="kept"), draft(OTHER, event="also kept")], after=0)

    assert [(STRANGER, "kept"), (OTHER, "also kept")] == [
        (record.path, record.event) for record in sql.read(Path())
    ]
    assert [2] == [record.position for record in sql.read(ROOM)]
    assert not sql.knows(TALK)


def test_a_disk_that_is_full_at_the_commit_stores_nothing(
    sql: SqlJournal, draft: Drafts, file: FilePath
) -> None:
    sql.append([draft()], after=0)
    with full_disk(file), pytest.raises(StoreError, match="cannot append"):
        sql.append([draft(OTHER)], after=1)

    assert 1 == sql.head()
    assert 2 == sql.append([draft(STRANGER), draft()], after=1).first_position
    assert [1, 2, 3] == [record.position for record in sql.read(Path())]


def test_a_database_that_may_not_grow_stores_nothing(sql: SqlJournal, draft: Drafts) -> None:
    sql.append([draft()], after=0)
    driver = sql._database._connection.connection.driver_connection
    assert driver is not None
    (pages,) = driver.execute("PRAGMA page_count").fetchone()
    driver.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreError, match="full"):
        sql.append([draft(OTHER, content=b"x" * 100_000)], after=1)
    driver.execute("PRAGMA max_page_count=1000000")

    assert Appended(2, sql.clock()) == sql.append([draft(STRANGER)], after=1)


def test_an_id_that_is_taken_is_refused_whole(sql: SqlJournal, draft: Drafts) -> None:
    taken = draft(key=encode_id("taken"))
    sql.append([taken], after=0)

    with pytest.raises(Conflict) as caught:
        sql.append([draft(OTHER), draft(key=taken.key)], after=1)

    assert ([], [1]) == (list(caught.value.missed), [record.position for record in caught.value.known])
    assert 1 == sql.head()


# Checkpoints


def log_bytes(file: FilePath) -> int:
    return os.path.getsize(f"{file}-wal")


def write(sql: SqlJournal, draft: Drafts, file: FilePath, *, bytes_: int, commits: int) -> int:
    """Append drafts of a size, maintaining as the writer does; return how large the log became."""
    largest = 0
    for _ in range(commits):
        sql.append([draft(content=b"x" * bytes_)], after=sql.head())
        if sql.wants_maintenance:
            sql.maintain()
        largest = max(largest, log_bytes(file))
    return largest


def test_the_log_stays_bounded_over_a_long_run(sql: SqlJournal, draft: Drafts, file: FilePath) -> None:
    assert write(sql, draft, file, bytes_=200_000, commits=200) < 8_000_000


def test_the_log_stays_bounded_when_commits_are_small(sql: SqlJournal, draft: Drafts, file: FilePath) -> None:
    assert write(sql, draft, file, bytes_=10, commits=1_500) < 8_000_000


def test_a_long_reader_holds_the_log_back_only_while_it_reads(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection, file: FilePath
) -> None:
    sql.append([draft()], after=0)
    bare.execute("BEGIN")
    bare.execute("SELECT count(*) FROM record").fetchone()
    held = write(sql, draft, file, bytes_=1_000_000, commits=50)
    bare.execute("COMMIT")

    write(sql, draft, file, bytes_=1_000_000, commits=30)

    assert held > 40_000_000
    assert log_bytes(file) < 40_000_000


def test_maintaining_leaves_room_for_the_next_append(sql: SqlJournal, draft: Drafts) -> None:
    sql.append([draft()], after=0)
    sql.maintain()
    sql.maintain()

    assert 2 == sql.append([draft()], after=1).first_position


# Reading only


def test_reading_only_needs_a_journal(open_journal: OpenSql, file: FilePath) -> None:
    with pytest.raises(StoreError):
        open_journal(read_only=True)

    assert not file.exists()


def test_reading_only_sees_what_a_writer_adds(open_journal: OpenSql, draft: Drafts) -> None:
    writer = open_journal()
    reader = open_journal(read_only=True)

    writer.append([draft()], after=0)

    assert 1 == reader.head()
    assert writer.epoch == reader.epoch
    assert contents(writer) == contents(reader)


def test_reading_only_refuses_to_write(open_journal: OpenSql, draft: Drafts) -> None:
    open_journal().close()
    reader = open_journal(read_only=True)

    with pytest.raises(StoreError, match="read only"):
        reader.append([draft()], after=0)
    reader.maintain()
    assert 0 == reader.head()


@pytest.mark.parametrize("crashed", [False, True])
def test_reading_only_changes_no_byte(
    open_journal: OpenSql, draft: Drafts, file: FilePath, tmp_path: FilePath, crashed: bool
) -> None:
    journal = open_journal()
    journal.append(draft.some(20), after=0)
    copy = tmp_path / "copy" / "state.db"
    copy.parent.mkdir()
    if not crashed:
        journal.close()
    for name in (file.name, *([f"{file.name}-wal"] if crashed else [])):
        (copy.parent / name).write_bytes((tmp_path / name).read_bytes())
    before = {name: (copy.parent / name).read_bytes() for name in os.listdir(copy.parent)}
    times = os.stat(copy).st_mtime_ns

    reader = open_journal(file=copy, read_only=True)
    found = contents(reader)
    reader.close()

    assert 20 == len(found)
    assert before == {name: (copy.parent / name).read_bytes() for name in before}
    assert times == os.stat(copy).st_mtime_ns
    assert set(os.listdir(copy.parent)) - set(before) <= {f"{file.name}-wal", f"{file.name}-shm"}


@pytest.fixture
def unwritable(draft: Drafts) -> Iterator[Callable[[Draft], FilePath]]:
    """Give a journal in a folder that this process cannot write; the administrator steps down for it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = FilePath(name)
        user = os.geteuid()

        def make(first: Draft) -> FilePath:
            journal = open_sql(folder / "state.db")
            journal.append([first], after=0)
            journal.close()
            folder.chmod(0o555)
            if user == 0:
                os.seteuid(65534)
            return folder / "state.db"

        yield make
        if user == 0:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_store_in_a_folder_that_cannot_be_written_can_be_read(
    unwritable: Callable[[Draft], FilePath], open_journal: OpenSql, draft: Drafts
) -> None:
    wanted = draft()
    file = unwritable(wanted)

    reader = open_journal(file=file, read_only=True)

    assert [wanted.content] == contents(reader)
    assert [file.name] == os.listdir(file.parent)
    with pytest.raises(StoreError, match="cannot open"):
        open_journal(file=file)
