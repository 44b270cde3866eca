"""Reading records that lie partly in the tables and partly in the archive, in the order of their positions.

A step takes a range of positions from both and puts it in order. What moves between them meanwhile changes
the generation of the archive, and the step is done again. While few blocks reach into what is left, a step is
a page of the tables; where many do, as where thousands of conversations went on side by side, it is so many
positions, and no position is taken twice: that bounds the records in memory, and how often a block is opened.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Final, TypeAlias

import attrs
from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.journal.archive import rows
from eliza_state.journal.archive.blocks import KEPT_RECORDS, DamagedBlock, SegmentGone
from eliza_state.journal.archive.reading import AllRecords, is_at_or_below
from eliza_state.journal.archive.rows import BlockRow
from eliza_state.journal.databases.database import ROW
from eliza_state.path import Path

# The first range is small: who reads the newest records wants a few.
_FIRST_SPAN: Final = 1_000
_TRIES: Final = 100
_FROM_BELOW: Final = "FROM below JOIN record ON record.position = below.position WHERE below.scope = ?"

Reading: TypeAlias = Callable[[], AbstractContextManager[Connection]]
"""Lend a connection to read with."""

_position = operator.attrgetter("position")


class _Moved(Exception):
    """Something was moved between the tables and the archive while a step was read."""


@attrs.define
class _Step:
    """What one step reads: the records with `first < position <= last`, and the archive's generation.

    `page` is how many of the tables' records it takes at most, `chain` are the integers of the path and of
    those above it.
    """

    first: int
    last: int
    page: int
    generation: int
    chain: Sequence[int]


@attrs.frozen(kw_only=True)
class Merging:
    """One reading: of the records at and below a path, in either direction, a page a query.

    A block that cannot be read ends it with `DamagedBlock`, unless somebody is to be told that it is `lost`.
    """

    reading: Reading
    records: AllRecords
    path: Path
    newest_first: bool = False
    page_rows: int
    tables_only: bool = False
    lost: Callable[[BlockRow, DamagedBlock], None] | None = None

    def read(self, *, after: int, until: int, limit: int | None) -> Iterator[Record]:
        """Yield the records with `after < position <= until`, at most `limit`."""
        page = self.page_rows if limit is None else min(max(limit, 1), self.page_rows)
        return islice(self._steps(after, until, page), limit)

    def _steps(self, after: int, until: int, page: int) -> Iterator[Record]:
        span = _FIRST_SPAN
        while after < until:
            step, found = self._settled(after, until, page, span)
            yield from found
            if step.page > page:
                span = min(2 * span, KEPT_RECORDS)
            if self.newest_first:
                until = step.first
            else:
                after = step.last

    def _settled(self, after: int, until: int, page: int, span: int) -> tuple[_Step, list[Record]]:
        for attempt in range(_TRIES):
            step = self._begin(after, until, page, span)
            try:
                return step, self._found(step)
            except (_Moved, SegmentGone):
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _begin(self, after: int, until: int, page: int, span: int) -> _Step:
        generation = self.records.seen  # it is asked for in the end
        with self.reading() as connection:
            chain = self.records.chain(connection, self.path)
            step = _Step(after, until, page, generation, chain)
            is_merged = generation and not self.tables_only
            if is_merged and self._count(connection, step) > KEPT_RECORDS:
                step.page = max(span, page + 1)
                if self.newest_first:
                    step.first = max(after, until - span)
                else:
                    step.last = min(until, after + span)
        return step

    def _found(self, step: _Step) -> list[Record]:
        """Return the records of a step, whose range gets shorter where its page is full."""
        in_tables = list(islice(self._tables(step), step.page))
        if len(in_tables) == step.page:
            if self.newest_first:
                step.first = in_tables[-1].position - 1
            else:
                step.last = in_tables[-1].position
        found = {record.position: record for record in in_tables}
        is_all = self.tables_only or not step.generation or self._is_complete(step, found)
        with self.reading() as connection:
            reaching = [] if is_all else self._reaching(connection, step)
            self.records.seen = rows.generation(connection)
            if self.records.seen != step.generation:
                raise _Moved
            self._add(connection, reaching, step, found)
        if len(found) == len(in_tables):
            return in_tables
        return sorted(found.values(), key=_position, reverse=self.newest_first)

    def _add(
        self, connection: Connection, reaching: Sequence[BlockRow], step: _Step, found: dict[int, Record]
    ) -> None:
        """Add what blocks have to what the tables have; damage is no matter where nothing is missing then."""
        damage: DamagedBlock | None = None
        for row in reaching:
            try:
                for record in self._within(connection, row, step):
                    found.setdefault(record.position, record)
            except SegmentGone:
                raise
            except DamagedBlock as error:
                damage = error
                if self.lost is not None:
                    self.lost(row, error)
            if self._is_complete(step, found):
                return
        if damage is not None and self.lost is None:
            raise damage

    def _is_complete(self, step: _Step, found: Mapping[int, Record]) -> bool:
        """Tell whether nothing is missing of a range: of the root's records, positions have no gaps."""
        return not self.path.steps and len(found) == step.last - step.first

    # The archive

    def _count(self, connection: Connection, step: _Step) -> int:
        """Return how many records the blocks have that reach into a step."""
        if not self.path.steps:
            return rows.count_within(connection, after=step.first, until=step.last)
        if not self._is_known(step):
            return 0
        return sum(row.records for row in self._holding(connection, step)) + rows.count_below(
            connection, step.chain[-1], after=step.first, until=step.last
        )

    def _is_known(self, step: _Step) -> bool:
        return len(step.chain) == len(self.path.steps)

    def _holding(self, connection: Connection, step: _Step) -> list[BlockRow]:
        holding = rows.of_scopes(connection, step.chain)
        return [row for row in holding if row.last_position > step.first and row.first_position <= step.last]

    def _reaching(self, connection: Connection, step: _Step) -> list[BlockRow]:
        """Return the blocks that may hold records of the path in a step's range."""
        if not self.path.steps:
            reaching = rows.within(connection, after=step.first, until=step.last)
            # First what is likely to complete a short range: what is at hand, and what ends where it does.
            return sorted(reaching, key=lambda row: self._is_likely(row, step), reverse=True)
        if not self._is_known(step):
            return []
        below = rows.below(connection, step.chain[-1], after=step.first, until=step.last)
        return [*self._holding(connection, step), *below]

    def _is_likely(self, row: BlockRow, step: _Step) -> tuple[bool, bool]:
        return self.records.is_kept(row), row.last_position == step.last

    def _within(self, connection: Connection, row: BlockRow, step: _Step) -> Iterator[Record]:
        """Yield what a block has at and below the path in a step's range."""
        is_all = not self.path.steps
        for record in self.records.block(connection, row).records:
            if step.first < record.position <= step.last and (
                is_all or is_at_or_below(record.path, self.path)
            ):
                yield record

    # The tables

    def _tables(self, step: _Step) -> Iterator[Record]:
        """Yield what the tables have of a step's range."""
        first, last = step.first, step.last
        if not self.path.steps:
            return self._pages("position", "FROM record WHERE 1 = ?", (1, first, last), step)
        if not self._is_known(step):
            return iter(())
        path_id = step.chain[-1]
        with self.reading() as connection:
            first_version = self.records.version_at(connection, path_id, first)
            last_version = self.records.version_at(connection, path_id, last)
        own = self._pages(
            "version", "FROM record WHERE path = ?", (path_id, first_version, last_version), step
        )
        below = self._pages("below.position", _FROM_BELOW, (path_id, first, last), step)
        return heapq.merge(own, below, key=_position, reverse=self.newest_first)

    def _pages(self, column: str, source: str, bounds: tuple[int, int, int], step: _Step) -> Iterator[Record]:
        """Yield an owner's records with `after < column <= last`; a page a query, so that none takes long."""
        page = min(step.page, self.page_rows)
        query = (
            f"SELECT {column}, {ROW} {source} AND {column} > ? AND {column} <= ?"  # constants only
            f" ORDER BY {column} {'DESC' if self.newest_first else 'ASC'} LIMIT {page}"
        )
        owner, after, last = bounds
        while after < last:
            with self.reading() as connection:
                found = connection.exec_driver_sql(query, (owner, after, last)).all()
                records = [self.records.record(connection, row[1:]) for row in found]
            yield from records
            if len(found) < page:
                return
            if self.newest_first:
                last = found[-1][0] - 1
            else:
                after = found[-1][0]
