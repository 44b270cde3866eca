"""Records of the journal's tables and of the archive, as if all of them were in the tables."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

import attrs
from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.journal.archive import ids, rows
from eliza_state.journal.archive.block import Block
from eliza_state.journal.archive.blocks import Blocks
from eliza_state.journal.archive.rows import BlockRow
from eliza_state.journal.contract import ScopeFacts, last_event_of
from eliza_state.journal.interning import Interning
from eliza_state.journal.records import Records
from eliza_state.path import Path

T = TypeVar("T")

_LAST_BEFORE: Final = "SELECT position FROM record WHERE position <= ? ORDER BY position DESC LIMIT 1"


@attrs.define
class _Assumed:
    """A generation that is taken for today's, and whether anything came to depend on it."""

    generation: int
    was_asked: bool = False


class AllRecords(Records):
    """Look records up in the tables and, where they are not there, in the archive.

    Raises `DamagedBlock` for a block that cannot be read, and `SegmentGone` for one whose file is not there:
    then the same is to be asked again in another transaction.
    """

    def __init__(self, interning: Interning, blocks: Blocks) -> None:
        super().__init__(interning)
        self._interning = interning
        self._blocks = blocks
        self._assumed: dict[Connection, _Assumed] = {}
        self.seen = 0
        """The generation of the archive when it was last asked for."""

    # The archive's generation

    def at_one_time(self, connection: Connection, look: Callable[[Connection], T]) -> tuple[T, bool]:
        """Return what a function finds by a connection, and whether the archive did not change meanwhile.

        Until it is done the generation that was seen last counts as today's: so it is asked for once, in the
        end, and not at all where nothing that was found depends on it.
        """
        assumed = self._assumed[connection] = _Assumed(self.seen)
        try:
            found = look(connection)
        finally:
            del self._assumed[connection]
        if assumed.was_asked:
            self.seen = rows.generation(connection)
        return found, not assumed.was_asked or assumed.generation == self.seen

    def generation(self, connection: Connection) -> int:
        """Return how often the archive has changed, or, within `at_one_time`, what that is assumed to be."""
        assumed = self._assumed.get(connection)
        if assumed is None:
            return rows.generation(connection)
        assumed.was_asked = True
        return assumed.generation

    # Blocks

    def chain(self, connection: Connection, path: Path) -> list[int]:
        """Return the integers of a path and of those above it, without the root, as far as there are any."""
        found = (self._interning.find_path(connection, above) for above in path.chain() if above.steps)
        return [scope for scope in found if scope is not None]

    def holding(self, connection: Connection, path: Path) -> list[BlockRow]:
        """Return the blocks that hold a scope: those of the scope itself and of scopes above it."""
        scopes = self.chain(connection, path)
        return rows.of_scopes(connection, scopes) if scopes else []

    def block(self, connection: Connection, row: BlockRow) -> Block:
        """Return a block of the archive."""
        return self._blocks.read(row, scope=self.scope_of(connection, row).encode())

    def is_kept(self, row: BlockRow) -> bool:
        """Tell whether a block is at hand."""
        return self._blocks.has(row)

    def scope_of(self, connection: Connection, row: BlockRow) -> Path:
        """Return the scope that a block is of."""
        return self._interning.path_of(connection, row.path)

    def archived_scope(self, connection: Connection, path: Path) -> Path | None:
        """Return the scope in the archive that a scope is or is below, the highest; `None` if none."""
        scopes = self.chain(connection, path)
        if not scopes or not self.generation(connection):
            return None
        held = rows.held(connection, scopes)
        found = next((scope for scope in scopes if scope in held), None)
        return None if found is None else self._interning.path_of(connection, found)

    def state(self, connection: Connection, path: Path) -> bytes | None:
        """Return the final state that was archived for a scope; `None` if there is none."""
        if not self.generation(connection):
            return None
        for row in reversed(self.holding(connection, path)):
            found = self.block(connection, row).states.get(path.encode())
            if found is not None:
                return found
        return None

    # Single records

    def find(self, connection: Connection, path: Path, key: bytes) -> Record | None:
        found = super().find(connection, path, key)
        if found is not None or not self.generation(connection):
            return found
        for row in self.holding(connection, path):
            if ids.may_hold(rows.ids(connection, row), row.records, path, key):
                for record in self.block(connection, row).records:
                    if record.key == key and record.path == path:
                        return record
        return None

    def at(self, connection: Connection, positions: Sequence[int]) -> list[Record]:
        found = {record.position: record for record in super().at(connection, positions)}
        missing = [position for position in positions if position not in found]
        found |= {record.position: record for _, record in self.in_archive(connection, missing)}
        return [found[position] for position in positions if position in found]

    def in_archive(
        self, connection: Connection, positions: Iterable[int]
    ) -> Iterator[tuple[BlockRow, Record]]:
        """Yield those of the records at these positions that are in the archive, each with its block."""
        wanted = set(positions)
        if not wanted or not self.generation(connection):
            return
        reached = rows.within(connection, after=min(wanted) - 1, until=max(wanted))
        # What was read a moment ago is the likeliest to hold them.
        for row in sorted(reached, key=self.is_kept, reverse=True):
            if not wanted:
                return
            if any(row.first_position <= position <= row.last_position for position in wanted):
                for record in self.block(connection, row).records:
                    if record.position in wanted:
                        wanted.discard(record.position)
                        yield row, record

    # Scopes

    def last_version(self, connection: Connection, path: Path) -> int:
        """Return the version of the last record addressed to a path, wherever it is; 0 if there is none."""
        path_id = self._interning.find_path(connection, path)
        newest = 0 if path_id is None else self.newest_version(connection, path_id)
        if not self.generation(connection):
            return newest
        own = self._own_in(connection, path, self.holding(connection, path), until=None)
        return max(newest, next((record.version for record in own), 0))

    def facts(self, connection: Connection, path: Path, *, until: int) -> ScopeFacts:
        found = super().facts(connection, path, until=until)
        if not self.generation(connection):
            return found
        archived = self._archived_facts(connection, path, until=until)
        position, at_us = self._last_below(connection, path, until=until)
        last = max(
            (found.last_position, found.last_activity_us),
            (archived.last_position, archived.last_activity_us),
            (position, at_us),
        )
        newest, older = (found, archived) if found.version >= archived.version else (archived, found)
        # What is in the tables and not in the archive tells of erasures, which are no events of the scope's.
        return ScopeFacts(newest.version, *last, newest.last_event or older.last_event)

    def _archived_facts(self, connection: Connection, path: Path, *, until: int) -> ScopeFacts:
        """Return what blocks that hold a scope say of it."""
        found = [row for row in self.holding(connection, path) if row.first_position <= until]
        if not found:
            return ScopeFacts()
        newest = found[-1]
        if newest.last_position <= until and newest.path == self._interning.find_path(connection, path):
            return ScopeFacts(newest.version, newest.last_position, newest.last_at_us, newest.last_event)
        last = next(self._in(connection, path, found, until=until), None)
        if last is None:
            return ScopeFacts()
        own = self._own_in(connection, path, found, until=until)
        first = next(own, None)
        if first is None:
            return ScopeFacts(0, last.position, last.recorded_at_us)
        last_event = last_event_of(itertools.chain([first], own), partial(self.find, connection))
        return ScopeFacts(first.version, last.position, last.recorded_at_us, last_event)

    def _in(
        self, connection: Connection, path: Path, found: Sequence[BlockRow], *, until: int | None
    ) -> Iterator[Record]:
        """Yield the records of blocks at and below a path, the newest first."""
        for row in reversed(found):
            for record in reversed(self.block(connection, row).records):
                if (until is None or record.position <= until) and is_at_or_below(record.path, path):
                    yield record

    def _own_in(
        self, connection: Connection, path: Path, found: Sequence[BlockRow], *, until: int | None
    ) -> Iterator[Record]:
        """Yield the records of blocks that are addressed to a path, the newest first."""
        return (each for each in self._in(connection, path, found, until=until) if each.path == path)

    def _last_below(self, connection: Connection, path: Path, *, until: int) -> tuple[int, int]:
        """Return position and time of the last record that blocks of scopes below a path have."""
        if not path.steps:
            best = rows.last_within(connection, until=until)
            cut = rows.within(connection, after=until, until=until)
        else:
            scope = self._interning.find_path(connection, path)
            if scope is None:
                return 0, 0
            best = rows.last_below(connection, scope, until=until)
            cut = rows.below(connection, scope, after=until, until=until)
        for row in cut:
            if best[0] == until:
                break
            records = self.block(connection, row).records
            index = bisect_right(records, until, key=lambda record: record.position)
            best = max(best, (records[index - 1].position, records[index - 1].recorded_at_us))
        return best

    # Time

    def position_at(self, connection: Connection, at_us: int) -> int:
        # By the tables alone: the place before the first record there that is later.
        bound = super().position_at(connection, at_us)
        if not self.generation(connection):
            return bound
        best = int(connection.exec_driver_sql(_LAST_BEFORE, (bound,)).scalar() or 0)
        for row in rows.within(connection, after=best, until=bound):
            if row.last_at_us <= at_us:
                best = max(best, row.last_position)
            elif row.first_at_us <= at_us and row.last_position > best:
                records = self.block(connection, row).records
                index = bisect_right(records, at_us, key=lambda record: record.recorded_at_us)
                best = max(best, records[index - 1].position)
        return best


def is_at_or_below(path: Path, above: Path) -> bool:
    """Tell whether a path is another one, or below it."""
    return path.steps[: len(above.steps)] == above.steps
