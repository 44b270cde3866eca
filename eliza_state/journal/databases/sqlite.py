"""A SQL journal's database in a SQLite file.

What an append takes goes straight to the driver, below the connection that SQLAlchemy holds: SQLAlchemy's
statements and transactions would nearly double what it costs beside the disk.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine

from eliza_state import sqlite
from eliza_state.errors import StoreError
from eliza_state.journal.databases.database import ROW, Below, Database, Found, Row, Taken

# SQLite's own default. A longer log is no better: until the first checkpoint each commit makes its file grow.
_CHECKPOINT_BYTES: Final = 4_000_000
# What an append adds to the log beside the payloads: whole pages of the table and of each index.
_COMMIT_BYTES: Final = 16_000
_ROW_BYTES: Final = 1_300

# With `max`, SQLite takes the other column from the same row; where there is none, all of them are null.
_END: Final = (
    "SELECT max(position), recorded_at_us, (SELECT value FROM meta WHERE name = 'archive') FROM record"
)
_REACHED: Final = "SELECT path, count(*) FROM record WHERE position > ? GROUP BY path"
_NEWER: Final = f"SELECT {ROW} FROM record WHERE position > ? AND position < ? ORDER BY position"  # noqa: S608  # constants only
_INSERT_RECORD: Final = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_BELOW: Final = "INSERT INTO below VALUES (?, ?)"


class SqliteDatabase(Database):
    """A SQLite file; see `SqlJournal` for the options."""

    is_local = True

    def __init__(
        self, url: URL, *, read_only: bool, synchronous: sqlite.Synchronous, busy_timeout_ms: int
    ) -> None:
        super().__init__()
        url = url.set(database=os.path.abspath(url.database or ""))
        self._reading: Engine | None = sqlite.reading_engine(
            url, busy_timeout_ms=busy_timeout_ms, read_only=read_only, at_one_time=False
        )
        self._writing = None if read_only else sqlite.writing_engine(url, synchronous=synchronous)
        self._connection: Connection | None = None
        self._driver: Any = None
        self._lock = threading.Lock()
        self._unchecked_bytes = 0

    def _reader(self, purpose: str) -> Connection:
        if self._reading is None:
            raise StoreError(f"cannot {purpose}: the journal is closed")
        return self._reading.connect()

    def _read_errors(self, purpose: str) -> AbstractContextManager[None]:
        return sqlite.translated(purpose)

    @contextlib.contextmanager
    def writing(self, purpose: str) -> Generator[Connection]:
        with sqlite.translated(purpose), self._lock:
            connection = self._connected(purpose)
            # Straight to the driver: SQLAlchemy begins one only where it is asked something meanwhile, which
            # goes on in this one.
            driver = self._driver
            driver.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                driver.commit()
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # who is rolled back for is told what went wrong
                    driver.rollback()
                raise
            finally:
                connection.rollback()

    def _connected(self, purpose: str) -> Connection:
        if self._writing is None:
            raise StoreError(f"cannot {purpose}: the journal is closed or was opened to be read only")
        if self._connection is None:
            self._connection = self._writing.connect()
            self._driver = _driver(self._connection)
        return self._connection

    @contextlib.contextmanager
    def appending(self, purpose: str, *, after: int | None = None) -> Generator[tuple[Connection, Found]]:
        with self.writing(purpose) as connection:
            found = self._driver.execute(_END).fetchone()
            head, last_us, generation = (int(value or 0) for value in found)
            is_behind = after is not None and after < head
            reached = dict(self._driver.execute(_REACHED, (after,))) if is_behind else {}
            yield connection, Found(head, last_us, reached, generation)

    def store(self, connection: Connection, rows: Sequence[Row], below: Below) -> None:
        try:
            self._driver.executemany(_INSERT_RECORD, rows)
        except sqlite3.IntegrityError as error:
            raise Taken(f"cannot append: {error}") from error
        if below:
            self._driver.executemany(_INSERT_BELOW, below)
        self._unchecked_bytes += _COMMIT_BYTES + sum(len(row[5]) + _ROW_BYTES for row in rows)

    def store_last(
        self, connection: Connection, rows: Sequence[Row], below: Below, *, after: int
    ) -> Sequence[Row]:
        self.store(connection, rows, below)
        first = rows[0][0]
        if first == after + 1:
            return ()
        newer: list[Row] = self._driver.execute(_NEWER, (after, first)).fetchall()
        return newer

    # The files

    def wrote(self, size_bytes: int) -> None:
        self._unchecked_bytes += size_bytes

    def maintain(self) -> None:
        with sqlite.translated("checkpoint"), self._lock:
            self._unchecked_bytes = 0
            if self._connection is not None:
                sqlite.checkpoint(self._connection)

    @property
    def wants_maintenance(self) -> bool:
        return self._unchecked_bytes > _CHECKPOINT_BYTES

    def expunge(self) -> bool:
        with sqlite.translated("empty the log"), self._lock:
            return sqlite.empty_log(_driver(self._connected("empty the log")))

    def free_bytes(self) -> int:
        with self.reading("read") as connection:
            return sqlite.free_bytes(_driver(connection))

    def give_back(self, *, max_bytes: int) -> int:
        return self._shrunk("give back what is free", partial(sqlite.give_back, max_bytes=max_bytes))

    def rewrite(self) -> int:
        return self._shrunk("rewrite the database", sqlite.rewrite)

    def _shrunk(self, purpose: str, shrink: Callable[[Any], int]) -> int:
        with sqlite.translated(purpose), self._lock:
            given = shrink(_driver(self._connected(purpose)))
        # What moves into the place of what went is in the log first.
        self._unchecked_bytes += given
        return given

    def close(self) -> None:
        # The readers go first: the writer, as the last connection, then owns the final checkpoint.
        if self._reading is not None:
            self._reading.dispose()
            self._reading = None
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = self._driver = None
            if self._writing is not None:
                self._writing.dispose()
                self._writing = None


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
