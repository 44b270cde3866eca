"""The database of a state: engines of its own, and those of applications."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import StaticPool

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.state_store.database import StateDatabase


@pytest.fixture
def path(tmp_path: FilePath) -> FilePath:
    return tmp_path / "agent.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, path: FilePath) -> str:
    return f"sqlite:///{path}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture(params=["plain", "autocommit", "own begin"])
def engine(request: pytest.FixtureRequest, url: str) -> Iterator[Engine]:
    """The engines of applications."""
    options = {"isolation_level": "AUTOCOMMIT"} if request.param == "autocommit" else {}
    made = create_engine(url, **options)
    if request.param == "own begin" and made.dialect.name == "sqlite":

        @event.listens_for(made, "connect")
        def connect(driver: Any, _record: Any) -> None:
            driver.isolation_level = None

        @event.listens_for(made, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN")

    yield made
    made.dispose()


@contextlib.contextmanager
def opened(source: Any, *, timeout_ms: int = 100) -> Iterator[StateDatabase]:
    database = StateDatabase(source, timeout_ms=timeout_ms)
    try:
        yield database
    finally:
        database.close()
        database.close()


def numbers(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [number for (number,) in connection.execute(text("SELECT n FROM numbers ORDER BY n"))]


INSERT = text("INSERT INTO numbers VALUES (:n)")


def test_a_transaction_is_whole_whatever_the_engine_does_by_default(engine: Engine) -> None:
    with opened(engine) as database:
        with database.transaction("create") as connection:
            connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
            connection.execute(INSERT, [{"n": 1}])
        with contextlib.suppress(StoreError), database.transaction("write") as connection:
            connection.execute(INSERT, [{"n": 2}])
            connection.execute(INSERT, [{"n": 1}])
            raise AssertionError("two rows have one key")

    assert [1] == numbers(engine)


def test_an_engine_is_as_it_was(engine: Engine) -> None:
    with opened(engine) as database, database.transaction("create") as connection:
        connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    with contextlib.suppress(ZeroDivisionError), engine.begin() as connection:
        connection.execute(INSERT, [{"n": 1}])
        raise ZeroDivisionError

    is_autocommit = (
        "AUTOCOMMIT" in str(engine.get_execution_options()) or engine.dialect._on_connect_isolation_level
    )
    assert ([1] if is_autocommit else []) == numbers(engine)


def test_a_transaction_of_its_own_is_whole(url: str) -> None:
    with opened(url) as database:
        with database.transaction("create") as connection:
            connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
        with contextlib.suppress(ZeroDivisionError), database.transaction("write") as connection:
            connection.execute(INSERT, [{"n": 1}])
            raise ZeroDivisionError
    engine = create_engine(url)

    assert [] == numbers(engine)
    engine.dispose()


def test_a_lock_that_somebody_holds_is_busy(path: FilePath) -> None:
    with opened(f"sqlite:///{path}") as database:
        with database.transaction("create") as connection:
            connection.execute(text("CREATE TABLE numbers (n)"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy), database.transaction("write"):
            pass
        other.close()


def test_the_log_of_sqlite_does_not_grow_for_ever(path: FilePath) -> None:
    with opened(f"sqlite:///{path}") as database:
        with database.transaction("create") as connection:
            connection.execute(text("CREATE TABLE big (n)"))
        sizes = []
        for _ in range(30):
            with database.transaction("write") as connection:
                connection.execute(text("DELETE FROM big"))
                connection.execute(text("INSERT INTO big VALUES (:n)"), {"n": "x" * 1_000_000})
            database.wrote(1_000_000)
            sizes.append(os.path.getsize(f"{path}-wal"))

    assert max(sizes) < 10_000_000
    assert not os.path.exists(f"{path}-wal")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nonsense", "named by a URL"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file:x?mode=memory&cache=shared&uri=true", "in memory"),
        ("sqlite:////nowhere/agent.db", "no folder '/nowhere'"),
        ("mssql+pyodbc://server/agent", "expected SQLite, PostgreSQL, MySQL or MariaDB, got 'mssql'"),
        ("postgresql+unheard://server/agent", "no driver 'postgresql.unheard'"),
        ("sqlite+aiosqlite:///agent.db", "driver"),
    ],
)
def test_what_cannot_be_used_is_told(source: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        StateDatabase(source, timeout_ms=100)


def test_a_shared_connection_is_refused(path: FilePath) -> None:
    for url in ("sqlite://", f"sqlite:///{path}"):
        engine = create_engine(url, poolclass=StaticPool)
        with pytest.raises(StoreError, match="a connection of its own"):
            StateDatabase(engine, timeout_ms=100)
        engine.dispose()

    assert not path.exists()


def test_a_password_is_not_shown(url: str) -> None:
    source = "postgresql+psycopg://ada:sw0rdfish@127.0.0.1:1/agent"
    with opened(source) as database, pytest.raises(StoreError) as caught, database.transaction("write"):
        pass

    assert "cannot write" in str(caught.value)
    assert "sw0rdfish" not in f"{caught.value} {caught.value.__cause__}"
