"""What the journal's tables say of the archive; every function works in the transaction of who calls.

The generation counts how often what lies in the archive has changed: who has seen it twice the same knows
that nothing has moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

_COLUMNS: Final = (
    "archive_block.last_position, first_position, path, records, version, last_event,"
    " first_at_us, last_at_us, segment, start, size_bytes, checksum"
)
_ALL: Final = f"SELECT {_COLUMNS} FROM archive_block"  # noqa: S608  # constants only
_BELOW: Final = (
    "JOIN archive_below ON archive_below.last_position = archive_block.last_position"
    " WHERE archive_below.scope = ? AND archive_below.last_position > ? AND first_position <= ?"
)
_WITHIN: Final = "WHERE last_position > ? AND first_position <= ?"
_GENERATION: Final = "SELECT value FROM meta WHERE name = 'archive'"
_INSERT: Final = "INSERT INTO archive_block VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_INSERT_BELOW: Final = "INSERT INTO archive_below VALUES (?, ?)"
_MOVE: Final = (
    "UPDATE archive_block SET segment = ?, start = ?, size_bytes = ?, checksum = ? WHERE last_position = ?"
)


class BlockRow(NamedTuple):
    """A block as the journal names it; `path` is the integer of its scope.

    `version`, `last_event` and `last_at_us` are those of the scope at the block's end.
    """

    last_position: int
    first_position: int
    path: int
    records: int
    version: int
    last_event: str
    first_at_us: int
    last_at_us: int
    segment: str
    start: int
    size_bytes: int
    checksum: bytes


def generation(connection: Connection) -> int:
    """Return how often the archive has changed; 0 for one that never held anything."""
    return int(connection.exec_driver_sql(_GENERATION).scalar() or 0)


def is_any(connection: Connection) -> bool:
    """Tell whether anything is in the archive."""
    return connection.exec_driver_sql("SELECT 1 FROM archive_block LIMIT 1").scalar() is not None


def change(connection: Connection) -> None:
    """Count a change of the archive."""
    before = generation(connection)
    if before:
        connection.exec_driver_sql("UPDATE meta SET value = ? WHERE name = 'archive'", (str(before + 1),))
    else:
        connection.exec_driver_sql("INSERT INTO meta (name, value) VALUES ('archive', '1')")


def of_scopes(connection: Connection, scopes: Iterable[int]) -> list[BlockRow]:
    """Return the blocks of exactly these scopes, in the order of their positions."""
    numbers = ", ".join(str(int(scope)) for scope in scopes)
    return _rows(connection, f"{_ALL} WHERE path IN ({numbers}) ORDER BY last_position", ())


def below(connection: Connection, scope: int, *, after: int, until: int) -> list[BlockRow]:
    """Return the blocks of scopes below a scope that reach into `after < position <= until`."""
    order = "ORDER BY archive_block.last_position"
    return _rows(connection, f"{_ALL} {_BELOW} {order}", (scope, after, until))


def within(connection: Connection, *, after: int, until: int) -> list[BlockRow]:
    """Return all blocks that reach into `after < position <= until`."""
    return _rows(connection, f"{_ALL} {_WITHIN} ORDER BY last_position", (after, until))


def last_below(connection: Connection, scope: int, *, until: int) -> tuple[int, int]:
    """Return position and time of the last block below a scope that ends by a position; zeros if none."""
    query = (
        "SELECT archive_block.last_position, last_at_us FROM archive_below"
        " JOIN archive_block ON archive_block.last_position = archive_below.last_position"
        " WHERE archive_below.scope = ? AND archive_below.last_position <= ?"
        " ORDER BY archive_below.last_position DESC LIMIT 1"
    )
    return _place(connection, query, (scope, until))


def last_within(connection: Connection, *, until: int) -> tuple[int, int]:
    """Return position and time of the last block that ends by a position; zeros if none does."""
    query = (
        "SELECT last_position, last_at_us FROM archive_block WHERE last_position <= ?"
        " ORDER BY last_position DESC LIMIT 1"
    )
    return _place(connection, query, (until,))


def count_below(connection: Connection, scope: int, *, after: int, until: int) -> int:
    """Return how many records the blocks of scopes below a scope have that reach into a range."""
    query = f"SELECT sum(records) FROM archive_block {_BELOW}"  # noqa: S608  # constants only
    return int(connection.exec_driver_sql(query, (scope, after, until)).scalar() or 0)


def count_within(connection: Connection, *, after: int, until: int) -> int:
    """Return how many records all blocks have that reach into a range."""
    query = f"SELECT sum(records) FROM archive_block {_WITHIN}"  # noqa: S608  # constants only
    return int(connection.exec_driver_sql(query, (after, until)).scalar() or 0)


def in_order(connection: Connection, *, after: int, limit: int) -> list[BlockRow]:
    """Return a page of all blocks whose last position comes after a position."""
    query = f"{_ALL} WHERE last_position > ? ORDER BY last_position LIMIT ?"
    return _rows(connection, query, (after, limit))


def ids(connection: Connection, row: BlockRow) -> bytes:
    """Return what tells which ids are not in a block."""
    query = "SELECT ids FROM archive_block WHERE last_position = ?"
    return bytes(connection.exec_driver_sql(query, (row.last_position,)).scalar_one())


def held(connection: Connection, scopes: Iterable[int]) -> set[int]:
    """Return those of the scopes that are in the archive."""
    numbers = ", ".join(str(int(scope)) for scope in scopes)
    query = f"SELECT DISTINCT path FROM archive_block WHERE path IN ({numbers})"  # noqa: S608  # integers
    return {int(scope) for scope in connection.exec_driver_sql(query).scalars()}


def uncleared(connection: Connection) -> list[BlockRow]:
    """Return the blocks of which the table of records still has rows, or may have some."""
    return _rows(connection, f"{_ALL} WHERE is_cleared = 0 ORDER BY last_position", ())


def segments(connection: Connection) -> dict[str, int]:
    """Return the segments that blocks are in, and how many bytes the blocks have there."""
    query = "SELECT segment, sum(size_bytes) FROM archive_block GROUP BY segment"
    return {str(name): int(size) for name, size in connection.exec_driver_sql(query)}


def in_segment(connection: Connection, segment: str) -> list[BlockRow]:
    """Return the blocks in a segment, in the order in which they lie there."""
    return _rows(connection, f"{_ALL} WHERE segment = ? ORDER BY start", (segment,))


def insert(connection: Connection, row: BlockRow, ids: bytes, *, above: Sequence[int]) -> None:
    """Name a block; `above` are the scopes between its own and the root."""
    connection.exec_driver_sql(_INSERT, (*row, ids))
    if above:
        connection.exec_driver_sql(_INSERT_BELOW, [(scope, row.last_position) for scope in above])


def move(connection: Connection, row: BlockRow) -> None:
    """Say where a block lies now."""
    connection.exec_driver_sql(
        _MOVE, (row.segment, row.start, row.size_bytes, row.checksum, row.last_position)
    )


def note_cleared(connection: Connection, row: BlockRow) -> None:
    """Note that the table of records has no row of a block any more."""
    query = "UPDATE archive_block SET is_cleared = 1 WHERE last_position = ?"
    connection.exec_driver_sql(query, (row.last_position,))


def note_uncleared(connection: Connection, row: BlockRow) -> None:
    """Note that the table of records may have rows of a block."""
    query = "UPDATE archive_block SET is_cleared = 0 WHERE last_position = ?"
    connection.exec_driver_sql(query, (row.last_position,))


def delete(connection: Connection, row: BlockRow) -> None:
    """Name a block no more."""
    for table in ("archive_below", "archive_block"):
        query = f"DELETE FROM {table} WHERE last_position = ?"  # noqa: S608  # constants only
        connection.exec_driver_sql(query, (row.last_position,))


def _place(connection: Connection, query: str, values: tuple[Any, ...]) -> tuple[int, int]:
    position, at_us = connection.exec_driver_sql(query, values).one_or_none() or (0, 0)
    return int(position), int(at_us)


def _rows(connection: Connection, query: str, values: tuple[Any, ...]) -> list[BlockRow]:
    found = connection.exec_driver_sql(query, values).all()
    return [BlockRow._make((*row[:-1], bytes(row[-1]))) for row in found]
