"""What came of moving scopes into the archive and back, and what lies in it."""

from __future__ import annotations

import datetime

import attrs

from eliza_state.errors import StateError
from eliza_state.path import Path


@attrs.frozen
class Refused:
    """A scope that was left where it was, and why: `ArchiveBlocked`, or what went wrong with it alone."""

    path: Path
    error: StateError


@attrs.frozen(kw_only=True)
class Archived:
    """What a pass moved into the archive.

    `paths` are the scopes that were named and moved, each with all below it; one that was in the archive
    already is not among them. `scopes` counts them together with those below them that had records,
    `records` what was moved. `bytes_before` is what those records held in the database (payloads and ids,
    without what rows and indexes add), `bytes_after` what they and the final states take in segment files.
    `refused` are the scopes that were left, where these were to be told and not raised.
    """

    paths: tuple[Path, ...] = ()
    records: int = 0
    scopes: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    refused: tuple[Refused, ...] = ()


@attrs.frozen(kw_only=True)
class Restored:
    """What was moved back: the scopes, and how many records they and those below them have."""

    paths: tuple[Path, ...] = ()
    records: int = 0


@attrs.frozen(kw_only=True)
class ArchivedScope:
    """A scope in the archive, with all below it.

    `records` counts those at and below it that lie in segment files, `first_position` and `last_position`
    are the first and the last of them, taken last at `last_activity` (UTC). `version` is the scope's own,
    `last_event` the name of the event last addressed to it (empty: none). `size_bytes` is what it takes in
    the files named in `segments`.
    """

    path: Path
    records: int
    first_position: int
    last_position: int
    version: int
    last_event: str
    last_activity: datetime.datetime
    size_bytes: int
    segments: tuple[str, ...]
