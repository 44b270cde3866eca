"""The table: its name, its columns, and many who create it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.dialects.postgresql import psycopg, psycopg2

from eliza_state.errors import StoreError
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.sql.schema import (
    COLUMNS,
    MYSQL_KEY_BYTES,
    KeyText,
    check_table_name,
    key_value_table,
)
from tests.eliza_state.storage.sql.support import OpenStorage, connected


@pytest.fixture
def database(url: str) -> Iterator[Connection]:
    """The database as somebody else sees it."""
    connection = connected(url)
    yield connection
    connection.close()


def tables(database: Connection) -> set[str]:
    return set(inspect(database).get_table_names())


# Names


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Upper",
        "1st",
        "a-b",
        "a.b",
        "a b",
        "käfer",
        "a" * 64,
        "name\n",
        "name\0",
        'x"; DROP TABLE students; --',
        "x'); DROP TABLE students; --",
        "`x`",
        "(SELECT 1)",
        None,
        7,
        b"name",
    ],
)
def test_a_name_that_needs_quotes_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="a table's name has up to 63 of a-z, 0-9 and _"):
        check_table_name(name)


@pytest.mark.parametrize("name", ["a", "_", "agents_2", "select", "table", "order", "user", "a" * 63])
async def test_any_other_name_is_a_table(
    open_storage: OpenStorage, url: str, database: Connection, name: str
) -> None:
    storage = await open_storage(url, table=name)
    await storage.set_many({"a": 1, "b": 2})
    await storage.delete("a")
    await storage.update("b", lambda value: value + 1)

    assert {"b": 3} == dict([pair async for pair in storage.entries()])
    assert {name} == tables(database)


async def test_tables_keep_their_keys_apart(open_storage: OpenStorage, url: str) -> None:
    names = ["a" * 63, "a" * 62 + "b", "a" * 54, "a" * 55]
    storages = [await open_storage(url, table=name) for name in names]
    for number, storage in enumerate(storages):
        await storage.set("key", number)

    assert [0, 1, 2, 3] == [await storage.get("key") for storage in storages]


def test_names_of_indexes_differ_and_are_short_enough() -> None:
    names = [index_name("a" * size) for size in (1, 54, 55, 62, 63)] + [index_name("a" * 62 + "b")]

    assert len(names) == len(set(names))
    assert max(map(len, names)) <= 63


def index_name(table: str) -> str:
    (index,) = key_value_table(table, "sqlite").indexes
    return str(index.name)


# Columns


@pytest.mark.parametrize(
    "columns",
    [
        "space TEXT, name TEXT",
        "n",
        "space TEXT NOT NULL, name TEXT NOT NULL, value {blob}, version BIGINT, deadline_ms BIGINT,"
        " ttl_ms BIGINT, updated_at_ms BIGINT, PRIMARY KEY (name, space)",
    ],
    ids=["fewer", "of no type", "another key"],
)
async def test_a_table_of_other_columns_is_refused_and_left_alone(
    open_storage: OpenStorage, url: str, database: Connection, columns: str
) -> None:
    blob = "BYTEA" if database.dialect.name == "postgresql" else "BLOB"
    if columns == "n":
        columns = "n INTEGER" if database.dialect.name == "postgresql" else "n"
    database.execute(text(f"CREATE TABLE eliza_state_kv ({columns.format(blob=blob)})"))

    with pytest.raises(StoreError, match="'eliza_state_kv' is not one of a storage: it has the columns"):
        await open_storage(url)
    assert not inspect(database).get_indexes("eliza_state_kv")


async def test_a_table_of_a_newer_version_is_refused(
    open_storage: OpenStorage, url: str, database: Connection
) -> None:
    storage = await open_storage(url)
    await storage.set("key", 1)
    await storage.close()
    database.execute(text("ALTER TABLE eliza_state_kv ADD COLUMN checksum BIGINT"))

    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"checksum BIGINT .*name another table"):
            await open_storage(url, read_only=read_only)
    assert 1 == database.execute(text("SELECT count(*) FROM eliza_state_kv")).scalar()


async def test_a_view_of_that_name_is_refused(
    open_storage: OpenStorage, url: str, database: Connection
) -> None:
    database.execute(text("CREATE VIEW eliza_state_kv AS SELECT 1 AS n"))

    with pytest.raises(StoreError):
        await open_storage(url)


async def test_an_index_that_is_missing_is_made(
    open_storage: OpenStorage, url: str, database: Connection
) -> None:
    await (await open_storage(url)).close()
    database.execute(text("DROP INDEX eliza_state_kv_deadline"))
    await open_storage(url, read_only=True)

    assert not inspect(database).get_indexes("eliza_state_kv")
    await open_storage(url)
    assert ["eliza_state_kv_deadline"] == [
        index["name"] for index in inspect(database).get_indexes("eliza_state_kv")
    ]


async def test_many_may_create_the_table_at_once(open_storage: OpenStorage, url: str) -> None:
    storages: list[SqlStorage[Any]] = await asyncio.gather(*(open_storage(url) for _ in range(6)))
    await asyncio.gather(*(storage.set(f"{number}", number) for number, storage in enumerate(storages)))

    assert 6 == len([key async for key in storages[0].keys()])


async def test_when_a_key_was_written_is_noted(
    open_storage: OpenStorage, url: str, database: Connection
) -> None:
    at_us = [1_700_000_000_000_000]
    storage = await open_storage(url, clock=lambda: at_us[0])
    await storage.set_many({"a": 1, "b": 1})
    at_us[0] += 5_000_000
    await storage.set("a", 2)
    await storage.touch("b")
    found = database.execute(text("SELECT name, updated_at_ms FROM eliza_state_kv ORDER BY name")).all()

    assert [("a", 1_700_000_005_000), ("b", 1_700_000_000_000)] == [tuple(row) for row in found]


# Text


def test_text_is_compared_by_its_bytes_in_every_dialect() -> None:
    dialects = [sqlite.dialect(), psycopg.dialect(), psycopg2.dialect(), mysql.dialect()]

    assert ["TEXT", 'TEXT COLLATE "C"', 'TEXT COLLATE "C"', f"VARBINARY({MYSQL_KEY_BYTES})"] == [
        KeyText().compile(dialect) for dialect in dialects
    ]


def test_mysql_gets_bytes_and_no_key_that_it_would_cut() -> None:
    dialect = mysql.dialect()
    bound, read = KeyText().bind_processor(dialect), KeyText().result_processor(dialect, None)
    assert bound is not None
    assert read is not None
    key = "ä😀" + "x" * (MYSQL_KEY_BYTES - 6)

    assert key.encode() == bound(key)
    assert key == read(key.encode())
    assert (None, None) == (bound(None), read(None))
    with pytest.raises(ValueError, match="MySQL takes at most 1536 bytes of a key"):
        bound(key + "x")


def test_a_table_has_the_columns_of_a_row() -> None:
    assert list(COLUMNS) == [column.name for column in key_value_table("kv", "sqlite").columns]
