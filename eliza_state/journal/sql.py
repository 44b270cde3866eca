"""The journal in a SQL database, through SQLAlchemy Core.

Hot statements are compiled once and run through `exec_driver_sql`, which costs about what the bare driver
costs; the rest is plain Core.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import sqlite3
import threading
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Final

import attrs
from sqlalchemy import URL, Connection, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from eliza_state.change import Record
from eliza_state.errors import StoreError
from eliza_state.journal import schema, sqlite
from eliza_state.journal.contract import (
    DIGEST_BYTES,
    Appended,
    Busy,
    ChunkMissing,
    Conflict,
    Draft,
    Journal,
    ScopeFacts,
    SliceSnapshot,
    now_us,
)
from eliza_state.journal.interning import Interning
from eliza_state.path import Path

_PAGE_ROWS: Final = 1_000
_CHECKPOINT_BYTES: Final = 60_000
_ROW_OVERHEAD_BYTES: Final = 100
_DAMAGED: Final = ""
_KEPT_SNAPSHOTS: Final = 2

_ROW = (
    "record.position, record.key, record.path, record.version, record.event_type, record.payload,"
    " record.recorded_at_us, record.writer, record.cause, record.checksum"
)
_INSERT_RECORD = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_BELOW = "INSERT INTO below VALUES (?, ?)"
_FIND = f"SELECT {_ROW} FROM record WHERE path = ? AND key = ?"  # noqa: S608  # constants only


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
        self._writing, self._reading = sqlite.open_engines(
            url, synchronous=synchronous, busy_timeout_ms=busy_timeout_ms
        )
        self._connection: Connection | None = None
        try:
            if read_only:
                self._look()
            else:
                self._open(busy_timeout_ms)
        except BaseException:
            self.close()
            raise

    def _open(self, busy_timeout_ms: int) -> None:
        deadline = time.monotonic() + busy_timeout_ms / 1000
        while True:
            try:
                with _translated("open"):
                    self._connection = self._connection or self._writing.connect()
                    with self._connection.begin():
                        self.epoch = schema.prepare(self._connection)
                        self._recorded_at_us = self._last_time(self._connection)
                return
            except Busy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _look(self) -> None:
        with self._read() as connection:
            self.epoch = schema.check(connection)

    def _last_time(self, connection: Connection) -> int:
        found = connection.execute(
            select(schema.record.c.recorded_at_us).order_by(schema.record.c.position.desc()).limit(1)
        ).scalar()
        return int(found or 0)

    # Writing

    def append(self, drafts: Sequence[Draft], *, after: int) -> Appended:
        with self._transaction("append") as connection:
            head = int(connection.exec_driver_sql("SELECT max(position) FROM record").scalar() or 0)
            missed = self._missed(connection, drafts, after=after) if head > after else ()
            if missed:
                self._recorded_at_us = max(self._recorded_at_us, missed[-1].recorded_at_us)
            now = max(self.clock(), self._recorded_at_us)
            rows, index = self._rows(connection, drafts, head + 1, now)
            connection.exec_driver_sql(_INSERT_RECORD, rows)
            if index:
                connection.exec_driver_sql(_INSERT_BELOW, index)
        self._recorded_at_us = now
        self._unchecked_bytes += sum(len(draft.content) + _ROW_OVERHEAD_BYTES for draft in drafts)
        return Appended(head + 1, now, missed)

    def _missed(self, connection: Connection, drafts: Sequence[Draft], *, after: int) -> list[Record]:
        query = f"SELECT {_ROW} FROM record WHERE position > ? ORDER BY position"  # noqa: S608
        rows = connection.exec_driver_sql(query, (after,)).all()
        missed = [self._record(connection, row) for row in rows]
        if not {record.path for record in missed}.isdisjoint(draft.path for draft in drafts):
            raise Conflict(missed)
        return missed

    def _rows(
        self, connection: Connection, drafts: Sequence[Draft], first: int, now: int
    ) -> tuple[list[tuple[Any, ...]], list[tuple[int, int]]]:
        interning = self._interning
        writer = interning.writer(connection, self.writer)
        rows: list[tuple[Any, ...]] = []
        index: list[tuple[int, int]] = []
        for position, draft in enumerate(drafts, first):
            key, path, version, event, schema_version, payload, cause, at_us = draft
            recorded_at_us = at_us or now
            path_id, above = interning.path(connection, path)
            kind = interning.event_type(connection, event, schema_version)
            checksum = Record(
                position, key, path, version, event, schema_version, payload, recorded_at_us, "", cause
            ).checksum
            rows.append(
                (position, path_id, version, kind, key, payload, recorded_at_us, writer, cause, checksum)
            )
            index += [(scope, position) for scope in above]
        return rows, index

    def maintain(self) -> None:
        with _translated("checkpoint"), self._lock:
            self._unchecked_bytes = 0
            if self._connection is not None:
                # Beside SQLAlchemy's transactions: within one SQLite refuses to checkpoint.
                self._connection.connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()

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
        if not path.steps:
            found = self._pages("position", "FROM record WHERE 1 = ?", 1, after, last, newest_first)
        else:
            found = self._read_scope(path, after, last, newest_first)
        return itertools.islice(found, limit)

    def _read_scope(self, path: Path, after: int, last: int, newest_first: bool) -> Iterator[Record]:
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            if path_id is None:
                return iter(())
            after_version = self._version_at(connection, path_id, after)
            last_version = self._version_at(connection, path_id, last)
        own = self._pages(
            "version", "FROM record WHERE path = ?", path_id, after_version, last_version, newest_first
        )
        source = "FROM below JOIN record ON record.position = below.position WHERE below.scope = ?"
        below = self._pages("below.position", source, path_id, after, last, newest_first)
        return heapq.merge(own, below, key=lambda record: record.position, reverse=newest_first)

    def _version_at(self, connection: Connection, path_id: int, position: int) -> int:
        """The version of the last own record at or before a position: versions ascend with positions."""
        query = "SELECT position FROM record WHERE path = ? AND version = ?"

        def position_of(version: int) -> int:
            return int(connection.exec_driver_sql(query, (path_id, version)).scalar_one())

        newest = "SELECT max(version) FROM record WHERE path = ?"
        versions = range(1, (connection.exec_driver_sql(newest, (path_id,)).scalar() or 0) + 1)
        return bisect_right(versions, position, key=position_of)

    def _pages(
        self, column: str, source: str, owner: int, after: int, last: int, newest_first: bool
    ) -> Iterator[Record]:
        """Yield records with `after < column <= last`, a page a query, so that no read blocks for long."""
        order = "DESC" if newest_first else "ASC"
        query = (
            f"SELECT {column}, {_ROW} {source} AND {column} > ? AND {column} <= ?"  # constants only
            f" ORDER BY {column} {order} LIMIT {_PAGE_ROWS}"
        )
        while after < last:
            with self._read() as connection:
                rows = connection.exec_driver_sql(query, (owner, after, last)).all()
                records = [self._record(connection, row[1:]) for row in rows]
            yield from records
            if len(rows) < _PAGE_ROWS:
                return
            if newest_first:
                last = rows[-1][0] - 1
            else:
                after = rows[-1][0]

    def _record(self, connection: Connection, row: Sequence[Any]) -> Record:
        position, key, path_id, version, kind, payload, recorded_at_us, writer, cause, checksum = row
        path = self._interning.path_of(connection, path_id)
        event, schema_version = self._interning.event_type_of(connection, kind)
        name = self._interning.writer_of(connection, writer)
        record = Record(
            position, key, path, version, event, schema_version, payload, recorded_at_us, name, cause
        )
        return record if record.checksum == checksum else record._replace(event=_DAMAGED)

    def find(self, path: Path, key: bytes) -> Record | None:
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            if path_id is None:
                return None
            row = connection.exec_driver_sql(_FIND, (path_id, key)).one_or_none()
            return None if row is None else self._record(connection, row)

    def knows(self, path: Path) -> bool:
        with self._read() as connection:
            return self._interning.find_path(connection, path) is not None

    def facts(self, path: Path, *, until: int) -> ScopeFacts:
        newest = next(self.read(path, until=until, newest_first=True, limit=1), None)
        if newest is None:
            return ScopeFacts()
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            version = self._version_at(connection, path_id or 0, until)
            query = "SELECT event_type FROM record WHERE path = ? AND version = ?"
            kind = connection.exec_driver_sql(query, (path_id, version)).scalar()
            event = "" if kind is None else self._interning.event_type_of(connection, kind)[0]
        return ScopeFacts(version, newest.position, newest.recorded_at_us, event)

    def children(self, path: Path) -> list[Path]:
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            if path_id is None:
                return []
            rows = connection.execute(
                select(schema.path.c.step).where(schema.path.c.parent == path_id).order_by(schema.path.c.id)
            )
            return [Path((*path.steps, *Path.decode(step).steps)) for (step,) in rows]

    def position_at(self, at_us: int) -> int:
        table = schema.record
        with self._read() as connection:
            head = int(connection.execute(select(func.max(table.c.position))).scalar() or 0)

            def time_of(position: int) -> int:
                """The time of the record at a position, or of the one before it where that is gone."""
                newest = select(table.c.recorded_at_us).where(table.c.position <= position)
                newest = newest.order_by(table.c.position.desc()).limit(1)
                return int(connection.execute(newest).scalar() or 0)

            return bisect_right(range(1, head + 1), at_us, key=time_of)

    # Snapshots

    def snapshots(self, path: Path, *, until: int) -> list[SliceSnapshot]:
        table = schema.snapshot
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            if path_id is None:
                return []
            rows = connection.execute(
                select(
                    table.c.module,
                    table.c.module_version,
                    table.c.position,
                    table.c.version,
                    table.c.record_key,
                    table.c.epoch,
                    table.c.body,
                    table.c.chunks,
                    table.c.checksum,
                )
                .where(table.c.path == path_id, table.c.position <= until)
                .order_by(table.c.position.desc())
            ).all()
        return [_slice_snapshot(row) for row in rows]

    def chunk(self, path: Path, digest: bytes) -> bytes:
        table = schema.chunk
        with self._read() as connection:
            path_id = self._interning.find_path(connection, path)
            query = select(table.c.content).where(table.c.path == path_id, table.c.digest == digest)
            content: bytes | None = connection.execute(query).scalar()
        if content is None:
            raise ChunkMissing(
                f"a chunk of the snapshot of {path.encode()!r} is missing; the fold can replace it"
            )
        return content

    def save_snapshot(
        self,
        path: Path,
        slices: Sequence[SliceSnapshot],
        *,
        chunks: Iterable[tuple[bytes, bytes]],
    ) -> None:
        with self._transaction("save a snapshot") as connection:
            path_id = self._interning.find_path(connection, path)
            if path_id is None:
                return
            table = schema.chunk
            new = dict(chunks)
            if new:
                rows = [{"path": path_id, "digest": digest, "content": new[digest]} for digest in new]
                connection.execute(insert(table).prefix_with("OR IGNORE", dialect="sqlite"), rows)
            for found in slices:
                _replace_snapshot(connection, path_id, found)
            self._drop_chunks(connection, path_id)
            self._unchecked_bytes += sum(map(len, new.values()))
            self._unchecked_bytes += sum(len(found.body) for found in slices)

    def _drop_chunks(self, connection: Connection, path_id: int) -> None:
        """Delete the scope's chunks that none of its snapshots names; all that are named must be there."""
        table = schema.snapshot
        packed = connection.execute(select(table.c.chunks).where(table.c.path == path_id)).scalars().all()
        named = {digest for digests in packed for digest in _digests(digests)}
        digests = select(schema.chunk.c.digest).where(schema.chunk.c.path == path_id)
        stored = set(connection.execute(digests).scalars())
        if not named <= stored:
            raise ChunkMissing(f"{len(named - stored)} chunks that a snapshot names are not stored")
        unnamed = stored - named
        if unnamed:
            connection.execute(
                delete(schema.chunk).where(schema.chunk.c.path == path_id, schema.chunk.c.digest.in_(unnamed))
            )

    # Connections

    @contextlib.contextmanager
    def _transaction(self, purpose: str) -> Generator[Connection]:
        with _translated(purpose), self._lock:
            if self._connection is None:
                raise StoreError(f"cannot {purpose}: the journal is closed")
            try:
                with self._connection.begin():
                    yield self._connection
            except BaseException:
                self._interning.rollback()
                raise
            self._interning.commit()

    @contextlib.contextmanager
    def _read(self) -> Generator[Connection]:
        with _translated("read"), self._reading.connect() as connection:
            yield connection

    def close(self) -> None:
        # The readers go first: the writer, as the last connection, then owns the final checkpoint.
        self._reading.dispose()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        self._writing.dispose()


@contextlib.contextmanager
def _translated(purpose: str) -> Generator[None]:
    """Turn what the driver raises into `StoreError`, a held lock into `Busy`."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        if getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Busy(f"cannot {purpose}: another process holds the lock of the database") from error
        raise StoreError(f"cannot {purpose}: {cause}") from error


def _replace_snapshot(connection: Connection, path_id: int, found: SliceSnapshot) -> None:
    table = schema.snapshot
    of_slice = (table.c.path == path_id) & (table.c.module == found.module)
    positions = select(table.c.position).where(of_slice, table.c.position < found.position)
    older = connection.execute(positions.order_by(table.c.position.desc())).scalars().all()
    stale = [*older[_KEPT_SNAPSHOTS - 1 :], found.position]
    connection.execute(delete(table).where(of_slice, table.c.position.in_(stale)))
    connection.execute(
        insert(table).values(
            path=path_id,
            module=found.module,
            position=found.position,
            version=found.version,
            module_version=found.module_version,
            record_key=found.record_key,
            epoch=found.epoch,
            body=found.body,
            chunks=b"".join(found.chunks),
            checksum=_snapshot_checksum(found),
        )
    )


def _slice_snapshot(row: Sequence[Any]) -> SliceSnapshot:
    module, module_version, position, version, record_key, epoch, body, packed, checksum = row
    digests = tuple(_digests(packed))
    found = SliceSnapshot(module, module_version, position, version, record_key, epoch, body, digests)
    # A damaged snapshot matches no journal; whoever loads it sets it aside and says so.
    return found if _snapshot_checksum(found) == checksum else attrs.evolve(found, epoch="")


def _snapshot_checksum(found: SliceSnapshot) -> int:
    numbers = f"{found.module}\0{found.module_version}\0{found.position}\0{found.version}\0{found.epoch}"
    return zlib.crc32(b"".join(found.chunks), zlib.crc32(found.body, zlib.crc32(numbers.encode())))


def _digests(packed: bytes) -> list[bytes]:
    return [packed[start : start + DIGEST_BYTES] for start in range(0, len(packed), DIGEST_BYTES)]
