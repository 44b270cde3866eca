"""How SQLite is opened, and how its errors come out."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

import pytest
from sqlalchemy import URL, Engine, make_url

from eliza_state import sqlite
from eliza_state.errors import Busy, StoreError


@pytest.fixture
def file(tmp_path: FilePath) -> FilePath:
    return tmp_path / "state.db"


@pytest.fixture
def url(file: FilePath) -> URL:
    return make_url(f"sqlite:///{file}")


@pytest.fixture
def keep() -> Iterator[Callable[[Engine], Engine]]:
    """Engines are disposed in the end."""
    with contextlib.ExitStack() as kept:

        def one(engine: Engine) -> Engine:
            kept.callback(engine.dispose)
            return engine

        yield one


Keep = Callable[[Engine], Engine]


def pragma(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


@pytest.mark.parametrize(("synchronous", "number"), [("FULL", 2), ("NORMAL", 1)])
def test_the_writer_logs_ahead_and_checkpoints_by_itself(
    url: URL, keep: Keep, synchronous: sqlite.Synchronous, number: int
) -> None:
    engine = keep(sqlite.writing_engine(url, synchronous=synchronous))

    found = [pragma(engine, name) for name in ("journal_mode", "synchronous", "wal_autocheckpoint")]

    assert ["wal", number, 0] == found


@pytest.mark.parametrize("read_only", [False, True])
def test_no_connection_maps_the_file_into_memory_and_readers_only_read(
    url: URL, keep: Keep, read_only: bool
) -> None:
    writing = keep(sqlite.writing_engine(url, synchronous="FULL"))
    of_the_writer = [pragma(writing, name) for name in ("mmap_size", "busy_timeout", "query_only")]
    reading = keep(sqlite.reading_engine(url, busy_timeout_ms=70, read_only=read_only))

    of_the_reader = [pragma(reading, name) for name in ("mmap_size", "busy_timeout", "query_only")]

    assert ([0, 0, 0], [0, 70, 1]) == (of_the_writer, of_the_reader)


def test_another_way_of_flushing_is_refused(url: URL) -> None:
    with pytest.raises(StoreError, match="'FULL' or 'NORMAL', got 'OFF'"):
        sqlite.writing_engine(url, synchronous="OFF")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "a?b#c.db", "ä€🙂.db", "mode=ro&x.db"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_may_have_any_name(tmp_path: FilePath, keep: Keep, name: str, read_only: bool) -> None:
    url = make_url("sqlite://").set(database=str(tmp_path / name))
    with keep(sqlite.writing_engine(url, synchronous="NORMAL")).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t AS SELECT 7 AS a")
    reading = keep(sqlite.reading_engine(url, busy_timeout_ms=0, read_only=read_only))

    with reading.connect() as connection:
        found = connection.exec_driver_sql("SELECT a FROM t").scalar()

    assert 7 == found
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("version", "is_safe"), [((3, 40, 1), False), ((3, 51, 2), False), ((3, 51, 3), True), ((4, 0, 0), True)]
)
def test_only_newer_versions_share_a_file_safely(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], is_safe: bool
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)

    assert is_safe is sqlite.is_safe_to_share()


def test_a_held_lock_is_busy_and_any_other_error_is_the_stores(file: FilePath) -> None:
    with (
        contextlib.closing(sqlite3.connect(file, isolation_level=None)) as holder,
        contextlib.closing(sqlite3.connect(file, timeout=0)) as other,
    ):
        holder.execute("BEGIN EXCLUSIVE")

        with pytest.raises(Busy, match="cannot look"), sqlite.translated("look"):
            other.execute("CREATE TABLE t (a)")
        holder.execute("ROLLBACK")
        with (
            pytest.raises(StoreError, match="cannot look: no such column") as caught,
            sqlite.translated("look"),
        ):
            other.execute("SELECT missing")

    assert not isinstance(caught.value, Busy)


def driver_of(engine: Engine) -> sqlite3.Connection:
    """The one connection that writes."""
    driver = engine.raw_connection().driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def fill(driver: sqlite3.Connection) -> None:
    """Make a table large and empty again."""
    driver.execute("BEGIN")
    driver.execute("CREATE TABLE t (a)")
    driver.executemany("INSERT INTO t VALUES (?)", [("x" * 3_000,)] * 300)
    driver.execute("DELETE FROM t")
    driver.execute("COMMIT")


def test_a_new_file_gives_free_pages_back_piece_by_piece(url: URL, file: FilePath, keep: Keep) -> None:
    driver = driver_of(keep(sqlite.writing_engine(url, synchronous="NORMAL")))
    fill(driver)
    free = sqlite.free_bytes(driver)
    piece = sqlite.give_back(driver, max_bytes=100_000)
    rest = sqlite.give_back(driver, max_bytes=10_000_000)
    assert sqlite.empty_log(driver)

    assert 90_000 < piece <= 100_000
    assert (free, sqlite.free_bytes(driver)) == (piece + rest, 0)
    assert file.stat().st_size < 100_000


def test_an_older_file_gives_nothing_back_until_it_was_rewritten(
    url: URL, file: FilePath, keep: Keep
) -> None:
    with contextlib.closing(sqlite3.connect(file)) as older, older:
        older.execute("CREATE TABLE passing (a)")
    driver = driver_of(keep(sqlite.writing_engine(url, synchronous="NORMAL")))
    fill(driver)
    before = sqlite.give_back(driver, max_bytes=100_000)
    rewritten = sqlite.rewrite(driver)
    driver.execute("DROP TABLE t")
    fill(driver)
    after = sqlite.give_back(driver, max_bytes=100_000)

    assert (before, sqlite.gives_back(driver)) == (0, True)
    assert rewritten > 500_000
    assert after > 90_000
