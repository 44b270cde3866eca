"""Finding what another replica lacks, page by page, within transactions of who calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
from sqlalchemy import Connection

from eliza_state.ids import decode_id
from eliza_state.journal.interning import Interning
from eliza_state.path import Path
from eliza_state.synchronizer.messages import ErasedIds, Summary, line
from eliza_state.synchronizer.rows import LOCAL, Row, Rows, is_erasure

_BATCH_LINES: Final = 500
_BATCH_BYTES: Final = 256_000
_STAMPS: Final = (
    "SELECT position, writer, sequence FROM replica_stamp"
    " WHERE position > ? AND sequence IS NOT NULL ORDER BY position LIMIT 500"
)
_POSITION_OF: Final = "SELECT position FROM replica_stamp WHERE writer = ? AND sequence = ?"
_ERASED: Final = (
    "SELECT version, coalesce(replica_stamp.key, record.key) FROM record JOIN replica_stamp USING (position)"
    " JOIN event_type ON event_type.id = record.event_type"
    " WHERE record.path = ? AND version > ? AND length(payload) = 0 AND NOT is_repeated AND name <> ?"
    " ORDER BY version LIMIT 500"
)


@attrs.define
class Sent:
    """What was given out so far: the records, the bytes of all lines, and the record that it ends before.

    `damaged` is the position of a record that is damaged; neither it nor what comes after it is given out.
    `touched` are the records' paths and events.
    """

    records: int = 0
    size_bytes: int = 0
    damaged: int | None = None
    touched: set[tuple[Path, str]] = attrs.Factory(set[tuple[Path, str]])


class Sending:
    """Go through the records that another replica lacks, in the order of their stamps."""

    def __init__(self, connection: Connection, interning: Interning, other: Summary, *, sent: Sent) -> None:
        self._connection = connection
        self._interning = interning
        self._rows = Rows(connection, interning)
        self._sent = sent
        writers = connection.exec_driver_sql("SELECT id, name FROM writer").all()
        clock = other.clock
        self._counts = {int(number): clock.count(str(name)) for number, name in writers}
        self._lines = self._all_lines()
        self._told: set[Path] = set()

    def batch(self) -> bytes:
        """Return the next lines; empty once there are none left."""
        lines: list[bytes] = []
        size_bytes = 0
        for text in self._lines:
            lines.append(text)
            size_bytes += len(text)
            if len(lines) >= _BATCH_LINES or size_bytes >= _BATCH_BYTES:
                break
        self._sent.size_bytes += size_bytes
        return b"".join(lines)

    def _first(self) -> int | None:
        """The position of the first record that is lacking."""
        found = (
            self._connection.exec_driver_sql(_POSITION_OF, (writer, count + 1)).scalar()
            for writer, count in self._counts.items()
        )
        return min((int(position) for position in found if position is not None), default=None)

    def _all_lines(self) -> Iterator[bytes]:
        first = self._first()
        position = 0 if first is None else first - 1
        while first is not None:
            page = self._connection.exec_driver_sql(_STAMPS, (position,)).all()
            for found, writer, sequence in page:
                if sequence > self._counts[writer]:
                    row = self._rows.at(found)
                    if not row.is_whole:
                        self._sent.damaged = found
                        return
                    yield from self._lines_of(row)
            if not page:
                return
            position = page[-1][0]

    def _lines_of(self, row: Row) -> Iterator[bytes]:
        record = row.record
        if is_erasure(record.event) and record.path not in self._told:
            self._told.add(record.path)
            yield from self._erased_ids(row)
        self._sent.records += 1
        self._sent.touched.add((record.path, record.event))
        yield row.entry.line()

    def _erased_ids(self, row: Row) -> Iterator[bytes]:
        version = 0
        while page := self._connection.exec_driver_sql(_ERASED, (row.path_id, version, LOCAL)).all():
            yield line(ErasedIds(row.record.path.encode(), [decode_id(key) for _, key in page]))
            version = page[-1][0]
