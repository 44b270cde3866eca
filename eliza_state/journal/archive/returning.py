"""Moving records back out of the archive.

The rows come back a few at a time, while the blocks are what counts; the last transaction names the blocks no
more. Wherever this is cut off, a record is read once, and it can be begun anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.journal.archive import rows
from eliza_state.journal.archive.archive import JournalArchive, Listed
from eliza_state.journal.archive.rows import BlockRow

_AT_ONCE: Final = 50
_ROW_BYTES: Final = 6_000
_INSERT: Final = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_INSERT_BELOW: Final = "INSERT INTO below VALUES (?, ?) ON CONFLICT DO NOTHING"


class Returning:
    """Move one scope back from an archive whose lock is held; `step` is to be called until it says so."""

    def __init__(self, archive: JournalArchive, listed: Listed) -> None:
        self._archive = archive
        self._listed = listed
        self._left = self._portions()
        self._blocks: set[int] = set()

    def _portions(self) -> Iterator[tuple[BlockRow, Sequence[Record]]]:
        for row in self._listed.blocks:
            records = self._archive.blocks.read(row, scope=self._listed.path.encode()).records
            for start in range(0, len(records), _AT_ONCE):
                yield row, records[start : start + _AT_ONCE]

    def load(self) -> None:
        """Read the first block, so that no transaction waits for that. Raises `DamagedBlock`."""
        self._archive.blocks.read(self._listed.blocks[0], scope=self._listed.path.encode())

    def step(self, *, for_s: float) -> bool:
        """Bring rows back, in one transaction of about so long; tell whether some are left.

        Raises `DamagedBlock` for a block that cannot be read; nothing of the scope has come back then that
        would count.
        """
        ends_at = time.monotonic() + for_s
        archive, size_bytes = self._archive, 0
        with archive.writing("restore from the archive") as connection:
            for row, records in self._left:
                if row.last_position not in self._blocks:
                    self._blocks.add(row.last_position)
                    rows.note_uncleared(connection, row)
                self._insert(connection, records)
                size_bytes += sum(len(record.content) + _ROW_BYTES for record in records)
                if time.monotonic() >= ends_at:
                    archive.database.wrote(size_bytes)
                    return True
            for row in self._listed.blocks:
                rows.delete(connection, row)
            rows.change(connection)
        archive.database.wrote(size_bytes)
        return False

    def _insert(self, connection: Connection, records: Sequence[Record]) -> None:
        interning = self._archive.interning
        found: list[tuple[object, ...]] = []
        below: list[tuple[int, int]] = []
        for record in records:
            path_id, above = interning.path(connection, record.path)
            kind = interning.event_type(connection, record.event, record.schema_version)
            writer = interning.writer(connection, record.writer)
            place = (record.position, path_id, record.version, kind, record.key, record.content)
            found.append((*place, record.recorded_at_us, writer, record.cause, record.checksum))
            below += [(scope, record.position) for scope in above]
        connection.exec_driver_sql(_INSERT, found)
        if below:
            connection.exec_driver_sql(_INSERT_BELOW, below)
