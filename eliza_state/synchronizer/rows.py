"""The journal's rows as a replica reads and writes them, within the transaction of who calls."""

from __future__ import annotations

import sqlite3
import struct
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.event import ERASURE, RESTORE, event_type
from eliza_state.followers.positions import FollowerAdvanced
from eliza_state.journal.interning import Interning
from eliza_state.synchronizer.messages import Entry
from eliza_state.synchronizer.stamps import Stamp

LOCAL: Final = event_type(FollowerAdvanced).name
"""The event whose records mean nothing elsewhere: they tell positions of this journal."""

PAGE: Final = 500

_NAMESPACE: Final = uuid.UUID("6f1b5c52-5d0e-4f0a-9d6b-0c1f4f0c8f5e")

_COLUMNS: Final = (
    "record.position, record.path, record.version, record.event_type, record.key, record.payload,"
    " record.recorded_at_us, record.writer, record.cause, record.checksum,"
    " replica_stamp.counter, replica_stamp.sequence, replica_stamp.key, replica_stamp.is_repeated"
)
_JOINED: Final = f"SELECT {_COLUMNS} FROM record JOIN replica_stamp USING (position)"  # noqa: S608  # constants
_AT: Final = f"{_JOINED} WHERE record.position = ?"
_DOWNWARDS: Final = (
    f"{_JOINED} WHERE record.position <= ? AND record.position > ? ORDER BY record.position DESC LIMIT {PAGE}"
)
_OF_ID: Final = f"{_JOINED} WHERE record.path = ? AND record.key = ?"
_UNDER_OTHER_ID: Final = f"{_JOINED} WHERE replica_stamp.path = ? AND replica_stamp.key = ?"
_RENEW: Final = "UPDATE record SET version = ?, key = ?, payload = ?, checksum = ? WHERE position = ?"
_MOVE: Final = "UPDATE record SET position = ?, version = ?, checksum = ? WHERE position = ?"
_MOVE_BELOW: Final = "UPDATE below SET position = ? WHERE scope = ? AND position = ?"
_MOVE_STAMP: Final = "UPDATE replica_stamp SET position = ? WHERE position = ?"
_MOVE_RESTORE: Final = "UPDATE restore SET position = ? WHERE scope = ? AND position = ?"
_INSERT: Final = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_BELOW: Final = "INSERT OR IGNORE INTO below VALUES (?, ?)"
_INSERT_RESTORE: Final = "INSERT INTO restore VALUES (?, ?)"
_INSERT_STAMP: Final = "INSERT INTO replica_stamp VALUES (?, ?, ?, ?, ?, ?, ?)"
_NOTE_KEY: Final = "UPDATE replica_stamp SET path = ?, key = ?, is_repeated = ? WHERE position = ?"


class Row(NamedTuple):
    """A record with its stamp, as they are stored.

    `counter` and `sequence` are the stamp's, `sequence` is `None` for a record that does not travel.
    `came_as` is the id that it has elsewhere, where that is another one here. A damaged row is not whole.
    """

    record: Record
    path_id: int
    counter: int
    sequence: int | None
    came_as: bytes | None
    is_repeated: bool
    is_whole: bool

    @property
    def stamp(self) -> Stamp:
        """The stamp; that of a record that does not travel has sequence 0."""
        return Stamp(self.record.recorded_at_us, self.counter, self.record.writer, self.sequence or 0)

    @property
    def key(self) -> bytes:
        """The id that the record has everywhere."""
        return self.came_as or self.record.key

    @property
    def entry(self) -> Entry:
        """What is told of it elsewhere."""
        record = self.record
        told = (record.event, record.schema_version, record.content, record.cause)
        return Entry(self.stamp, record.path, self.key, *told, self.is_repeated)


class Rows:
    """Read and write rows on one connection."""

    def __init__(self, connection: Connection, interning: Interning) -> None:
        self._connection = connection
        self._interning = interning

    def run(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement in the transaction that is open, and return its result."""
        return run(self._connection, statement, values)

    def at(self, position: int) -> Row:
        """Return the row at a position that has a stamp."""
        return self._row(self.run(_AT, (position,)).fetchone())

    def downwards(self, first: int, last: int) -> Iterator[Row]:
        """Yield the rows from position `last` down to `first`; those that were yielded may move up."""
        while last >= first:
            page = [self._row(found) for found in self.run(_DOWNWARDS, (last, first - 1)).fetchall()]
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].record.position - 1

    def of_id(self, path_id: int, key: bytes) -> list[Row]:
        """Return the records that came to a path with an id, in the order of their stamps."""
        holder = self._row_or_none(self.run(_OF_ID, (path_id, key)).fetchone())
        found = [self._row(row) for row in self.run(_UNDER_OTHER_ID, (path_id, key)).fetchall()]
        if holder is not None and holder.key == key:
            found.append(holder)
        return sorted(found, key=lambda row: row.stamp)

    def _row_or_none(self, found: Any) -> Row | None:
        return None if found is None else self._row(found)

    def _row(self, found: Any) -> Row:
        position, path_id, version, kind, key, payload, at_us, writer, cause, checksum, *stamp = found
        counter, sequence, came_as, is_repeated = stamp
        path = self._interning.path_of(self._connection, path_id)
        event, schema_version = self._interning.event_type_of(self._connection, kind)
        name = self._interning.writer_of(self._connection, writer)
        record = Record(position, key, path, version, event, schema_version, payload, at_us, name, cause)
        try:
            is_whole = record.checksum == checksum
        except (TypeError, struct.error):  # a damaged column may come back as another type
            is_whole = False
        return Row(record, path_id, counter, sequence, came_as, bool(is_repeated), is_whole)

    def is_taken(self, path_id: int, key: bytes) -> bool:
        """Tell whether a record at a path has an id here."""
        query = "SELECT 1 FROM record WHERE path = ? AND key = ?"
        return self.run(query, (path_id, key)).fetchone() is not None

    # Writing

    def move(self, row: Row, *, position: int, version: int) -> None:
        """Give a record another position and version; the checksum of a damaged one goes on telling so."""
        record = row.record
        moved = record._replace(position=position, version=version)
        if row.is_whole:
            self.run(_MOVE, (position, version, moved.checksum, record.position))
        else:
            self.run("UPDATE record SET position = ? WHERE position = ?", (position, record.position))
        for scope in self._interning.path(self._connection, record.path)[1]:
            self.run(_MOVE_BELOW, (position, scope, record.position))
        self.run(_MOVE_STAMP, (position, record.position))
        if record.event == RESTORE:
            self.run(_MOVE_RESTORE, (position, row.path_id, record.position))

    def insert(self, entry: Entry, *, key: bytes, position: int, version: int) -> None:
        """Store a record that came, under the id `key`."""
        stamp, connection = entry.stamp, self._connection
        path_id, above = self._interning.path(connection, entry.path)
        kind = self._interning.event_type(connection, entry.event, entry.schema_version)
        writer = self._interning.writer(connection, stamp.writer)
        told = (entry.event, entry.schema_version, entry.content, stamp.time_us, "")
        checksum = Record(position, key, entry.path, version, *told).checksum
        place = (position, path_id, version, kind, key)
        self.run(_INSERT, (*place, entry.content, stamp.time_us, writer, entry.cause, checksum))
        for scope in above:
            self.run(_INSERT_BELOW, (scope, position))
        if entry.event == RESTORE:
            self.run(_INSERT_RESTORE, (path_id, position))
        alias = (None, None) if key == entry.key else (path_id, entry.key)
        self.run(
            _INSERT_STAMP,
            (position, stamp.counter, writer, stamp.sequence, *alias, int(entry.is_repeated)),
        )

    def renew(self, row: Row, *, key: bytes, content: bytes, is_repeated: bool) -> None:
        """Give a record another id here, or take its content."""
        record = row.record._replace(key=key, content=content)
        checksum = record.checksum if row.is_whole else 0
        self.run(_RENEW, (record.version, key, content, checksum, record.position))
        alias = (None, None) if key == row.key else (row.path_id, row.key)
        self.run(_NOTE_KEY, (*alias, int(is_repeated), record.position))


def run(connection: Connection, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
    """Run a statement in the transaction that is open, on the driver's own connection, and return its result.

    Several of them are run for each record; through SQLAlchemy a merge takes four times as long.
    """
    driver: Any = connection.connection.driver_connection
    result: sqlite3.Cursor = driver.execute(statement, values)
    return result


def other_id(stamp: Stamp) -> bytes:
    """Return the id that a record gets where another one at its path has its own; the same everywhere."""
    return uuid.uuid5(_NAMESPACE, f"{stamp.sequence} {stamp.writer}").bytes


def is_erasure(event: str) -> bool:
    """Tell whether a record of this event says that others lost their content."""
    return event == ERASURE
