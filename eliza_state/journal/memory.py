"""The journal in memory: for tests, for trying things out, and for state that need not survive."""

from __future__ import annotations

import itertools
import uuid
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from eliza_state.change import Record
from eliza_state.clock import now_us
from eliza_state.event import ERASURE, EventType
from eliza_state.ids import UuidFactory
from eliza_state.journal.contract import (
    Appended,
    Draft,
    Erasure,
    Journal,
    Restore,
    ScopeFacts,
    Wiped,
    account_of,
    last_event_of,
    restore_of,
)
from eliza_state.path import Path

_new = tuple.__new__


class MemoryJournal(Journal):
    """Keep all records in a list; nothing is written anywhere, nothing is ever dropped.

    `clock` gives microseconds since 1970.
    """

    durable = False

    def __init__(self, *, writer: str, clock: Callable[[], int] = now_us) -> None:
        self.epoch = str(uuid.uuid4())
        self.writer = writer
        self.clock = clock
        self._records: list[Record] = []
        self._recorded_at_us = 0
        self._next_id = UuidFactory().__call__
        # The indexes follow the records when somebody reads, so that appending stays one list append.
        self._indexed = 0
        self._positions: defaultdict[Path, list[int]] = defaultdict(list)
        self._children: defaultdict[Path, dict[Path, None]] = defaultdict(dict)
        self._keys: dict[tuple[Path, bytes], int] = {}
        self._erased: dict[Path, int] = {}
        self._restores: defaultdict[Path, list[Restore]] = defaultdict(list)

    def keep(self, path: Path, version: int, kind: EventType, event: Any) -> Record:
        """Append one event as it is and return its record; the short way, which every dispatch takes.

        The time is the clock's, but never before the last record's.
        """
        self._recorded_at_us = recorded_at_us = max(self.clock(), self._recorded_at_us)
        records = self._records
        # A named tuple's own constructor costs twice as much as this, which is all it does.
        record = _new(
            Record,
            (
                len(records) + 1,
                self._next_id(),
                path,
                version,
                kind.name,
                kind.version,
                event,
                recorded_at_us,
                self.writer,
                None,
            ),
        )
        records.append(record)
        return record

    def append(self, drafts: Sequence[Draft], *, after: int, guarded: Path | None = None) -> Appended:
        assert after == len(self._records), "a journal in memory has one writer"
        recorded_at_us, clock_us = self._recorded_at_us, self.clock()
        position = after
        for key, path, version, event, schema_version, content, cause, at_us in drafts:
            position += 1
            recorded_at_us = max(at_us or clock_us, recorded_at_us)
            self._records.append(
                Record(
                    position,
                    key,
                    path,
                    version,
                    event,
                    schema_version,
                    content,
                    recorded_at_us,
                    self.writer,
                    cause,
                )
            )
        self._recorded_at_us = recorded_at_us
        return Appended(after + 1, recorded_at_us)

    def erase(self, positions: Sequence[int], *, until: int) -> Wiped:
        lost: defaultdict[Path, list[str]] = defaultdict(list)
        for position in positions:
            record = self._records[position - 1]
            if not record.is_erased:
                self._records[position - 1] = record._replace(content=b"")
                lost[record.path].append(record.event)
        for path, events in lost.items():
            version = self.facts(path, until=self.head()).version + 1
            told = account_of(events, until=until)
            self.append([Draft(self._next_id(), path, version, ERASURE, 1, told)], after=self.head())
            for scope in path.chain():
                self._erased[scope] = self.head()
        return Wiped(sum(map(len, lost.values())), 0, tuple(lost))

    def erased_at(self, path: Path) -> int:
        return self._erased.get(path, 0)

    def restored_at(self, path: Path, *, until: int) -> Restore | None:
        self._index()
        found = self._restores.get(path, [])
        index = bisect_right(found, until, key=lambda restored: restored.position)
        return found[index - 1] if index else None

    def restores(self, *, after: int, until: int) -> list[Record]:
        self._index()
        positions = sorted(each.position for found in self._restores.values() for each in found)
        return [self._records[position - 1] for position in positions if after < position <= until]

    def unsettled_erasures(self) -> list[Erasure]:
        """Return nothing: what is in memory is nowhere else."""
        return []

    def settle_erasures(self, erasures: Sequence[Erasure]) -> None:
        """Do nothing: what is in memory is nowhere else."""

    def _index(self) -> None:
        for record in itertools.islice(self._records, self._indexed, None):
            self._keys[record.path, record.key] = record.position
            chain = list(record.path.chain())
            for parent, child in itertools.pairwise(chain):
                self._children[parent].setdefault(child)
            for scope in chain:
                self._positions[scope].append(record.position)
            restored = restore_of(record, self._known)
            if restored is not None:
                self._restores[record.path].append(restored)
        self._indexed = len(self._records)

    def head(self) -> int:
        return len(self._records)

    def read(
        self,
        path: Path,
        *,
        after: int = 0,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Record]:
        self._index()
        positions = self._positions.get(path, [])
        first = bisect_right(positions, after)
        last = len(positions) if until is None else bisect_right(positions, until)
        found = range(last - 1, first - 1, -1) if newest_first else range(first, last)
        return (self._records[positions[index] - 1] for index in itertools.islice(found, limit))

    def find(self, path: Path, key: bytes) -> Record | None:
        self._index()
        return self._known(path, key)

    def _known(self, path: Path, key: bytes) -> Record | None:
        """Return a record among those that are in the indexes."""
        position = self._keys.get((path, key))
        return None if position is None else self._records[position - 1]

    def knows(self, path: Path) -> bool:
        self._index()
        return path in self._positions

    def facts(self, path: Path, *, until: int) -> ScopeFacts:
        newest = next(self.read(path, until=until, newest_first=True), None)
        if newest is None:
            return ScopeFacts()
        own = (record for record in self.read(path, until=until, newest_first=True) if record.path == path)
        last = next(own, None)
        if last is None:
            return ScopeFacts(0, newest.position, newest.recorded_at_us)
        last_event = last_event_of(itertools.chain([last], own), self._known)
        return ScopeFacts(last.version, newest.position, newest.recorded_at_us, last_event)

    def children(self, path: Path) -> list[Path]:
        self._index()
        return list(self._children.get(path, ()))

    def position_at(self, at_us: int) -> int:
        return bisect_right(self._records, at_us, key=lambda record: record.recorded_at_us)

    def close(self) -> None:
        """Do nothing: the records stay readable."""
