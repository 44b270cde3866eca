"""How SQLite is opened: files, memory, engines of the application's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import NullPool, QueuePool, SingletonThreadPool, StaticPool

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.sql import SqlStorage
from tests.eliza_state.storage.sql.support import HASTY_MS, OpenStorage, held, sqlite_of

ANY_THREAD = {"check_same_thread": False}


@pytest.fixture
def engine(file_url: str) -> Iterator[Engine]:
    """An engine of the application's, which disposes of it."""
    with disposed(create_engine(file_url)) as engine:
        yield engine


@contextlib.contextmanager
def disposed(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


def pragmas(connection: Any) -> dict[str, Any]:
    names = ("synchronous", "query_only", "busy_timeout", "journal_mode")
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


# Files


async def test_the_writer_is_as_durable_as_was_asked_for(open_storage: OpenStorage, file_url: str) -> None:
    full, normal = await open_storage(file_url), await open_storage(file_url, synchronous="NORMAL")
    found = [pragmas(sqlite_of(storage)._writer) for storage in (full, normal)]

    assert [("wal", 2), ("wal", 1)] == [(each["journal_mode"], each["synchronous"]) for each in found]


def test_a_file_is_the_same_after_a_change_of_folder(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("elsewhere")
    storage = SqlStorage[Any]("sqlite:///state.db")
    os.chdir("elsewhere")
    sqlite_of(storage).maintain()
    asyncio.run(storage.close())

    assert ["elsewhere"] == [entry for entry in os.listdir(tmp_path) if not entry.startswith("state.db")]
    assert [] == os.listdir(".")


def test_a_missing_folder_is_told(tmp_path: FilePath) -> None:
    with pytest.raises(StoreError, match=r"no folder '.*/missing' .* create it first"):
        SqlStorage(f"sqlite:///{tmp_path}/missing/state.db")


async def test_a_file_that_is_locked_for_too_long_is_busy(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    other = held(file)

    with pytest.raises(Busy, match=r"cannot open the database.*given up after 0\.3 s"):
        await open_storage(file_url, timeout_ms=HASTY_MS)
    other.close()
    storage = await open_storage(file_url)
    await storage.set("key", 1)


# Only to be read


async def test_what_is_read_only_reads_and_refuses_the_rest(open_storage: OpenStorage, url: str) -> None:
    writer = await open_storage(url)
    await writer.set("key", 1, ttl_ms=1_000_000)
    reader = await open_storage(url, read_only=True)

    assert (1, ["key"]) == (await reader.get("key"), [key async for key in reader.keys()])
    for writing in (
        reader.set("key", 2),
        reader.delete("key"),
        reader.touch("key"),
        reader.clear(),
        reader.sweep(),
    ):
        with pytest.raises(StoreError, match="opened to be read only"):
            await writing
    assert 1 == await writer.get("key")


def test_what_is_read_only_creates_nothing(file_url: str, file: FilePath) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        SqlStorage(file_url, read_only=True)
    assert not file.exists()
    sqlite3.connect(file).close()

    with pytest.raises(StoreError, match="no table 'eliza_state_kv' to be read"):
        SqlStorage(file_url, read_only=True)
    assert 0 == file.stat().st_size


@pytest.mark.parametrize("place", ["", "/:memory:", "/file:state?mode=memory&uri=true"])
def test_only_a_path_is_read_only(place: str) -> None:
    with pytest.raises(StoreError, match="named by its path"):
        SqlStorage(f"sqlite://{place}", read_only=True)


# Memory


@pytest.mark.parametrize("place", ["", "/:memory:", "/file:state?mode=memory&cache=shared&uri=true"])
async def test_a_database_in_memory_is_gone_with_the_storage(open_storage: OpenStorage, place: str) -> None:
    storage = await open_storage(f"sqlite://{place}")
    await storage.set_many({"a": 1, "b": 2})
    await storage.update("a", lambda value: value + 1)

    assert not storage.backend.is_durable
    assert {"a": 2, "b": 2} == dict([pair async for pair in storage.entries()])
    await storage.close()
    again = await open_storage(f"sqlite://{place}")
    assert [] == [key async for key in again.keys()]


async def test_a_connection_in_memory_may_be_shared_with_the_application(open_storage: OpenStorage) -> None:
    with disposed(create_engine("sqlite://", poolclass=StaticPool, connect_args=ANY_THREAD)) as engine:
        storage = await open_storage(engine)
        await storage.set("key", 1)
        await storage.close()
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT name FROM eliza_state_kv")).all()

        assert [("key",)] == rows


async def test_a_transaction_of_the_application_s_is_waited_out(open_storage: OpenStorage) -> None:
    with disposed(create_engine("sqlite://", poolclass=StaticPool, connect_args=ANY_THREAD)) as engine:
        storage = await open_storage(engine, timeout_ms=HASTY_MS)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE theirs (n)"))
            connection.execute(text("INSERT INTO theirs VALUES (1)"))
            with pytest.raises(Busy, match="in a transaction of somebody else's"):
                await storage.set("key", 1)
        await storage.set("key", 2)
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT n FROM theirs")).all()

        assert ([(1,)], 2) == (rows, await storage.get("key"))
        await storage.close()


def test_an_engine_with_a_database_for_each_thread_is_refused() -> None:
    with (
        disposed(create_engine("sqlite://")) as engine,
        pytest.raises(StoreError, match="poolclass=StaticPool"),
    ):
        SqlStorage(engine)


# Engines of the application's


@pytest.mark.parametrize("options", [{}, {"pool_size": 1, "max_overflow": 0}, {"poolclass": NullPool}])
async def test_the_application_goes_on_with_its_engine(
    open_storage: OpenStorage, file_url: str, options: dict[str, Any]
) -> None:
    with disposed(create_engine(file_url, **options)) as engine:
        storage = await open_storage(engine)
        await storage.set("key", 1)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE theirs (n)"))
        await storage.set("key", 2)
        await storage.close()
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO theirs VALUES (1)"))
            rows = connection.execute(text("SELECT name FROM eliza_state_kv")).all()

        assert [("key",)] == rows
        assert not isinstance(engine.pool, QueuePool) or 0 == engine.pool.checkedout()


async def test_connections_of_the_application_s_stay_as_they_were(
    open_storage: OpenStorage, engine: Engine
) -> None:
    heard: list[str] = []
    event.listen(engine, "begin", lambda _connection: heard.append("begin"))
    with engine.connect() as first, engine.connect() as second:
        before = [set_up(connection) for connection in (first, second)]
    storage = await open_storage(engine, synchronous="NORMAL")
    await storage.set("key", 1)
    await storage.get("key")
    heard.clear()
    with engine.connect() as first, engine.connect() as second:
        after = [set_up(connection) for connection in (first, second)]

    assert before == after
    assert ["begin"] * 2 == heard


def set_up(connection: Connection) -> dict[str, Any]:
    driver: Any = connection.connection.driver_connection
    connection.execute(text("SELECT 1"))
    return {**pragmas(driver), "isolation level": driver.isolation_level}


@pytest.mark.parametrize("pool", [StaticPool, SingletonThreadPool])
def test_a_file_with_one_connection_for_all_is_refused(file_url: str, pool: Any) -> None:
    with disposed(create_engine(file_url, poolclass=pool)) as engine:
        with pytest.raises(StoreError, match=f"poolclass={pool.__name__} does not give"):
            SqlStorage(engine)
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE theirs (n)"))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the driver has no such option")
async def test_an_engine_may_have_the_driver_s_newer_transactions(
    open_storage: OpenStorage, file_url: str
) -> None:
    with disposed(create_engine(file_url, connect_args={"autocommit": False})) as engine:
        storage = await open_storage(engine)
        await storage.set("key", 1)

        assert 1 == await storage.get("key")


async def test_a_storage_that_cannot_be_opened_leaves_no_connection_behind(
    open_storage: OpenStorage, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE eliza_state_kv (n)"))
    with pytest.raises(StoreError, match="not one of a storage"):
        await open_storage(engine)

    assert isinstance(engine.pool, QueuePool)
    assert 0 == engine.pool.checkedout()


@pytest.mark.parametrize("clean_up", ["close", "fail"])
async def test_closing_leaves_nothing_but_the_database(
    open_storage: OpenStorage, file_url: str, file: FilePath, clean_up: str
) -> None:
    if clean_up == "close":
        storage = await open_storage(file_url)
        await storage.set("key", 1)
        await storage.close()
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE eliza_state_kv (n)").close()
        connection.close()
        with pytest.raises(StoreError):
            await open_storage(file_url)

    assert [file.name] == os.listdir(file.parent)
