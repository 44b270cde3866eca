"""The journal in a SQL database, through SQLAlchemy Core.

What is asked for often goes through `exec_driver_sql`, with the same text for every database: `?` stands for
a parameter. What differs between databases is in `eliza_state.journal.databases`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import URL, Connection

from eliza_state.change import Record, checksum_of
from eliza_state.clock import now_us
from eliza_state.errors import Busy, StoreError
from eliza_state.event import ERASURE, RESTORE
from eliza_state.ids import UuidFactory
from eliza_state.journal import erasing, restoring, schema
from eliza_state.journal.archive.archive import JournalArchive
from eliza_state.journal.archive.erasing import Erasing
from eliza_state.journal.archive.merging import Merging
from eliza_state.journal.archive.segment import Segments
from eliza_state.journal.contract import (
    Appended,
    ChoreLease,
    Conflict,
    Draft,
    Erasure,
    Journal,
    Restore,
    ScopeFacts,
    Unclear,
    Wiped,
)
from eliza_state.journal.databases import Below, Found, Row, Taken, open_database
from eliza_state.journal.gathering import Gathering
from eliza_state.journal.interning import Interning
from eliza_state.path import Path
from eliza_state.sqlite import Synchronous

T = TypeVar("T")

_PAGE_ROWS: Final = 1_000


class SqlJournal(Journal):
    """A journal in a SQLite file, or in a schema of a PostgreSQL database.

    A `read_only` one writes nothing, not even its tables; an `exclusive` one shares a server's database with
    no other writer, as the lease does for a file. `synchronous` is for SQLite: `FULL` (survives a power cut)
    or `NORMAL` (survives a killed process). `clock` gives microseconds since 1970; `recorded_at` follows it
    but never decreases. What is archived is in `segments`. Opening creates the tables or migrates them
    forward. Raises `StoreError` for another database, a newer schema, or a lock that another process holds
    for longer than `busy_timeout_ms`.
    """

    def __init__(
        self,
        url: URL,
        *,
        writer: str,
        read_only: bool = False,
        exclusive: bool = False,
        synchronous: Synchronous = "FULL",
        busy_timeout_ms: int = 5_000,
        clock: Callable[[], int] = now_us,
        segments: Segments | None = None,
    ) -> None:
        self.writer = writer
        self.clock = clock
        self._interning = Interning()
        self._lock = threading.Lock()
        self._next_id = UuidFactory()
        # Where the last append of ours has ended, if nobody else has written since the one before.
        self._end: Found | None = None
        self._database = open_database(
            url,
            writer=writer,
            read_only=read_only,
            exclusive=exclusive,
            synchronous=synchronous,
            busy_timeout_ms=busy_timeout_ms,
        )
        self.is_local = self._database.is_local
        try:
            self.epoch = self._checked() if read_only else self._prepared(busy_timeout_ms)
            with self._read("open") as connection:
                archive_epoch = schema.archive_epoch(connection) or self.epoch
        except BaseException:
            self.close()
            raise
        self.archive = JournalArchive(
            self._database,
            segments or Segments(None),
            interning=self._interning,
            epoch=archive_epoch,
            writing=self._writing,
        )
        self._records = self.archive.records

    def _checked(self) -> str:
        with self._read("open") as connection:
            return schema.check(connection)

    def _prepared(self, busy_timeout_ms: int) -> str:
        with self._read("open") as connection:
            schema.check_owner(connection)
        deadline = time.monotonic() + busy_timeout_ms / 1000
        while True:
            try:
                with self._database.writing("open") as connection:
                    self._database.prepare(connection)
                    return schema.prepare(connection)
            except Busy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    # Writing

    def append(self, drafts: Sequence[Draft], *, after: int, guarded: Path | None = None) -> Appended:
        appended = self._append_at_once(drafts, after)
        if appended is not None:
            return appended
        try:
            newer, found, rows = self._append_in_turn(drafts, after, guarded)
        except Taken:
            known = self.find_all([(draft.path, draft.key) for draft in drafts])
            if any(known):
                raise Conflict((), known=list(filter(None, known))) from None
            raise
        missed = self._missed(newer, after=after, until=found.head)
        self._end = None if missed else Found(rows[-1][0], rows[-1][6], generation=found.generation)
        return Appended(found.head + 1, rows[-1][6], missed)

    def _append_in_turn(
        self, drafts: Sequence[Draft], after: int, guarded: Path | None
    ) -> tuple[Sequence[Row], Found, list[Row]]:
        """Append under the lock; return the rows that others have written, where it began, and our own."""
        with self._transaction("append", after=after) as (connection, found):
            if found.head < after:
                raise StoreError(
                    f"the journal ends at position {found.head}, and {after} was seen: it has lost its"
                    " end, or was taken back to an older copy; open the store anew"
                )
            if found.head > after:  # before names are added: what is held after a conflict may be undone
                self._check_overtaken(connection, drafts, found, after, guarded)
            rows, below = self._rows(connection, drafts, found)
            self.archive.check(connection, _scopes_of(rows, below), generation=found.generation)
            if any(draft.event == RESTORE for draft in drafts):
                restoring.note(connection, drafts, rows)
            return self._database.store_last(connection, rows, below, after=after), found, rows

    def _append_at_once(self, drafts: Sequence[Draft], after: int) -> Appended | None:
        """Append on a server in one round trip; `None` where others write, or names are new."""
        end = self._end
        if self.is_local or end is None or end.head != after or not self._interning.has(drafts, self.writer):
            return None
        if any(draft.event == RESTORE for draft in drafts):
            return None
        self._end = None
        generation = end.generation
        rows, below = self._rows(None, drafts, end)
        if not self.archive.is_live(_scopes_of(rows, below), generation):
            return None
        if not self._database.store_at_once(rows, below, generation=generation):
            return None
        self._end = Found(rows[-1][0], rows[-1][6], generation=generation)
        return Appended(after + 1, rows[-1][6])

    def _check_overtaken(
        self, connection: Connection, drafts: Sequence[Draft], found: Found, after: int, guarded: Path | None
    ) -> None:
        """Raise `Conflict` if others have written to a path of drafts, or to a guarded one or below it."""
        names = self._interning
        reached: Set[int] = found.reached.keys()
        if sum(found.reached.values()) < found.head - after:  # the archive has the others, or they are lost
            between = self.read(Path(), after=after, until=found.head)
            reached = {names.find_path(connection, record.path) or 0 for record in between}
        is_overtaken = any(names.find_path(connection, draft.path) in reached for draft in drafts)
        if guarded is not None and not is_overtaken:
            paths = [names.path_of(connection, scope) for scope in reached]
            is_overtaken = any(path == guarded or path.is_below(guarded) for path in paths)
        if is_overtaken:
            raise Conflict(list(self.read(Path(), after=after, until=found.head)))

    def _missed(self, newer: Sequence[Row], *, after: int, until: int) -> Sequence[Record]:
        """Return what others have written, of which the tables have these rows. Raises `Unclear`."""
        if after == until:
            return ()
        try:
            if len(newer) < until - after:
                return list(self.read(Path(), after=after, until=until))
            with self._read() as connection:
                return [self._records.record(connection, row) for row in newer]
        except StoreError as error:  # our own are stored by now, and found where they are looked up
            raise Unclear(f"what others have written cannot be read: {error}") from error

    def _rows(
        self, connection: Connection | None, drafts: Sequence[Draft], found: Found
    ) -> tuple[list[Row], list[tuple[int, int]]]:
        interning = self._interning
        writer = interning.writer(connection, self.writer)
        rows: list[Row] = []
        below: list[tuple[int, int]] = []
        clock_us, last_us = self.clock(), found.last_us
        for position, draft in enumerate(drafts, found.head + 1):
            key, path, version, event, schema_version, payload, cause, at_us = draft
            last_us = max(at_us or clock_us, last_us)
            path_id, above = interning.path(connection, path)
            kind = interning.event_type(connection, event, schema_version)
            checksum = checksum_of(position, key, path, version, event, schema_version, payload, last_us)
            rows.append((position, path_id, version, kind, key, payload, last_us, writer, cause, checksum))
            below += [(scope, position) for scope in above]
        return rows, below

    def erase(self, positions: Sequence[int], *, until: int) -> Wiped:
        while (wiped := self._erased(positions, until)) is None:
            continue  # what is to be erased was moved meanwhile
        return wiped

    def _erased(self, positions: Sequence[int], until: int) -> Wiped | None:
        """Erase what is in the tables and in the archive; `None` if something was moved between them."""
        archive = Erasing(self.archive)
        with archive.prepared(positions) as blanking, self._transaction("erase") as (connection, found):
            if not archive.name(connection, blanking):
                return None
            in_tables = self._records.with_content(connection, positions)
            erasing.blank(connection, in_tables)
            content_of = {record.position: record for record in (*blanking.lost, *in_tables)}
            lost = [content_of[position] for position in positions if position in content_of]
            drafts = [
                Draft(self._next_id(), path, self._next_version(connection, path), ERASURE, 1, told)
                for path, told in erasing.accounts(lost, until=until)
            ]
            if drafts:
                rows, below = self._rows(connection, drafts, found)
                self._database.store(connection, rows, below)
                erasing.note(connection, [(row[1], row[0]) for row in rows], below)
        size_bytes = sum(len(record.content) for record in lost)
        return Wiped(len(lost), size_bytes, [draft.path for draft in drafts])

    def _next_version(self, connection: Connection, path: Path) -> int:
        return self._records.last_version(connection, path) + 1

    def settle_erasures(self, erasures: Sequence[Erasure]) -> None:
        with self._transaction("erase") as (connection, _):
            for path, position in erasures:
                erasing.settle(connection, self._interning.find_path(connection, path), position)

    @property
    def is_holding(self) -> bool:
        return self._database.is_holding

    def release(self) -> None:
        self._database.release()

    def tell(self) -> float | None:
        return self._database.tell()

    def settle(self) -> None:
        self._database.settle()

    # The database's files

    def expunge(self) -> bool:
        Erasing(self.archive).expunge()
        return self._database.expunge()

    def lease(self, name: str) -> ChoreLease | None:
        return self._database.lease(name)

    def free_bytes(self) -> int:
        return self._database.free_bytes()

    def give_back(self, *, max_bytes: int) -> int:
        return self._database.give_back(max_bytes=max_bytes)

    def rewrite(self) -> int:
        return self._database.rewrite()

    def maintain(self) -> None:
        self._database.maintain()

    @property
    def wants_maintenance(self) -> bool:
        return self._database.wants_maintenance

    # Reading

    def keeping(self) -> AbstractContextManager[None]:
        return self._database.keeping("read")

    def head(self) -> int:
        with self._read() as connection:
            return self._records.head(connection)

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
        merging = Merging(
            reading=self._read,
            records=self._records,
            path=path,
            newest_first=newest_first,
            page_rows=_PAGE_ROWS,
        )
        return merging.read(after=after, until=last, limit=limit)

    def read_small(
        self, paths: Sequence[Path], *, until: int, most: int
    ) -> Iterator[tuple[Path, list[Record] | None]]:
        gathering = Gathering(reading=self._read, records=self._records, interning=self._interning)
        return gathering.read(paths, until=until, most=most)

    def find(self, path: Path, key: bytes) -> Record | None:
        return self.find_all([(path, key)])[0]

    def find_all(self, wanted: Sequence[tuple[Path, bytes]]) -> list[Record | None]:
        # What costs is the connection: a look-up is a few microseconds.
        find = self._records.find
        return self._look(lambda connection: [find(connection, path, key) for path, key in wanted])

    def knows(self, path: Path) -> bool:
        if not path.steps:
            return self.head() > 0
        if self._interning.knows(path):
            return True
        with self._read() as connection:
            return self._interning.find_path(connection, path) is not None

    def facts(self, path: Path, *, until: int) -> ScopeFacts:
        return self._look(partial(self._records.facts, path=path, until=until))

    def children(self, path: Path) -> list[Path]:
        with self._read() as connection:
            return self._interning.children(connection, path)

    def position_at(self, at_us: int) -> int:
        return self._look(partial(self._records.position_at, at_us=at_us))

    def erased_at(self, path: Path) -> int:
        with self._read() as connection:
            return erasing.last(connection, self._interning.find_path(connection, path))

    def restored_at(self, path: Path, *, until: int) -> Restore | None:
        return self._look(partial(self._records.restored_at, path=path, until=until))

    def restores(self, *, after: int, until: int) -> list[Record]:
        def found(connection: Connection) -> list[Record]:
            positions = connection.exec_driver_sql(restoring.ALL, (after, until)).scalars().all()
            return self._records.at(connection, positions)

        return self._look(found)

    def archived_scope(self, path: Path) -> Path | None:
        return self._look(partial(self._records.archived_scope, path=path))

    def archived_state(self, path: Path) -> bytes | None:
        return self._look(partial(self._records.state, path=path))

    def unsettled_erasures(self) -> list[Erasure]:
        with self._read() as connection:
            found = erasing.unsettled(connection)
            return [Erasure(self._interning.path_of(connection, scope), last) for scope, last in found]

    # Connections

    def _look(self, look: Callable[[Connection], T]) -> T:
        return self.archive.look(look)

    @contextlib.contextmanager
    def _writing(self, purpose: str) -> Generator[Connection]:
        with self._transaction(purpose) as (connection, _):
            yield connection

    @contextlib.contextmanager
    def _transaction(self, purpose: str, *, after: int | None = None) -> Generator[tuple[Connection, Found]]:
        with self._lock:
            self._end = None
            try:
                with self._database.appending(purpose, after=after) as begun:
                    yield begun
            except BaseException:
                self._interning.rollback()
                raise
            self._interning.commit()

    def _read(self, purpose: str = "read") -> AbstractContextManager[Connection]:
        return self._database.reading(purpose)

    def close(self) -> None:
        self._database.close()


def _scopes_of(rows: Sequence[Row], below: Below) -> set[int]:
    """Return the scopes that records are addressed to, and those above them, by their integers."""
    return {row[1] for row in rows} | {scope for scope, _ in below}
