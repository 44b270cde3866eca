"""Taking followers back to where late arrivals begin, within the transaction of who calls."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.codec import encode
from eliza_state.followers.positions import FollowerAdvanced
from eliza_state.journal import schema
from eliza_state.journal.interning import Interning
from eliza_state.path import Path
from eliza_state.synchronizer.rows import LOCAL

_STEPS: Final = (
    "SELECT payload FROM record JOIN event_type ON event_type.id = record.event_type"
    " WHERE path = ? AND name = ? ORDER BY version"
)
_LAST: Final = "SELECT position, recorded_at_us FROM record ORDER BY position DESC LIMIT 1"


def take_back_followers(
    connection: Connection, interning: Interning, *, place: int, writer: str, now_us: int
) -> tuple[str, ...]:
    """Have followers that stand past a position go on from there, and return their names.

    They hear what has come, and again what they have heard since. What they derive has the ids that it had,
    so that it is there once.
    """
    ahead = {name: position for name, position in _positions(connection).items() if position > place}
    for name, position in ahead.items():
        step = FollowerAdvanced(name=name, after=position, position=place)
        _append(connection, interning, encode(step), writer=writer, now_us=now_us)
    return tuple(sorted(ahead))


def _positions(connection: Connection) -> Mapping[str, int]:
    """Where each follower stands, as `FollowersModule` would fold it."""
    found: dict[str, int] = {}
    for step in _steps(connection):
        if found.get(step["name"]) == step["after"]:
            found[step["name"]] = step["position"]
    return found


def _steps(connection: Connection) -> Iterator[dict[str, Any]]:
    for payload in connection.exec_driver_sql(_STEPS, (schema.ROOT_ID, LOCAL)).scalars():
        try:
            yield msgspec.json.decode(payload, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue  # damaged: the fold leaves it out as well


def _append(
    connection: Connection, interning: Interning, payload: bytes, *, writer: str, now_us: int
) -> None:
    position, last_us = connection.exec_driver_sql(_LAST).one()
    query = "SELECT max(version) FROM record WHERE path = ?"
    version = (connection.exec_driver_sql(query, (schema.ROOT_ID,)).scalar() or 0) + 1
    kind = interning.event_type(connection, LOCAL, 1)
    record = Record(
        position + 1, uuid.uuid4().bytes, Path(), version, LOCAL, 1, payload, max(last_us, now_us), writer
    )
    place = (record.position, schema.ROOT_ID, version, kind, record.key, payload, record.recorded_at_us)
    row = (*place, interning.writer(connection, writer), None, record.checksum)
    connection.exec_driver_sql("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
