"""How SQLite is opened: one engine that writes, one that only reads.

SQLite before 3.51.3 can, rarely, corrupt a database in WAL mode when two connections write or checkpoint
at the same instant (https://sqlite.org/wal.html, "The WAL-Reset Bug"). So there is one writing
connection, which owns the checkpoints, and no memory mapping; several processes on one file are warned
about by the manager.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final, Literal

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from eliza_state.errors import StoreError

Synchronous = Literal["FULL", "NORMAL"]
"""`FULL` survives a power cut, `NORMAL` a killed process."""

PAGE_BYTES: Final = 4096
SAFE_TO_SHARE: Final = (3, 51, 3)


def is_safe_to_share() -> bool:
    """Tell whether this SQLite lets several processes write one file without the risk named above."""
    return sqlite3.sqlite_version_info >= SAFE_TO_SHARE


def open_engines(url: URL, *, synchronous: Synchronous, busy_timeout_ms: int) -> tuple[Engine, Engine]:
    """Return the writing and the reading engine of a database file.

    The writer never waits for a lock (its caller retries, off the event loop where that matters) and has
    one connection, which any one thread at a time may use.
    """
    if synchronous not in ("FULL", "NORMAL"):
        raise StoreError(f"synchronous is 'FULL' or 'NORMAL', got {synchronous!r}")
    writing = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    reading = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=4,
        max_overflow=4,
        connect_args={"check_same_thread": False},
    )
    _configure(
        writing,
        begin="BEGIN IMMEDIATE",
        pragmas=("journal_mode=WAL", f"synchronous={synchronous}", "wal_autocheckpoint=0"),
        busy_timeout_ms=0,
    )
    _configure(reading, begin="BEGIN", pragmas=("query_only=ON",), busy_timeout_ms=busy_timeout_ms)
    return writing, reading


def _configure(engine: Engine, *, begin: str, pragmas: tuple[str, ...], busy_timeout_ms: int) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        # The transactions are SQLAlchemy's, begun below; the driver's own begin would defer the write lock.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
        for pragma in (*pragmas, "mmap_size=0"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(begin)
