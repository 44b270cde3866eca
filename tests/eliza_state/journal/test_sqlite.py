"""How SQLite is opened, and how its errors come out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path as FilePath

import pytest
from sqlalchemy import Engine, make_url

from eliza_state.errors import StoreError
from eliza_state.journal import SqlJournal, sqlite
from eliza_state.journal.contract import Busy
from tests.eliza_state.journal.conftest import Drafts

OpenSql = Callable[..., SqlJournal]


def pragma(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


@pytest.mark.parametrize(("synchronous", "number"), [("FULL", 2), ("NORMAL", 1)])
def test_the_writer_logs_ahead_and_checkpoints_by_itself(
    file: FilePath, synchronous: sqlite.Synchronous, number: int
) -> None:
    engine = sqlite.writing_engine(make_url(f"sqlite:///{file}"), synchronous=synchronous)

    found = [pragma(engine, name) for name in ("journal_mode", "synchronous", "wal_autocheckpoint")]
    engine.dispose()
    assert ["wal", number, 0] == found


@pytest.mark.parametrize("read_only", [False, True])
def test_no_connection_maps_the_file_into_memory_and_readers_only_read(
    sql: SqlJournal, file: FilePath, read_only: bool
) -> None:
    url = make_url(f"sqlite:///{file}")
    reading = sqlite.reading_engine(url, busy_timeout_ms=70, read_only=read_only)
    writing = sqlite.writing_engine(url, synchronous="FULL")

    mapped = [pragma(engine, "mmap_size") for engine in (reading, writing)]
    waits = [pragma(engine, "busy_timeout") for engine in (reading, writing)]
    only = pragma(reading, "query_only")
    reading.dispose()
    writing.dispose()
    assert ([0, 0], [70, 0], 1) == (mapped, waits, only)


def test_another_way_of_flushing_is_refused(open_journal: OpenSql) -> None:
    with pytest.raises(StoreError, match="'FULL' or 'NORMAL', got 'OFF'"):
        open_journal(synchronous="OFF")


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "a?b#c.db", "ä€🙂.db", "mode=ro&x.db"])
def test_a_file_may_have_any_name(
    open_journal: OpenSql, tmp_path: FilePath, draft: Drafts, name: str
) -> None:
    url = make_url("sqlite://").set(database=str(tmp_path / name))
    writer = SqlJournal(url, writer="here", synchronous="NORMAL")
    writer.append([draft()], after=0)
    reader = SqlJournal(url, writer="here", read_only=True)

    heads = [writer.head(), reader.head()]
    reader.close()
    writer.close()
    assert [1, 1] == heads
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("version", "is_safe"), [((3, 40, 1), False), ((3, 51, 2), False), ((3, 51, 3), True), ((4, 0, 0), True)]
)
def test_only_newer_versions_share_a_file_safely(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], is_safe: bool
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)

    assert is_safe is sqlite.is_safe_to_share()


def test_a_held_lock_is_busy_and_any_other_error_is_the_stores(
    file: FilePath, bare: sqlite3.Connection
) -> None:
    bare.execute("BEGIN EXCLUSIVE")
    other = sqlite3.connect(file, timeout=0)

    with pytest.raises(Busy, match="cannot look"), sqlite.translated("look"):
        other.execute("CREATE TABLE t (a)")
    with pytest.raises(StoreError, match="cannot look: no such column") as caught, sqlite.translated("look"):
        other.execute("SELECT missing")
    other.close()
    assert not isinstance(caught.value, Busy)
