"""The journal in a SQL database, through SQLAlchemy Core.

`append` runs its three statements on a cursor of the connection that SQLAlchemy holds, in a transaction
of SQLAlchemy's: as Core statements they nearly double what an append costs beside the disk. Other hot ones
go through `exec_driver_sql`; the rest is plain Core.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import struct
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine

from eliza_state import sqlite
from eliza_state.change import Record
from eliza_state.clock import now_us
from eliza_state.errors import Busy, StoreError
from eliza_state.event import ERASURE, RESTORE
from eliza_state.ids import UuidFactory
from eliza_state.journal import erasing, restoring, schema
from eliza_state.journal.contract import (
    Appended,
    Conflict,
    Draft,
    Erasure,
    Journal,
    Restore,
    ScopeFacts,
    Wiped,
    last_event_of,
    restore_of,
)
from eliza_state.journal.interning import Interning
from eliza_state.path import Path

_PAGE_ROWS: Final = 1_000
# SQLite's own default. A longer log is no better: until the first checkpoint each commit makes its file grow.
_CHECKPOINT_BYTES: Final = 4_000_000
# What an append adds to the log beside the payloads: whole pages of the table and of each index.
_COMMIT_BYTES: Final = 16_000
_ROW_BYTES: Final = 1_300
_DAMAGED: Final = ""

_ROW = (
    "record.position, record.key, record.path, record.version, record.event_type, record.payload,"
    " record.recorded_at_us, record.writer, record.cause, record.checksum"
)
_LAST = "SELECT position, recorded_at_us FROM record ORDER BY position DESC LIMIT 1"
_INSERT_RECORD = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_BELOW = "INSERT INTO below VALUES (?, ?)"
# Gaps and leaps in the versions come from damage; no version is higher than its record's position.
_NEWEST_VERSION = (
    "SELECT version FROM record WHERE path = ? AND version <= position ORDER BY version DESC LIMIT 1"
)
_FROM_BELOW = "FROM below JOIN record ON record.position = below.position WHERE below.scope = ?"
_FIND_KEY = f"SELECT {_ROW} FROM record WHERE path = ? AND key = ?"  # noqa: S608  # constants only
_LAST_OWN = f"SELECT {_ROW} FROM record WHERE path = ? AND version <= ? ORDER BY version DESC LIMIT 1"  # noqa: S608
_AT_POSITION = f"SELECT {_ROW} FROM record WHERE position = ?"  # noqa: S608
_TIME_AT = "SELECT recorded_at_us FROM record WHERE position <= ? ORDER BY position DESC LIMIT 1"
_POSITION_OF = "SELECT position FROM record WHERE path = ? AND version >= ? ORDER BY version LIMIT 1"


class SqlJournal(Journal):
    """A journal in a SQLite file.

    A `read_only` one writes nothing, not even its tables. `synchronous` is `FULL` (survives a power cut) or
    `NORMAL` (survives a killed process). `clock` gives microseconds since 1970; `recorded_at` follows it but
    never decreases. Opening creates the tables or migrates them forward. Raises `StoreError` for another
    database, a newer schema, or a lock that another process holds for longer than `busy_timeout_ms`.
    """

    def __init__(
        self,
        url: URL,
        *,
        writer: str,
        read_only: bool = False,
        synchronous: sqlite.Synchronous = "FULL",
        busy_timeout_ms: int = 5_000,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.writer = writer
        self.clock = clock
        self._interning = Interning()
        self._lock = threading.Lock()
        self._unchecked_bytes = 0
        self._next_id = UuidFactory()
        url = url.set(database=os.path.abspath(url.database or ""))
        self._reading: Engine | None = sqlite.reading_engine(
            url, busy_timeout_ms=busy_timeout_ms, read_only=read_only
        )
        self._connection: Connection | None = None
        try:
            if read_only:
                with self._read("open") as connection:
                    self.epoch = schema.check(connection)
            else:
                self._open(sqlite.writing_engine(url, synchronous=synchronous), busy_timeout_ms)
        except BaseException:
            self.close()
            raise

    def _open(self, writing: Engine, busy_timeout_ms: int) -> None:
        with self._read("open") as connection:
            schema.check_owner(connection)
        deadline = time.monotonic() + busy_timeout_ms / 1000
        while True:
            try:
                with sqlite.translated("open"):
                    self._connection = self._connection or writing.connect()
                    with self._connection.begin():
                        self.epoch = schema.prepare(self._connection)
                return
            except Busy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    # Writing

    def append(self, drafts: Sequence[Draft], *, after: int, guarded: Path | None = None) -> Appended:
        with self._transaction("append") as connection, contextlib.closing(_cursor(connection)) as cursor:
            cursor.execute(_LAST)
            head, last_us = cursor.fetchone() or (0, 0)
            missed = self._missed(connection, drafts, after=after, guarded=guarded) if head > after else ()
            rows, index = self._rows(connection, drafts, first=head + 1, last_us=last_us)
            cursor.executemany(_INSERT_RECORD, rows)
            if index:
                cursor.executemany(_INSERT_BELOW, index)
            if any(draft.event == RESTORE for draft in drafts):
                restoring.note(cursor, drafts, rows)
        self._unchecked_bytes += _COMMIT_BYTES + sum(len(row[5]) + _ROW_BYTES for row in rows)
        return Appended(head + 1, rows[-1][6], missed)

    def erase(self, positions: Sequence[int], *, until: int) -> Wiped:
        with self._transaction("erase") as connection, contextlib.closing(_cursor(connection)) as cursor:
            lost = self._with_content(connection, positions)
            erasing.blank(cursor, lost)
            drafts = [
                Draft(self._next_id(), path, self._newest_version(connection, path) + 1, ERASURE, 1, told)
                for path, told in erasing.accounts(lost, until=until)
            ]
            cursor.execute(_LAST)
            head, last_us = cursor.fetchone() or (0, 0)
            rows, index = self._rows(connection, drafts, first=head + 1, last_us=last_us)
            cursor.executemany(_INSERT_RECORD, rows)
            cursor.executemany(_INSERT_BELOW, index)
            erasing.note(cursor, [(row[1], row[0]) for row in rows], index)
        size_bytes = sum(len(record.content) for record in lost)
        self._unchecked_bytes += size_bytes + (len(lost) + len(rows)) * _ROW_BYTES
        return Wiped(len(lost), size_bytes, [draft.path for draft in drafts])

    def _with_content(self, connection: Connection, positions: Sequence[int]) -> list[Record]:
        """Return those of the records that have content to lose."""
        query = f"SELECT {_ROW} FROM record WHERE position = ? AND length(payload) > 0"  # noqa: S608
        rows = (connection.exec_driver_sql(query, (position,)).one_or_none() for position in positions)
        return [self._record(connection, row) for row in rows if row is not None]

    def _newest_version(self, connection: Connection, path: Path) -> int:
        path_id, _ = self._interning.path(connection, path)
        return int(connection.exec_driver_sql(_NEWEST_VERSION, (path_id,)).scalar() or 0)

    def erased_at(self, path: Path) -> int:
        with self._read() as connection:
            return erasing.last(connection, self._interning.find_path(connection, path))

    def restored_at(self, path: Path, *, until: int) -> Restore | None:
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            while True:
                position = connection.exec_driver_sql(restoring.LAST, (path_id, until)).scalar()
                if position is None:
                    return None
                row = connection.exec_driver_sql(_AT_POSITION, (position,)).one()
                restored = restore_of(self._record(connection, row), partial(self._found, connection))
                if restored is not None:
                    return restored
                until = position - 1

    def restores(self, *, after: int, until: int) -> list[Record]:
        with self._read() as connection:
            positions = connection.exec_driver_sql(restoring.ALL, (after, until)).scalars().all()
            rows = (connection.exec_driver_sql(_AT_POSITION, (position,)).one() for position in positions)
            return [self._record(connection, row) for row in rows]

    def unsettled_erasures(self) -> list[Erasure]:
        with self._read() as connection:
            found = erasing.unsettled(connection)
            return [Erasure(self._interning.path_of(connection, scope), last) for scope, last in found]

    def settle_erasures(self, erasures: Sequence[Erasure]) -> None:
        with self._transaction("erase") as connection:
            for path, position in erasures:
                erasing.settle(connection, self._interning.find_path(connection, path), position)

    def expunge(self) -> bool:
        with sqlite.translated("empty the log"), self._lock:
            if self._connection is None:
                raise StoreError("cannot empty the log: the journal is closed or was opened to be read only")
            driver: Any = self._connection.connection.driver_connection
            return sqlite.empty_log(driver)

    def _missed(
        self, connection: Connection, drafts: Sequence[Draft], *, after: int, guarded: Path | None
    ) -> list[Record]:
        query = f"SELECT {_ROW} FROM record WHERE position > ? ORDER BY position"  # noqa: S608
        rows = connection.exec_driver_sql(query, (after,)).all()
        missed = [self._record(connection, row) for row in rows]
        reached = {record.path for record in missed}
        if not reached.isdisjoint(draft.path for draft in drafts):
            raise Conflict(missed)
        if guarded is not None and any(path == guarded or path.is_below(guarded) for path in reached):
            raise Conflict(missed)
        return missed

    def _rows(
        self, connection: Connection, drafts: Sequence[Draft], *, first: int, last_us: int
    ) -> tuple[list[tuple[Any, ...]], list[tuple[int, int]]]:
        interning = self._interning
        writer = interning.writer(connection, self.writer)
        rows: list[tuple[Any, ...]] = []
        index: list[tuple[int, int]] = []
        clock_us = self.clock()
        for position, draft in enumerate(drafts, first):
            key, path, version, event, schema_version, payload, cause, at_us = draft
            last_us = max(at_us or clock_us, last_us)
            path_id, above = interning.path(connection, path)
            kind = interning.event_type(connection, event, schema_version)
            checksum = Record(
                position, key, path, version, event, schema_version, payload, last_us, "", cause
            ).checksum
            rows.append((position, path_id, version, kind, key, payload, last_us, writer, cause, checksum))
            index += [(scope, position) for scope in above]
        return rows, index

    def maintain(self) -> None:
        with sqlite.translated("checkpoint"), self._lock:
            self._unchecked_bytes = 0
            if self._connection is not None:
                sqlite.checkpoint(self._connection)

    @property
    def wants_maintenance(self) -> bool:
        return self._unchecked_bytes > _CHECKPOINT_BYTES

    # Reading

    def head(self) -> int:
        with self._read() as connection:
            return int(connection.exec_driver_sql("SELECT max(position) FROM record").scalar() or 0)

    def read(
        self,
        path: Path,
        *,
        after: int = 0,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Record]:
        last = self.head() if until is None else until
        rows = _PAGE_ROWS if limit is None else min(max(limit, 1), _PAGE_ROWS)
        pages = partial(self._pages, newest_first=newest_first, rows=rows)
        if not path.steps:
            return itertools.islice(pages("position", "FROM record WHERE 1 = ?", (1, after, last)), limit)
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            if path_id is None:
                return iter(())
            first_version = self._version_at(connection, path_id, after)
            last_version = self._version_at(connection, path_id, last)
        own = pages("version", "FROM record WHERE path = ?", (path_id, first_version, last_version))
        below = pages("below.position", _FROM_BELOW, (path_id, after, last))
        merged = heapq.merge(own, below, key=lambda record: record.position, reverse=newest_first)
        return itertools.islice(merged, limit)

    def _version_at(self, connection: Connection, path_id: int, position: int) -> int:
        """The version of the last own record at or before a position: versions ascend with positions."""

        def position_of(version: int) -> int:
            return int(connection.exec_driver_sql(_POSITION_OF, (path_id, version)).scalar_one())

        newest = connection.exec_driver_sql(_NEWEST_VERSION, (path_id,)).scalar() if position > 0 else None
        if newest is None or position_of(newest) <= position:
            return newest or 0
        return bisect_right(range(1, newest), position, key=position_of)

    def _pages(
        self, column: str, source: str, bounds: tuple[int, int, int], *, newest_first: bool, rows: int
    ) -> Iterator[Record]:
        """Yield an owner's records with `after < column <= last`; a page a query, so that none takes long."""
        query = (
            f"SELECT {column}, {_ROW} {source} AND {column} > ? AND {column} <= ?"  # constants only
            f" ORDER BY {column} {'DESC' if newest_first else 'ASC'} LIMIT {rows}"
        )
        owner, after, last = bounds
        while after < last:
            with self._read() as connection:
                found = connection.exec_driver_sql(query, (owner, after, last)).all()
                records = [self._record(connection, row[1:]) for row in found]
            yield from records
            if len(found) < rows:
                return
            if newest_first:
                last = found[-1][0] - 1
            else:
                after = found[-1][0]

    def _record(self, connection: Connection, row: Sequence[Any]) -> Record:
        position, key, path_id, version, kind, payload, recorded_at_us, writer, cause, checksum = row
        path = self._interning.path_of(connection, path_id)
        event, schema_version = self._interning.event_type_of(connection, kind)
        name = self._interning.writer_of(connection, writer)
        record = Record(
            position, key, path, version, event, schema_version, payload, recorded_at_us, name, cause
        )
        try:
            is_whole = record.checksum == checksum
        except (TypeError, struct.error):  # a damaged column may come back as another type
            is_whole = False
        return record if is_whole else record._replace(event=_DAMAGED)

    def find(self, path: Path, key: bytes) -> Record | None:
        return self.find_all([(path, key)])[0]

    def find_all(self, wanted: Sequence[tuple[Path, bytes]]) -> list[Record | None]:
        # What costs is the connection: a look-up is a few microseconds.
        with self._read() as connection:
            return [self._found(connection, path, key) for path, key in wanted]

    def _found(self, connection: Connection, path: Path, key: bytes) -> Record | None:
        path_id = self._interning.find_path(connection, path)
        row = connection.exec_driver_sql(_FIND_KEY, (path_id, key)).one_or_none()
        return None if row is None else self._record(connection, row)

    def knows(self, path: Path) -> bool:
        if not path.steps:
            return self.head() > 0
        with self._read() as connection:
            return self._interning.find_path(connection, path) is not None

    def facts(self, path: Path, *, until: int) -> ScopeFacts:
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            if path_id is None:
                return ScopeFacts()
            version = self._version_at(connection, path_id, until)
            own = self._last_own(connection, path_id, version)
            below = "position FROM below WHERE scope" if path.steps else "position FROM record WHERE 1"
            query = f"SELECT {below} = ? AND position <= ? ORDER BY position DESC LIMIT 1"
            owner = path_id if path.steps else 1
            last = connection.exec_driver_sql(query, (owner, until)).scalar() or 0
            last = max(last, own.position if own is not None else 0)
            at_us = connection.exec_driver_sql(_TIME_AT, (last,)).scalar() or 0
            newest_first = self._own_newest_first(connection, path_id, own)
            last_event = last_event_of(newest_first, partial(self._found, connection))
        return ScopeFacts(version, last, at_us, last_event)

    def _own_newest_first(
        self, connection: Connection, path_id: int, record: Record | None
    ) -> Iterator[Record]:
        """Yield a record addressed to a path, and those addressed to it before."""
        while record is not None:
            yield record
            record = self._last_own(connection, path_id, record.version - 1)

    def _last_own(self, connection: Connection, path_id: int, version: int) -> Record | None:
        """Return the last record addressed to a path up to a version."""
        row = connection.exec_driver_sql(_LAST_OWN, (path_id, version)).one_or_none()
        return None if row is None else self._record(connection, row)

    def children(self, path: Path) -> list[Path]:
        with self._read() as connection:
            return self._interning.children(connection, path)

    def position_at(self, at_us: int) -> int:
        with self._read() as connection:
            head = int(connection.exec_driver_sql("SELECT max(position) FROM record").scalar() or 0)

            def time_of(position: int) -> int:
                return int(connection.exec_driver_sql(_TIME_AT, (position,)).scalar() or 0)

            return bisect_right(range(1, head + 1), at_us, key=time_of)

    # Connections

    @contextlib.contextmanager
    def _transaction(self, purpose: str) -> Generator[Connection]:
        with sqlite.translated(purpose), self._lock:
            if self._connection is None:
                raise StoreError(f"cannot {purpose}: the journal is closed or was opened to be read only")
            try:
                with self._connection.begin():
                    yield self._connection
            except BaseException:
                self._interning.rollback()
                raise
            self._interning.commit()

    @contextlib.contextmanager
    def _read(self, purpose: str = "read") -> Generator[Connection]:
        if self._reading is None:
            raise StoreError(f"cannot {purpose}: the journal is closed")
        with sqlite.translated(purpose), self._reading.connect() as connection:
            yield connection

    def close(self) -> None:
        # The readers go first: the writer, as the last connection, then owns the final checkpoint.
        if self._reading is not None:
            self._reading.dispose()
            self._reading = None
        with self._lock:
            if self._connection is not None:
                engine, connection = self._connection.engine, self._connection
                self._connection = None
                connection.close()
                engine.dispose()


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()
