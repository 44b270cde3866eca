"""From a URL to a journal, and what is refused on the way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.journal import MemoryJournal
from eliza_state.journal.source import JournalSource
from eliza_state.journal.sql import SqlJournal

Source = Callable[..., JournalSource]


@pytest.fixture
def source(file: FilePath) -> Source:
    def make(url: str = f"sqlite:///{file}", **options: Any) -> JournalSource:
        return JournalSource(url=url, clock=now_us, **options)

    return make


@pytest.mark.parametrize("url", ["memory://", "memory:///anything"])
def test_memory_needs_no_lease(source: Source, url: str) -> None:
    assert source(url).lease() is None
    assert isinstance(source(url).journal(), MemoryJournal)


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_file_is_opened_by_its_url(source: Source, file: FilePath, scheme: str) -> None:
    journal = source(f"{scheme}:///{file}").journal()
    journal.close()

    assert isinstance(journal, SqlJournal)
    assert file.exists()


@pytest.mark.parametrize(("query", "number"), [("", 2), ("?synchronous=NORMAL", 1), ("?synchronous=full", 2)])
def test_its_synchronous_stands_in_the_query(source: Source, file: FilePath, query: str, number: int) -> None:
    journal: Any = source(f"sqlite:///{file}{query}").journal()
    with contextlib.closing(journal):
        found = journal._database._connection.connection.driver_connection.execute(
            "PRAGMA synchronous"
        ).fetchone()

    assert (number,) == found


@pytest.mark.parametrize("query", ["?synchronous=OFF", "?synchronous=FULL&synchronous=NORMAL"])
def test_another_synchronous_is_refused(source: Source, file: FilePath, query: str) -> None:
    with pytest.raises(StoreError, match="is 'FULL' or 'NORMAL'"):
        source(f"sqlite:///{file}{query}").journal()


def test_it_names_the_file_wherever_the_process_goes(
    source: Source, monkeypatch: Any, tmp_path: FilePath
) -> None:
    monkeypatch.chdir(tmp_path)

    assert str(tmp_path / "state.db") == source("sqlite:///state.db?synchronous=NORMAL").database
    assert source("memory://").database is None


def test_every_opening_writes_under_its_own_name(source: Source) -> None:
    one, another = source().journal(), source().journal()
    one.close()
    another.close()

    assert one.writer != another.writer


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "a store is named by a URL"),
        ("state.db", "a store is named by a URL"),
        ("mysql://localhost/x", "MySQL and MariaDB take storages"),
        ("postgresql+asyncpg://localhost/x", "'memory://', a SQLite file"),
        ("sqlite+aiosqlite:///state.db", "'memory://', a SQLite file"),
        ("nonsense://", "'memory://', a SQLite file"),
        ("sqlite://", "for memory use 'memory://'"),
        ("sqlite:///:memory:", "for memory use 'memory://'"),
        ("sqlite:///file:x?mode=memory&uri=true", "for memory use 'memory://'"),
    ],
)
def test_any_other_url_is_refused(source: Source, url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        source(url).parsed()


def test_a_password_is_not_told(source: Source) -> None:
    with pytest.raises(StoreError) as caught:
        source("mysql://ada:geheim@localhost/x").parsed()

    assert "geheim" not in str(caught.value)


def test_a_missing_folder_is_named(source: Source, tmp_path: FilePath) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        source(f"sqlite:///{tmp_path}/missing/state.db").lease()

    assert [] == os.listdir(tmp_path)


def test_reading_only_takes_no_lease_and_makes_no_store(source: Source, tmp_path: FilePath) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        source(read_only=True).lease()
    source().journal().close()

    assert source(read_only=True).lease() is None
    assert ["state.db"] == os.listdir(tmp_path)


def test_a_folder_is_no_store(source: Source, tmp_path: FilePath) -> None:
    with pytest.raises(StoreError, match="cannot open: unable to open database file"):
        source(f"sqlite:///{tmp_path}").journal()
