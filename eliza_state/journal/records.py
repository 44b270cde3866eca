"""Records out of the rows of the SQL journal's tables."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.journal.contract import Restore, ScopeFacts, last_event_of, restore_of
from eliza_state.journal.databases.database import ROW, Row
from eliza_state.journal.interning import Interning
from eliza_state.journal.restoring import LAST as LAST_RESTORE
from eliza_state.path import Path

_DAMAGED: Final = ""

# Gaps and leaps in the versions come from damage; no version is higher than its record's position.
_NEWEST: Final = "FROM record WHERE path = ? AND version <= position ORDER BY version DESC LIMIT 1"
_NEWEST_VERSION: Final = f"SELECT version, position {_NEWEST}"  # constants only
_NEWEST_OWN: Final = f"SELECT {ROW} {_NEWEST}"
_OWN: Final = f"SELECT {ROW} FROM record WHERE path = ?"  # noqa: S608
_FIND_KEY: Final = f"{_OWN} AND key = ?"
_LAST_OWN: Final = f"{_OWN} AND version <= ? ORDER BY version DESC LIMIT 1"
_AT_POSITION: Final = f"SELECT {ROW} FROM record WHERE position = ?"  # noqa: S608
_TIME_AT: Final = "SELECT recorded_at_us FROM record WHERE position <= ? ORDER BY position DESC LIMIT 1"
_POSITION_OF: Final = "SELECT position FROM record WHERE path = ? AND version >= ? ORDER BY version LIMIT 1"
_HEAD: Final = "SELECT max(position) FROM record"


class Records:
    """Look records up over a connection, and give them back with their names."""

    def __init__(self, interning: Interning) -> None:
        self._interning = interning

    def record(self, connection: Connection, row: Row) -> Record:
        """Return the record of a row; one that is damaged has an empty event name."""
        position, key, path_id, version, kind, payload, recorded_at_us, writer, cause, checksum = row
        path = self._interning.path_of(connection, path_id)
        event, schema_version = self._interning.event_type_of(connection, kind)
        name = self._interning.writer_of(connection, writer)
        if type(cause) is bytes:
            cause = cause.decode(errors="replace")
        record = Record(
            position, key, path, version, event, schema_version, payload, recorded_at_us, name, cause
        )
        try:
            is_whole = record.checksum == checksum
        except (TypeError, struct.error):  # a damaged column may come back as another type
            is_whole = False
        return record if is_whole else record._replace(event=_DAMAGED)

    def head(self, connection: Connection) -> int:
        """Return the last position; 0 if there is no record."""
        return int(connection.exec_driver_sql(_HEAD).scalar() or 0)

    def at(self, connection: Connection, positions: Sequence[int]) -> list[Record]:
        """Return the records at these positions, as far as there are any."""
        rows = (connection.exec_driver_sql(_AT_POSITION, (position,)).one_or_none() for position in positions)
        return [self.record(connection, row) for row in rows if row is not None]

    def find(self, connection: Connection, path: Path, key: bytes) -> Record | None:
        """Return the record with an id addressed to exactly a path, or `None`."""
        path_id = self._interning.find_path(connection, path)
        if path_id is None:
            return None
        row = connection.exec_driver_sql(_FIND_KEY, (path_id, key)).one_or_none()
        return None if row is None else self.record(connection, row)

    def with_content(self, connection: Connection, positions: Sequence[int]) -> list[Record]:
        """Return those of the records at these positions that have content to lose."""
        query = f"{_AT_POSITION} AND length(payload) > 0"
        rows = (connection.exec_driver_sql(query, (position,)).one_or_none() for position in positions)
        return [self.record(connection, row) for row in rows if row is not None]

    def newest_version(self, connection: Connection, path_id: int) -> int:
        """Return the version of the last record addressed to a path; 0 if there is none."""
        newest, _ = self._newest(connection, path_id)
        return newest

    def version_at(self, connection: Connection, path_id: int, position: int) -> int:
        """Return the version of the last own record at or before a position: they ascend together."""
        newest, at = self._newest(connection, path_id) if position > 0 else (0, 0)
        return newest if at <= position else self._version_before(connection, path_id, newest, position)

    def own_at(self, connection: Connection, path_id: int, position: int) -> Record | None:
        """Return the last record addressed to a path at or before a position; `None` if there is none."""
        row = connection.exec_driver_sql(_NEWEST_OWN, (path_id,)).one_or_none()
        if row is None:
            return None
        if row.position <= position:
            return self.record(connection, row)
        version = self._version_before(connection, path_id, row.version, position)
        return self._last_own(connection, path_id, version)

    def _newest(self, connection: Connection, path_id: int) -> tuple[int, int]:
        """Return version and position of the last record addressed to a path; zeros if there is none."""
        version, position = connection.exec_driver_sql(_NEWEST_VERSION, (path_id,)).one_or_none() or (0, 0)
        return int(version), int(position)

    def _version_before(self, connection: Connection, path_id: int, newest: int, position: int) -> int:
        """Return the version of the last own record at or before a position, which the newest comes after."""

        def position_of(version: int) -> int:
            return int(connection.exec_driver_sql(_POSITION_OF, (path_id, version)).scalar_one())

        return bisect_right(range(1, newest), position, key=position_of)

    def facts(self, connection: Connection, path: Path, *, until: int) -> ScopeFacts:
        """Return what is known of a scope at a position; see `Journal.facts`."""
        path_id = self._interning.find_path(connection, path)
        if path_id is None:
            return ScopeFacts()
        own = self.own_at(connection, path_id, until)
        below = "position FROM below WHERE scope" if path.steps else "position FROM record WHERE 1"
        query = f"SELECT {below} = ? AND position <= ? ORDER BY position DESC LIMIT 1"
        owner = path_id if path.steps else 1
        last = connection.exec_driver_sql(query, (owner, until)).scalar() or 0
        last = max(last, own.position if own is not None else 0)
        if own is not None and own.position == last:
            at_us = own.recorded_at_us
        else:
            at_us = self.time_at(connection, last)
        newest_first = self._own_newest_first(connection, path_id, own)
        last_event = last_event_of(newest_first, partial(self.find, connection))
        return ScopeFacts(0 if own is None else own.version, last, at_us, last_event)

    def _own_newest_first(
        self, connection: Connection, path_id: int, record: Record | None
    ) -> Iterator[Record]:
        """Yield a record addressed to a path, and those addressed to it before."""
        while record is not None:
            yield record
            record = self._last_own(connection, path_id, record.version - 1)

    def _last_own(self, connection: Connection, path_id: int, version: int) -> Record | None:
        """Return the last record addressed to a path up to a version."""
        if not version:
            return None
        row = connection.exec_driver_sql(_LAST_OWN, (path_id, version)).one_or_none()
        return None if row is None else self.record(connection, row)

    def restored_at(self, connection: Connection, path: Path, *, until: int) -> Restore | None:
        """Return the last restore of exactly this scope up to a position; `None` if there was none."""
        path_id = self._interning.find_path(connection, path)
        while path_id is not None:
            position = connection.exec_driver_sql(LAST_RESTORE, (path_id, until)).scalar()
            if position is None:
                return None
            (record,) = self.at(connection, [position])
            restored = restore_of(record, partial(self.find, connection))
            if restored is not None:
                return restored
            until = position - 1
        return None

    def time_at(self, connection: Connection, position: int) -> int:
        """Return when the last record up to a position was recorded; 0 if there is none."""
        return int(connection.exec_driver_sql(_TIME_AT, (position,)).scalar() or 0)

    def position_at(self, connection: Connection, at_us: int) -> int:
        """Return the last position recorded at or before a time; 0 if there is none."""
        head = self.head(connection)
        return bisect_right(range(1, head + 1), at_us, key=partial(self.time_at, connection))
