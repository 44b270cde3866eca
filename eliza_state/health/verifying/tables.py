"""The tables of a journal that follow from its records: what they hold, and what they ought to hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

from eliza_state.event import ERASURE, RESTORE
from eliza_state.journal.schema import ROOT_ID

Row = tuple[int, int]

# Each path with the scopes between it and the root. UNION, as damaged parents may lead in circles.
_ABOVE: Final = f"""
WITH RECURSIVE above (path, scope) AS (
    SELECT id, parent FROM path WHERE parent NOT IN (0, {ROOT_ID})
    UNION
    SELECT above.path, path.parent FROM above JOIN path ON path.id = above.scope
    WHERE path.parent NOT IN (0, {ROOT_ID})
)
"""  # noqa: S608  # constants only
_EXPECTED: Final = "SELECT above.scope, record.position FROM record JOIN above ON above.path = record.path"
_STORED: Final = "SELECT scope, position FROM below"
_MISSING: Final = f"{_ABOVE} {_EXPECTED} EXCEPT {_STORED}"
_EXTRA: Final = f"{_ABOVE} {_STORED} EXCEPT {_EXPECTED}"
_OF_EVENT: Final = (
    "SELECT record.path, record.position FROM record JOIN event_type ON event_type.id = record.event_type"
    " WHERE event_type.name = ? ORDER BY record.position"
)


def head(connection: Connection) -> int:
    """Return the last position of the records; 0 if there are none."""
    return int(connection.exec_driver_sql("SELECT max(position) FROM record").scalar() or 0)


def missing_below(connection: Connection) -> Iterator[Row]:
    """Yield scope and position of the rows that `below` lacks."""
    return _rows(connection, _MISSING)


def extra_below(connection: Connection) -> Iterator[Row]:
    """Yield scope and position of the rows of `below` that stand for no record below that scope."""
    return _rows(connection, _EXTRA)


def expected_erasures(connection: Connection) -> dict[int, int]:
    """Return for each scope with an erasure at it or below it where the last one is told."""
    parents: dict[Any, Any] = dict(_rows(connection, "SELECT id, parent FROM path"))
    last: dict[int, int] = {}
    for path, position in _rows(connection, _OF_EVENT, ERASURE):
        scope: Any = path
        passed: set[Any] = set()
        while scope and scope not in passed:
            passed.add(scope)
            last[scope] = position
            scope = parents.get(scope)
    return last


def is_marked(found: Any, position: int, *, head: int) -> bool:
    """Tell whether the table has an erasure where it is told, or later: merging replicas moves it up."""
    return isinstance(found, int) and position <= found <= head


def stored_erasures(connection: Connection) -> dict[Any, tuple[Any, Any]]:
    """Return what the table says: by scope the position and whether that is settled."""
    rows = connection.exec_driver_sql("SELECT scope, position, settled FROM erasure")
    return {scope: (position, settled) for scope, position, settled in rows}


def expected_restores(connection: Connection) -> set[Row]:
    """Return scope and position of the records that restore a scope."""
    return set(_rows(connection, _OF_EVENT, RESTORE))


def stored_restores(connection: Connection) -> set[Row]:
    """Return what the table says."""
    return set(_rows(connection, "SELECT scope, position FROM restore"))


def may_be_archived(connection: Connection, position: Any) -> bool:
    """Tell whether a record that the table lacks may be in the archive, whose blocks tell what it says."""
    query = (
        "SELECT 1 FROM archive_block WHERE first_position <= ? AND last_position >= ?"
        " AND NOT EXISTS (SELECT 1 FROM record WHERE position = ?) LIMIT 1"
    )
    return connection.exec_driver_sql(query, (position, position, position)).scalar() is not None


def _rows(connection: Connection, query: str, *given: Any) -> Iterator[Row]:
    for row in connection.exec_driver_sql(query, given):
        yield row[0], row[1]
