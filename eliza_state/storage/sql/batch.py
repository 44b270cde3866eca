"""What writes, removals and touches do to entries: a batch of them becomes one change of each key.

>>> batch = Batch({}, now_us=5_000)
>>> batch.put(Write("a", b"1")), batch.put(Write("a", b"2", expected=5_000))
(Written(version=5000, is_stored=True), Written(version=5001, is_stored=True))
>>> batch.changes().new
[('', 'a', b'2', 5001, None, None, 5)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from eliza_state.storage.backend import GONE, Mark, Write, Written, deadline_of, next_version, outcome_of
from eliza_state.storage.keys import split_key

Place: TypeAlias = tuple[str, str]
"""Where a row is: its namespace's text and its name."""
Row: TypeAlias = tuple[str, str, bytes | None, int, int | None, int | None, int]
"""The columns of a row, as `schema.COLUMNS` names them."""


class Changes(NamedTuple):
    """What is to be done to the rows of a table, each at most once, in the order of their keys."""

    new: list[Row]
    changed: list[Row]
    rolled: list[tuple[str, str, int | None]]
    gone: list[Place]


class Batch:
    """The entries of some keys as they were found, changed in memory, one operation after the other."""

    def __init__(self, found: Mapping[str, Mark], *, now_us: int) -> None:
        self._found = found
        self._marks = dict(found)
        self._values: dict[str, bytes | None] = {}
        self._changed: set[str] = set()
        self._now_us = now_us

    def put(self, write: Write[bytes]) -> Written:
        """Store an entry if `outcome_of` says so."""
        key, value = write.key, write.value
        stored = self._marks.get(key)
        written = outcome_of(write, stored, now_us=self._now_us)
        if written.is_stored:
            deadline_ms = deadline_of(write, stored)
            self._marks[key] = Mark(written.version, deadline_ms, write.ttl_ms, value is GONE)
            self._values[key] = None if value is GONE else value
            self._changed.add(key)
        return written

    def remove(self, key: str, *, dead_only: bool) -> bool:
        """Remove an entry, with `dead_only` one past its deadline; tell whether a live one went."""
        now_ms = self._now_us // 1_000
        mark = self._marks.get(key)
        if mark is None or (dead_only and not mark.is_past(now_ms)):
            return False
        del self._marks[key]
        self._values.pop(key, None)
        self._changed.add(key)
        return mark.is_live(now_ms)

    def touch(self, key: str) -> bool:
        """Roll the deadline of a live key on, and tell whether the key is alive."""
        now_ms = self._now_us // 1_000
        mark = self._marks.get(key)
        if mark is None or not mark.is_live(now_ms):
            return False
        if mark.ttl_ms is not None and mark.deadline_ms != now_ms + mark.ttl_ms:
            self._marks[key] = mark._replace(deadline_ms=now_ms + mark.ttl_ms)
            self._changed.add(key)
        return True

    def changes(self) -> Changes:
        """Return what makes of the entries that were found those that the operations left."""
        changes = Changes([], [], [], [])
        for key in sorted(self._changed):
            place = split_key(key)
            mark = self._marks.get(key)
            if mark is None:
                if key in self._found:
                    changes.gone.append(place)
            elif key in self._values:
                row = (*place, self._values[key], *mark[:3], self._now_us // 1_000)
                (changes.changed if key in self._found else changes.new).append(row)
            else:
                changes.rolled.append((*place, mark.deadline_ms))
        return changes

    def was_stored(self, found: Mapping[str, Mark]) -> bool | None:
        """Tell from what is found later whether the changes were stored, all or none; `None`: unclear.

        One key that is there as it was says no, one as it should be says yes: whoever writes a key gives it
        another version. A key that somebody else has changed since says nothing, nor does one that was not
        there and is not: it may have been made by this, and removed by others. One that was to be removed
        and is gone says yes, whoever has removed it.
        """
        before, after = self._found, self._marks
        changed = [key for key in self._changed if before.get(key) != after.get(key)]
        if not changed:
            return True
        if any(key in found and found[key] == before.get(key) for key in changed):
            return False
        return True if any(found.get(key) == after.get(key) for key in changed) else None


class Overwriting:
    """Writes of different keys that are stored whatever is there."""

    def __init__(self, writes: Sequence[Write[bytes]], *, now_us: int) -> None:
        self._writes = writes
        self._now_ms = now_us // 1_000
        self.version: Final = next_version(0, now_us=now_us)
        """The version that a new key gets; one that is there gets the same or a higher one."""

    def rows(self) -> list[Row]:
        """Return the rows in the order of their keys, which others lock them in too."""
        version, now_ms = self.version, self._now_ms
        rows: list[Row] = []
        for key, value, deadline_ms, ttl_ms, *_ in sorted(self._writes, key=itemgetter(0)):
            content = None if value is GONE else value
            rows.append((*split_key(key), content, version, deadline_ms, ttl_ms, now_ms))
        return rows

    def was_stored(self, found: Mapping[str, Mark]) -> bool | None:
        """Tell what `Batch.was_stored` tells. A lower version says no, since the given one is the least."""
        versions = [found[write.key].version for write in self._writes if write.key in found]
        if any(version < self.version for version in versions):
            return False
        return True if self.version in versions else None
