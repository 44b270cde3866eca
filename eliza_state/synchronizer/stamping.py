"""Giving the records that managers appended their stamps, within the transaction of who calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from eliza_state.synchronizer.rows import LOCAL
from eliza_state.synchronizer.stamps import next_counter

_PAGE: Final = 1_000
_LAST: Final = (
    "SELECT position, recorded_at_us, counter FROM replica_stamp JOIN record USING (position)"
    " ORDER BY position DESC LIMIT 1"
)
_UNSTAMPED: Final = (
    "SELECT position, recorded_at_us, writer, event_type FROM record"
    " WHERE position > ? ORDER BY position LIMIT ?"
)
_INSERT: Final = "INSERT INTO replica_stamp (position, counter, writer, sequence) VALUES (?, ?, ?, ?)"


class Stamping:
    """Go through the records without a stamp, in order.

    They stand behind all that have one: managers append. So their stamps are higher, whatever came in from
    elsewhere before them.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sequences: dict[int, int] = {}
        query = "SELECT id FROM event_type WHERE name = ?"
        self._local = set(connection.exec_driver_sql(query, (LOCAL,)).scalars())
        position, *last = connection.exec_driver_sql(_LAST).one_or_none() or (0,)
        self._position = int(position)
        self._last = (last[0], last[1]) if last else None

    def run(self) -> int:
        """Give all of them their stamps and return how many there were."""
        count = 0
        while page := self._connection.exec_driver_sql(_UNSTAMPED, (self._position, _PAGE)).all():
            rows = [self._stamp(row) for row in page]
            self._connection.connection.cursor().executemany(_INSERT, rows)
            count += len(rows)
        return count

    def _stamp(self, row: Sequence[Any]) -> tuple[int, int, int, int | None]:
        self._position, time_us, writer, event_type = row
        counter = next_counter(self._last, time_us)
        self._last = (time_us, counter)
        if event_type in self._local:
            return self._position, counter, writer, None
        sequence = self._sequences.get(writer)
        if sequence is None:
            sequence = last_sequence(self._connection, writer)
        self._sequences[writer] = sequence + 1
        return self._position, counter, writer, sequence + 1


def last_sequence(connection: Connection, writer: int) -> int:
    """Return how many records of a writer, by its integer, have a stamp."""
    query = "SELECT max(sequence) FROM replica_stamp WHERE writer = ?"
    return int(connection.exec_driver_sql(query, (writer,)).scalar() or 0)
