"""A store's log as one of several replicas: what it holds, what another lacks, what comes from there.

Synchronous, and without any transport: texts go out, texts come in. It holds the store for itself, so that no
manager looks on while positions change.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, Self

import attrs
from sqlalchemy import Connection

from eliza_state import sqlite
from eliza_state.clock import now_us
from eliza_state.errors import InvalidPath, StoreError
from eliza_state.files import Files
from eliza_state.ids import encode_id
from eliza_state.journal import schema
from eliza_state.journal.archive import rows
from eliza_state.journal.interning import Interning
from eliza_state.journal.source import JournalSource
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy
from eliza_state.query.index_file import SUFFIX
from eliza_state.synchronizer import arrivals, replica_schema
from eliza_state.synchronizer.errors import Diverged, NotAReplica
from eliza_state.synchronizer.merging import Merged, Merging
from eliza_state.synchronizer.messages import Entry, ErasedIds, RecordLine, Summary, decoded_path, read_line
from eliza_state.synchronizer.rows import LOCAL, Rows
from eliza_state.synchronizer.sending import Sending, Sent
from eliza_state.synchronizer.stamping import Stamping, last_sequence
from eliza_state.synchronizer.stamps import MAX_DRIFT_MS, is_ahead

_PATIENCE_S: Final = 5.0


@attrs.frozen(kw_only=True)
class Received:
    """What became of a batch: `records` are new here, `present` ones were there, `ahead` ones are refused.

    The latter are from further in the future than `max_drift_ms` allows, or come behind such.
    """

    records: int = 0
    present: int = 0
    ahead: int = 0


class ReplicaLog:
    """Open the log of a store at a URL for itself; close it, or enter it as a context.

    What managers have appended gets its stamps first. `hierarchy` is the store's; records that lie outside
    it are refused. Records that are further than `max_drift_ms` ahead of `clock` are left until it has come
    there. With `create`, a store that is not there is made; with `dry_run` none is, and all is done in one
    transaction that is given up in the end.
    Raises `StoreError` for a store that is not there, is no SQLite file, that a manager has open, or of
    which something is in the archive.
    """

    def __init__(
        self,
        url: str,
        *,
        hierarchy: Hierarchy = DEFAULT_HIERARCHY,
        max_drift_ms: int = MAX_DRIFT_MS,
        clock: Callable[[], int] = now_us,
        dry_run: bool = False,
        create: bool = False,
    ) -> None:
        self.url = url
        self.is_dry_run = dry_run
        self._hierarchy = hierarchy
        self._max_drift_ms = max_drift_ms
        self._clock = clock
        self._interning = Interning()
        self._known: dict[str, int] = {}
        self._is_held = False
        self._writer = str(uuid.uuid4())
        source = JournalSource(url=url, exclusive=True, clock=clock)
        self.database = _database(source, create=create and not dry_run)
        with contextlib.ExitStack() as opening:
            self._connection = _connected(source, opening)
            with self._transaction("open") as connection:
                self.epoch = schema.prepare(connection)
                _check_is_whole(connection)
                replica_schema.prepare(connection)
                Stamping(connection).run()
            self._closing = opening.pop_all()

    def close(self) -> None:
        """Give the store back; twice does nothing."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _transaction(self, purpose: str) -> Generator[Connection]:
        connection = self._connection
        if connection.closed:
            raise StoreError(f"cannot {purpose}: the replica is closed")
        with sqlite.translated(purpose):
            try:
                if not connection.in_transaction():
                    connection.begin()
                yield connection
                if not self.is_dry_run:
                    connection.commit()
                    self._interning.commit()
            except BaseException:
                connection.rollback()
                self._interning = Interning()
                self._known.clear()
                raise

    # What it holds

    def summary(self) -> Summary:
        """Return what the replica holds, what waits to be merged included."""
        with self._transaction("read") as connection:
            stored = connection.exec_driver_sql("SELECT name FROM writer").scalars().all()
            names = {str(name) for name in stored} | set(arrivals.writers(connection))
            counts = {name: self._count(connection, name) for name in names}
            return Summary(
                {
                    name: (count, self._numbered(connection, name, count).tip)
                    for name, count in counts.items()
                    if count
                }
            )

    def _count(self, connection: Connection, writer: str) -> int:
        """How many records of a writer are here, merged or not."""
        count = self._known.get(writer)
        if count is None:
            waiting = arrivals.last_sequence(connection, writer)
            writer_id = self._writer_id(connection, writer)
            stored = 0 if writer_id is None else last_sequence(connection, writer_id)
            count = self._known[writer] = max(waiting, stored)
        return count

    def _writer_id(self, connection: Connection, writer: str) -> int | None:
        found = connection.exec_driver_sql("SELECT id FROM writer WHERE name = ?", (writer,)).scalar()
        return None if found is None else int(found)

    def _numbered(self, connection: Connection, writer: str, sequence: int) -> Entry:
        """The record of a writer that has a number, up to its count."""
        waiting = arrivals.numbered(connection, writer, sequence)
        if waiting is not None:
            return waiting
        query = "SELECT position FROM replica_stamp WHERE writer = ? AND sequence = ?"
        values = (self._writer_id(connection, writer), sequence)
        position = connection.exec_driver_sql(query, values).scalar_one()
        return Rows(connection, self._interning).at(position).entry

    def check(self, other: Summary) -> None:
        """Raise `Diverged` if what another has of a writer is not what this one has of it."""
        own = self.summary()
        common = own.writers.keys() & other.writers.keys()
        with self._transaction("compare") as connection:
            for writer in sorted(common):
                (here, _), (there, tip) = own.writers[writer], other.writers[writer]
                if there <= here and self._numbered(connection, writer, there).tip != tip:
                    raise Diverged(writer, sequence=there)

    # What goes out

    def lacking(self, other: Summary, *, sent: Sent | None = None) -> Iterator[bytes]:
        """Yield the records that another replica lacks, as lines in batches, in the order of their stamps.

        Each batch holds at most 500 lines and little more than 256 kB. `sent` is told how many there were. It
        ends before a record that is damaged here, of which `sent` is told, too.
        """
        told = Sent() if sent is None else sent
        with self._transaction("read") as connection:
            sending = Sending(connection, self._interning, other, sent=told)
        while True:
            with self._transaction("read"):
                batch = sending.batch()
            if not batch:
                return
            yield batch

    # What comes in

    def receive(self, batch: bytes) -> Received:
        """Keep the records of a batch, to be merged; those that are here are passed over.

        Batches come in their order; one may come again. What was kept survives a crash, and is not asked for
        any more.
        Raises `NotAReplica`, keeping nothing of the batch, for text that is none, a record outside the
        hierarchy, and one whose writer's records before it are missing.
        """
        figures: Counter[str] = Counter()
        with self._transaction("receive") as connection:
            for text in batch.splitlines():
                self._take(connection, text, figures)
        return Received(**figures)

    def _take(self, connection: Connection, text: bytes, figures: Counter[str]) -> None:
        told = read_line(text)
        if isinstance(told, ErasedIds):
            self._take_erased(connection, told)
        elif isinstance(told, RecordLine):
            figures[self._take_record(connection, Entry.of(told))] += 1
        else:
            raise NotAReplica("a batch holds records")

    def _take_erased(self, connection: Connection, told: ErasedIds) -> None:
        path = decoded_path(told.path)
        if not self._is_held:
            for text in told.ids:
                arrivals.add_erased(connection, path, encode_id(text))

    def _take_record(self, connection: Connection, entry: Entry) -> str:
        stamp = entry.stamp
        count = self._count(connection, stamp.writer)
        if stamp.sequence <= count:
            return "present"
        drift = {"now_us": self._clock(), "max_drift_ms": self._max_drift_ms}
        if self._is_held or is_ahead(stamp.time_us, **drift):
            # All that comes behind it has a higher stamp, and may be there because of it.
            self._is_held = True
            return "ahead"
        if stamp.sequence != count + 1:
            raise NotAReplica(
                f"records {count + 1} to {stamp.sequence - 1} of writer {stamp.writer!r} are missing"
            )
        if entry.event == LOCAL:
            raise NotAReplica("where followers stand does not travel")
        try:
            self._hierarchy.check(entry.path)
        except InvalidPath as error:
            raise NotAReplica(str(error)) from None
        arrivals.add(connection, entry)
        self._known[stamp.writer] = stamp.sequence
        return "records"

    def merge(self) -> Merged:
        """Put what was received among the records, in one transaction, and tell what that did.

        Indexes beside the store are removed, and made anew by the next query. Raises `StoreError` if the
        store cannot be written; then nothing has changed.
        """
        if not self.is_dry_run and self._has_arrivals():
            self._remove_indexes()
        with self._transaction("merge") as connection:
            merging = Merging(connection, self._interning, writer=self._writer, now_us=self._clock())
            merged = merging.run()
        self._is_held = False
        if merged.erased and not self.is_dry_run and not self._is_log_emptied():
            remains = "journal: the log beside the database is being read by somebody"
            return attrs.evolve(merged, remains=(remains,))
        return merged

    def _has_arrivals(self) -> bool:
        with self._transaction("read") as connection:
            is_any = arrivals.first(connection) is not None
            return is_any or next(arrivals.erased_ids(connection), None) is not None

    def _remove_indexes(self) -> None:
        files = Files()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                files.remove(self.database + SUFFIX + suffix)

    def _is_log_emptied(self) -> bool:
        driver: Any = self._connection.connection.driver_connection
        deadline = time.monotonic() + _PATIENCE_S
        with sqlite.translated("empty the log"):
            while not sqlite.empty_log(driver):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
        return True


def _database(source: JournalSource, *, create: bool) -> str:
    """Return the path of a store's file; `StoreError` unless there is one, or one is to be made."""
    database = source.database
    if database is None:
        raise StoreError("a replica is a SQLite file such as 'sqlite:///state.db'; there is none in memory")
    if not (create or os.path.exists(database)):
        raise StoreError(f"there is no store at {database!r}; name one that exists")
    return database


def _check_is_whole(connection: Connection) -> None:
    """Raise `StoreError` for a store whose records are in part in its archive: they cannot be moved there."""
    if rows.is_any(connection):
        raise StoreError(
            "scopes of the store are in its archive, and what is there is not synchronised; bring them back"
            " first: `eliza-state archive restore`"
        )


def _connected(source: JournalSource, opening: contextlib.ExitStack) -> Connection:
    """Take a store for itself, and connect to it."""
    lease, url = source.lease(), source.parsed()
    assert lease is not None
    assert url is not None
    opening.callback(lease.release)
    synchronous: Any = str(url.query.get("synchronous", "FULL")).upper()  # checked where it is used
    engine = sqlite.writing_engine(url.difference_update_query(["synchronous"]), synchronous=synchronous)
    opening.callback(engine.dispose)
    with sqlite.translated("open"):
        return opening.enter_context(engine.connect())
