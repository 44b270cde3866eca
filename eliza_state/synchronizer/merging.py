"""Putting what has come among the records of a journal, in the order of the stamps.

Both are in that order already, so they are merged from their ends, in place: each record that moves goes up
by as many positions as there are arrivals still to be placed below it, and where none is left, nothing below
changes. Two properties follow that others rely on. A record whose predecessors changed has another position,
so that a snapshot, which names the record at its position, is of use exactly if it is from before the first
arrival. And the outcome depends on the set of records alone, not on when which came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Final

import attrs
import msgspec
from sqlalchemy import Connection

from eliza_state.debugger.masking import masked
from eliza_state.journal import erasing
from eliza_state.journal.interning import Interning
from eliza_state.path import Path
from eliza_state.synchronizer import arrivals
from eliza_state.synchronizer.following import take_back_followers
from eliza_state.synchronizer.messages import Entry
from eliza_state.synchronizer.rows import Row, Rows, is_erasure, other_id
from eliza_state.synchronizer.stamps import Stamp

MOST_REPORTED: Final = 100

_MOVE_MARKS: Final = "UPDATE erasure SET position = position + ? WHERE position > ?"


@attrs.frozen
class SameId:
    """Different records that came to one path with one id: all of them count.

    The first keeps the id here, each of the `others` has one of its own. `writers` are all of theirs, in the
    records' order.
    """

    path: str
    id: str
    others: tuple[str, ...]
    writers: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Merged:
    """What a merge did to a journal.

    `records` were put in, so that `moved` ones have another position; what stood up to `place` is as it was,
    and `position` is the last one now. `erased` records lost their content because it was erased elsewhere,
    `repeated` ones because another with their id has the same. `same_ids` are the first hundred ids that
    different records came with. `followers` go on from `place`. `remains` says what still holds what was
    erased.
    """

    records: int = 0
    moved: int = 0
    place: int = 0
    position: int = 0
    erased: int = 0
    repeated: int = 0
    same_ids: tuple[SameId, ...] = ()
    followers: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()


class Merging:
    """One merge, in one transaction."""

    def __init__(self, connection: Connection, interning: Interning, *, writer: str, now_us: int) -> None:
        self._connection = connection
        self._interning = interning
        self._rows = Rows(connection, interning)
        self._writer = writer
        self._now_us = now_us
        self._shared: dict[tuple[int, bytes], Path] = {}
        self._lost: set[Path] = set()
        self._erased = self._repeated = 0
        self._same_ids: list[SameId] = []

    def run(self) -> Merged:
        """Merge what waits, and return what that did."""
        head = self._head()
        first = arrivals.first(self._connection)
        place = head if first is None else self._place(first, head)
        records = self._place_all(place, head)
        arrivals.clear(self._connection)
        self._erase_ids()
        for (path_id, key), path in self._shared.items():
            self._settle(path_id, key, path)
        followers: tuple[str, ...] = ()
        if records and place < head:
            followers = take_back_followers(
                self._connection, self._interning, place=place, writer=self._writer, now_us=self._now_us
            )
        position = self._head()
        self._connection.exec_driver_sql(_MOVE_MARKS, (records, place))
        self._note_erasures(position)
        return Merged(
            records=records,
            moved=head - place if records else 0,
            place=place,
            position=position,
            erased=self._erased,
            repeated=self._repeated,
            same_ids=tuple(self._same_ids),
            followers=followers,
        )

    def _head(self) -> int:
        query = "SELECT max(position) FROM record"
        return int(self._connection.exec_driver_sql(query).scalar() or 0)

    def _place(self, first: Stamp, head: int) -> int:
        """The last position whose record has a lower stamp: stamps ascend with positions."""
        return bisect_left(range(1, head + 1), first, key=lambda position: self._rows.at(position).stamp)

    # Positions and versions

    def _place_all(self, place: int, head: int) -> int:
        waiting = Counter(arrivals.counts(self._connection))
        total = left = waiting.total()
        versions = self._newest_versions(waiting)
        stored = self._rows.downwards(place + 1, head)
        row = next(stored, None)
        for entry in arrivals.downwards(self._connection):
            while row is not None and row.stamp > entry.stamp:
                self._lift(row, by=left, waiting=waiting, versions=versions)
                row = next(stored, None)
            position = place + left if row is None else row.record.position + left
            path = entry.path.encode()
            self._put(entry, position=position, version=versions[path] + waiting[path])
            waiting[path] -= 1
            left -= 1
        return total

    def _newest_versions(self, paths: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in paths:
            path_id, _ = self._interning.path(self._connection, Path.decode(path))
            query = "SELECT max(version) FROM record WHERE path = ?"
            found[path] = int(self._connection.exec_driver_sql(query, (path_id,)).scalar() or 0)
        return found

    def _lift(self, row: Row, *, by: int, waiting: Counter[str], versions: dict[str, int]) -> None:
        """Move a record up, past the arrivals that come below it."""
        record, path = row.record, row.record.path.encode()
        self._rows.move(row, position=record.position + by, version=record.version + waiting[path])
        if row.is_whole and path in versions:
            versions[path] = record.version - 1

    def _put(self, entry: Entry, *, position: int, version: int) -> None:
        path_id, _ = self._interning.path(self._connection, entry.path)
        key = entry.key
        if self._rows.is_taken(path_id, key):
            key = other_id(entry.stamp)
            self._shared[path_id, entry.key] = entry.path
        self._rows.insert(entry, key=key, position=position, version=version)
        if is_erasure(entry.event):
            self._lost.add(entry.path)

    # Ids

    def _erase_ids(self) -> None:
        for path, key in arrivals.erased_ids(self._connection):
            if path not in self._lost:
                continue  # what tells of it was held up, and brings the ids again
            path_id, _ = self._interning.path(self._connection, path)
            found = self._rows.of_id(path_id, key)
            for row in found:
                self._blank(row, key=row.record.key)
            if found:
                arrivals.forget_erased(self._connection, path, key)

    def _settle(self, path_id: int, key: bytes, path: Path) -> None:
        """Have the first of the records with one id keep it, and each content there once."""
        found = self._rows.of_id(path_id, key)
        is_erased = any(not row.record.content and not row.is_repeated for row in found)
        seen: set[bytes] = set()
        kept: list[Row] = []
        for row in reversed(found):  # the first one's new id is free once the others have theirs
            self._rename(row, key if row is found[0] else other_id(row.stamp))
        for row in self._rows.of_id(path_id, key):
            content = _comparable(row)
            if is_erased:
                self._blank(row, key=row.record.key)
            elif content in seen and not row.is_repeated:
                self._repeated += 1
                self._rows.renew(row, key=row.record.key, content=b"", is_repeated=True)
            elif not row.is_repeated:
                kept.append(row)
            seen.add(content)
        if len(kept) > 1 and len(self._same_ids) < MOST_REPORTED:
            self._same_ids.append(_same_id(path, kept))

    def _rename(self, row: Row, key: bytes) -> None:
        if row.record.key != key:
            self._rows.renew(row, key=key, content=row.record.content, is_repeated=row.is_repeated)

    def _blank(self, row: Row, *, key: bytes) -> None:
        if row.record.content or row.is_repeated:
            self._erased += bool(row.record.content)
            self._lost.add(row.record.path)
            self._rows.renew(row, key=key, content=b"", is_repeated=False)

    # Erasures

    def _note_erasures(self, position: int) -> None:
        """Have snapshots that may hold what was erased removed: all from before this merge.

        Other erasures' marks move up with their records, as far as any does: too far costs a snapshot.
        """
        own: list[tuple[int, int]] = []
        above: list[tuple[int, int]] = []
        for path in self._lost:
            path_id, scopes = self._interning.path(self._connection, path)
            own.append((path_id, position))
            above += [(scope, position) for scope in scopes]
        erasing.note(self._connection, own, above)


def _comparable(row: Row) -> bytes:
    """What makes two records with one id the same: the event and its payload; secrets may be sealed anew."""
    record = row.record
    try:
        content = msgspec.json.encode(msgspec.json.decode(masked(record.content)[0]), order="sorted")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        content = record.content
    return b"\0".join([record.event.encode(), str(record.schema_version).encode(), content])


def _same_id(path: Path, kept: list[Row]) -> SameId:
    first = kept[0].record
    others = tuple(row.record.id for row in kept[1:])
    return SameId(path.encode(), first.id, others, tuple(row.record.writer for row in kept))
