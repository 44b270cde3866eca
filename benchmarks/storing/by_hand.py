"""What one would write by hand to store sessions: a dict in front, and one thread that writes what waits."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec
import psycopg

Rows: TypeAlias = list[tuple[str, bytes, int]]
"""Keys, values and when they were written, in milliseconds since 1970; each key once."""

CREATE: Final = (
    "CREATE TABLE session (key TEXT PRIMARY KEY, value {bytes} NOT NULL, updated_at_ms BIGINT NOT NULL)"
)
UPSERT: Final = (
    "INSERT INTO session (key, value, updated_at_ms) {rows} ON CONFLICT (key) DO UPDATE"
    " SET value = excluded.value, updated_at_ms = excluded.updated_at_ms"
)


class BatchingWriter:
    """Keep values in a dict and in a table; what waits while a thread writes is its next transaction.

    `write` stores rows in one transaction and returns when they are durable.
    """

    def __init__(self, write: Callable[[Rows], None]) -> None:
        self._write = write
        self._encode = msgspec.json.Encoder().encode
        self._memory: dict[str, Any] = {}
        self._jobs: queue.SimpleQueue[tuple[str, bytes, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    async def set(self, key: str, value: Any) -> None:
        """Store a value and return when it is durable."""
        stored: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put((key, self._encode(value), stored))
        await stored
        self._memory[key] = value

    async def aclose(self) -> None:
        """End the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch = [job]
            while not self._jobs.empty() and (further := self._jobs.get()) is not None:
                batch.append(further)
            now_ms = time.time_ns() // 1_000_000
            # An upsert must not meet a key twice, and rows in order need fewer pages.
            values = {key: value for key, value, _ in batch}
            self._write([(key, values[key], now_ms) for key in sorted(values)])
            self._loop.call_soon_threadsafe(_wake, [stored for _, _, stored in batch])


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for stored in waiting:
        stored.set_result(None)


def sqlite_upserts(path: str) -> tuple[sqlite3.Connection, Callable[[Rows], None]]:
    """Open a database that a power cut does not harm, and return it with what writes to it."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(CREATE.format(bytes="BLOB"))
    upsert = UPSERT.format(rows="VALUES (?, ?, ?)")

    def write(rows: Rows) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(upsert, rows)
        connection.execute("COMMIT")

    return connection, write


def postgres_upserts(url: str) -> tuple[psycopg.Connection, Callable[[Rows], None]]:
    """Connect to a database and return the connection with what writes there, in one round trip a batch."""
    connection = psycopg.connect(url, autocommit=True)
    connection.execute(CREATE.format(bytes="BYTEA"))
    upsert = UPSERT.format(rows="SELECT * FROM unnest(%s::text[], %s::bytea[], %s::bigint[])")

    def write(rows: Rows) -> None:
        connection.execute(upsert, list(map(list, zip(*rows, strict=True))))

    return connection, write
