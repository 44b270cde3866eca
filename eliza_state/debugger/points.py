"""From a position, a version, an id or a time to the position that it names."""

from __future__ import annotations

import datetime
import difflib
from bisect import bisect_left
from functools import partial
from typing import Final

from eliza_state.debugger.errors import NoSuchPoint
from eliza_state.debugger.looking import Looking
from eliza_state.errors import StateError
from eliza_state.ids import encode_id
from eliza_state.journal.contract import Journal
from eliza_state.path import Path

_COMPARED: Final = 1_000
"""How many of a scope's newest ids a mistyped one is compared with."""


async def position_of(
    looking: Looking,
    path: Path,
    *,
    position: int | None = None,
    version: int | None = None,
    event_id: str | None = None,
    time: datetime.datetime | None = None,
) -> int:
    """Return the position that the one given of these names, of versions and ids those of `path`.

    Raises `NoSuchPoint` naming what lies nearest, `StateError` unless exactly one of them is given, or for a
    time without a zone.
    """
    given = [found for found in (position, version, event_id, time) if found is not None]
    if len(given) != 1:
        raise StateError("name one point: a position, or a version, an event_id or a time")
    last = await looking.last()
    journal = looking.manager.journal
    if version is not None:
        return await looking.run(partial(_of_version, journal, path, version, last=last))
    if event_id is not None:
        return await looking.run(partial(_of_id, journal, path, event_id, last=last))
    if time is not None:
        return min(await looking.manager.position_at(time), last)
    assert position is not None
    return checked(position, last)


def checked(position: int, last: int) -> int:
    """Return a position from 0 to the last one; `NoSuchPoint` for any other."""
    if not 0 <= position <= last:
        nearest = 0 if position < 0 else last
        raise NoSuchPoint(f"positions go from 0 to {last}, got {position}", nearest=[nearest])
    return position


def _of_version(journal: Journal, path: Path, version: int, *, last: int) -> int:
    newest = journal.facts(path, until=last).version
    if not 0 <= version <= newest:
        nearest = 0 if version < 0 else newest
        raise NoSuchPoint(f"{_named(path)} has versions from 0 to {newest}, got {version}", nearest=[nearest])
    if version == 0:
        return 0
    return bisect_left(
        range(last + 1), version, key=lambda position: journal.facts(path, until=position).version
    )


def _of_id(journal: Journal, path: Path, event_id: str, *, last: int) -> int:
    found = journal.find(path, encode_id(event_id))
    if found is not None and found.position <= last:
        return found.position
    newest = journal.read(path, until=last, newest_first=True, limit=_COMPARED)
    known = [record.id for record in newest if record.path == path]
    nearest = difflib.get_close_matches(event_id, known, n=3) or known[:1]
    raise NoSuchPoint(f"{_named(path)} has no record of the id {event_id!r}", nearest=nearest)


def _named(path: Path) -> str:
    return repr(path.encode()) if path.steps else "the root"
