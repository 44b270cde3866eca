"""What an erasure does in the SQL journal's tables, within the transaction of who calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.journal import schema
from eliza_state.journal.contract import account_of
from eliza_state.path import Path

_BLANK = "UPDATE record SET payload = ?, checksum = ? WHERE position = ?"
# The checksum of a damaged record goes on telling that it is damaged.
_BLANK_DAMAGED = "UPDATE record SET payload = ? WHERE position = ?"
_NOTE = (
    "INSERT INTO erasure (scope, position, settled) VALUES (?, ?, 0)"
    " ON CONFLICT (scope) DO UPDATE SET position = excluded.position, settled = 0"
)
_SETTLE = "UPDATE erasure SET settled = 1 WHERE scope = ? AND position <= ?"


def blank(connection: Connection, records: Sequence[Record]) -> None:
    """Take the content out of records' rows."""
    whole = [(b"", each._replace(content=b"").checksum, each.position) for each in records if each.event]
    damaged = [(b"", each.position) for each in records if not each.event]
    if whole:
        connection.exec_driver_sql(_BLANK, whole)
    if damaged:
        connection.exec_driver_sql(_BLANK_DAMAGED, damaged)


def accounts(records: Iterable[Record], *, until: int) -> list[tuple[Path, bytes]]:
    """Return, for each path that records were addressed to, what the journal is to say of their erasure."""
    events: defaultdict[Path, list[str]] = defaultdict(list)
    for record in records:
        events[record.path].append(record.event)
    # Plain JSON: it holds nothing that the codec of a store has its own way with.
    return [(path, msgspec.json.encode(_told(names, until))) for path, names in events.items()]


def _told(events: Sequence[str], until: int) -> dict[str, Any]:
    told = account_of(events, until=until)
    return {"until": told.until, "count": told.count, "events": told.events}


def note(connection: Connection, own: Iterable[tuple[int, int]], above: Iterable[tuple[int, int]]) -> None:
    """Note of scopes, by integer, at which position an erasure at them, or below them, is told."""
    last: dict[int, int] = {}
    for scope, position in (*own, *above):
        last[scope] = max(position, last.get(scope, 0))
    if last:
        last[schema.ROOT_ID] = max(last.values())
        connection.exec_driver_sql(_NOTE, list(last.items()))


def last(connection: Connection, scope: int | None) -> int:
    """Return the position of the last erasure at or below a scope; 0 if there was none."""
    query = "SELECT position FROM erasure WHERE scope = ?"
    return int(connection.exec_driver_sql(query, (scope,)).scalar() or 0)


def unsettled(connection: Connection) -> list[tuple[int, int]]:
    """Return the scopes with an erasure that is not settled, and where it is told."""
    query = "SELECT scope, position FROM erasure WHERE settled = 0 ORDER BY scope"
    return [(int(scope), int(position)) for scope, position in connection.exec_driver_sql(query)]


def settle(connection: Connection, scope: int | None, position: int) -> None:
    """Note that the erasures of a scope up to a position are settled."""
    connection.exec_driver_sql(_SETTLE, (scope, position))
