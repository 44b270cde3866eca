"""What one would write by hand: a table of messages, each with a commit of its own, or sharing one."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import psycopg

from benchmarks.appending.sides import Append, Side, Store, fields_of
from benchmarks.grouping import grouping
from benchmarks.peers import peer

Rows: TypeAlias = Sequence[tuple[bytes, str, int, bytes]]
"""The id of a row, its conversation, its number there, and the message."""

# What anybody needs who wants to find a message again and refuse it the second time.
_CREATE: Final = (
    "CREATE TABLE message (position {serial}, id {bytes} NOT NULL, talk TEXT NOT NULL,"
    " number BIGINT NOT NULL, payload {bytes} NOT NULL)"
)
_INDEXES: Final = (
    "CREATE UNIQUE INDEX message_number ON message (talk, number)",
    "CREATE UNIQUE INDEX message_id ON message (talk, id)",
)
_INSERT: Final = "INSERT INTO message (id, talk, number, payload)"
_encode: Final = msgspec.json.Encoder().encode


def _row(talk: int, number: int) -> tuple[bytes, str, int, bytes]:
    return uuid.uuid4().bytes, f"c{talk}", number, _encode(fields_of(number))


def _history(store: Store) -> list[tuple[bytes, str, int, bytes]]:
    return [_row(talk, number) for talk in range(store.talks) for number in range(-store.history, 0)]


@contextlib.contextmanager
def _sqlite(store: Store) -> Any:
    path = store.folder / "by-hand.db"
    with contextlib.closing(
        sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(_CREATE.format(serial="INTEGER PRIMARY KEY", bytes="BLOB"))
        for index in _INDEXES:
            connection.execute(index)

        def write(rows: Rows) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"{_INSERT} VALUES (?, ?, ?, ?)", rows)
            connection.execute("COMMIT")

        write(_history(store))
        yield write


@contextlib.asynccontextmanager
async def sqlite_alone(store: Store) -> AsyncGenerator[Append]:
    """Insert and commit each message in the event loop, which waits meanwhile."""
    with _sqlite(store) as write:

        async def append(talk: int, number: int) -> None:
            write([_row(talk, number)])

        yield append


@contextlib.asynccontextmanager
async def sqlite_grouped(store: Store) -> AsyncGenerator[Append]:
    """Let one thread commit what waits, all of it at once."""
    with _sqlite(store) as write, _grouping(write) as append:
        yield append


@contextlib.asynccontextmanager
async def postgres_alone(store: Store) -> AsyncGenerator[Append]:
    """Insert and commit each message over a pool with a connection for each task."""
    with _postgres(store):
        pass
    pool = peer("psycopg_pool").AsyncConnectionPool(
        store.url.replace("+psycopg", ""),
        min_size=store.tasks,
        max_size=store.tasks,
        kwargs={"autocommit": True},
        open=False,
    )
    async with pool:

        async def append(talk: int, number: int) -> None:
            async with pool.connection() as connection:
                await connection.execute(f"{_INSERT} VALUES (%s, %s, %s, %s)", _row(talk, number))

        yield append


@contextlib.asynccontextmanager
async def postgres_grouped(store: Store) -> AsyncGenerator[Append]:
    """Let one thread commit what waits, all of it at once and in one round trip."""
    with _postgres(store) as write, _grouping(write) as append:
        yield append


@contextlib.contextmanager
def _postgres(store: Store) -> Any:
    with psycopg.connect(store.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(_CREATE.format(serial="BIGSERIAL PRIMARY KEY", bytes="BYTEA"))
        for index in _INDEXES:
            connection.execute(index)
        insert = f"{_INSERT} SELECT * FROM unnest(%s::bytea[], %s::text[], %s::bigint[], %s::bytea[])"

        def write(rows: Rows) -> None:
            connection.execute(insert, list(map(list, zip(*rows, strict=True))))

        write(_history(store))
        yield write


@contextlib.contextmanager
def _grouping(write: Callable[[Rows], None]) -> Generator[Append]:
    def write_rows(messages: list[tuple[int, int]]) -> None:
        write([_row(talk, number) for talk, number in messages])

    with grouping(write_rows) as put:

        async def append(talk: int, number: int) -> None:
            await put((talk, number))

        yield append


_NOTHING_ELSE: Final = "no state, no signal"
SQLITE_ALONE: Final = Side("sqlite3 by hand", sqlite_alone, f"WAL, synchronous=FULL set; {_NOTHING_ELSE}")
SQLITE_GROUPED: Final = Side(
    "sqlite3 by hand, group commit", sqlite_grouped, f"WAL, synchronous=FULL set; {_NOTHING_ELSE}"
)
POSTGRES_ALONE: Final = Side("psycopg by hand", postgres_alone, _NOTHING_ELSE)
POSTGRES_GROUPED: Final = Side("psycopg by hand, group commit", postgres_grouped, _NOTHING_ELSE)
