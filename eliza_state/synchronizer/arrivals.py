"""Records that have come and wait to be merged, within the transaction of who calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

from eliza_state.path import Path
from eliza_state.synchronizer.messages import Entry, decoded_path
from eliza_state.synchronizer.rows import PAGE, run
from eliza_state.synchronizer.stamps import Stamp

_COLUMNS: Final = (
    "time_us, counter, writer, sequence, path, key, event, schema_version, payload, cause, is_repeated"
)
_INSERT: Final = f"INSERT INTO replica_arrival ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_SELECT: Final = f"SELECT {_COLUMNS} FROM replica_arrival"  # noqa: S608  # constants only
_ORDER: Final = ("time_us", "counter", "writer", "sequence")
_BELOW: Final = f"{_SELECT} WHERE ({', '.join(_ORDER)}) < (?, ?, ?, ?)"
_DOWNWARDS: Final = f"{_BELOW} ORDER BY {', '.join(f'{column} DESC' for column in _ORDER)} LIMIT {PAGE}"
_BEYOND_ALL: Final = Stamp(2**63 - 1, 2**63 - 1, "\U0010ffff", 2**63 - 1)


def add(connection: Connection, entry: Entry) -> None:
    """Keep a record to be merged."""
    told = (entry.path.encode(), entry.key, entry.event, entry.schema_version, entry.content, entry.cause)
    run(connection, _INSERT, (*entry.stamp, *told, int(entry.is_repeated)))


def add_erased(connection: Connection, path: Path, key: bytes) -> None:
    """Keep an id whose record lost its content elsewhere."""
    query = "INSERT OR IGNORE INTO replica_erased VALUES (?, ?)"
    connection.exec_driver_sql(query, (path.encode(), key))


def erased_ids(connection: Connection) -> Iterator[tuple[Path, bytes]]:
    """Yield the ids whose records lost their content elsewhere."""
    for path, key in connection.exec_driver_sql("SELECT path, key FROM replica_erased").all():
        yield decoded_path(path), key


def forget_erased(connection: Connection, path: Path, key: bytes) -> None:
    """Forget such an id: the journal's record of it tells."""
    query = "DELETE FROM replica_erased WHERE path = ? AND key = ?"
    connection.exec_driver_sql(query, (path.encode(), key))


def first(connection: Connection) -> Stamp | None:
    """Return the lowest stamp of those that wait."""
    query = f"SELECT {', '.join(_ORDER)} FROM replica_arrival ORDER BY {', '.join(_ORDER)} LIMIT 1"  # noqa: S608
    found = connection.exec_driver_sql(query).one_or_none()
    return None if found is None else Stamp(*found)


def last_sequence(connection: Connection, writer: str) -> int:
    """Return the number of the last record of a writer that waits; 0 if none does."""
    query = "SELECT max(sequence) FROM replica_arrival WHERE writer = ?"
    return int(connection.exec_driver_sql(query, (writer,)).scalar() or 0)


def writers(connection: Connection) -> list[str]:
    """Return the writers of which records wait."""
    return list(connection.exec_driver_sql("SELECT DISTINCT writer FROM replica_arrival").scalars())


def numbered(connection: Connection, writer: str, sequence: int) -> Entry | None:
    """Return the record of a writer that has a number, if it waits."""
    found = connection.exec_driver_sql(
        f"{_SELECT} WHERE writer = ? AND sequence = ?", (writer, sequence)
    ).one_or_none()
    return None if found is None else _entry(found)


def counts(connection: Connection) -> dict[str, int]:
    """Return how many wait for each path, by its text."""
    query = "SELECT path, count(*) FROM replica_arrival GROUP BY path"
    return {str(path): int(count) for path, count in connection.exec_driver_sql(query)}


def downwards(connection: Connection) -> Iterator[Entry]:
    """Yield those that wait, the highest stamp first; a page a query."""
    last = _BEYOND_ALL
    while page := run(connection, _DOWNWARDS, last).fetchall():
        for found in page:
            entry = _entry(found)
            yield entry
            last = entry.stamp


def clear(connection: Connection) -> None:
    """Forget those that wait."""
    connection.exec_driver_sql("DELETE FROM replica_arrival")


def _entry(found: Any) -> Entry:
    time_us, counter, writer, sequence, path, key, event, schema_version, payload, cause, is_repeated = found
    stamp = Stamp(time_us, counter, writer, sequence)
    told = (event, schema_version, payload, cause, bool(is_repeated))
    return Entry(stamp, decoded_path(path), key, *told)
