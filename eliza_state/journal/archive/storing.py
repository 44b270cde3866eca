"""Moving records into the archive.

Their blocks are written first, read back and compared; then one short transaction names the blocks, and from
that moment on what it names is what counts: the rows behind it are deleted a few at a time. Wherever this is
cut off, a record is read once, and a scope is either open for events or in the archive. The last row of all
stays where it is, so that the next position is known; it goes with a later pass.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs
from sqlalchemy import Connection, inspect

from eliza_state.change import Record
from eliza_state.errors import StateError, StoreError
from eliza_state.journal.archive import rows
from eliza_state.journal.archive.archive import JournalArchive, translated
from eliza_state.journal.archive.block import Block, checksum_of, pack, unpack
from eliza_state.journal.archive.ids import ids_of
from eliza_state.journal.archive.rows import BlockRow
from eliza_state.path import Path

BLOCK_RECORDS: Final = 5_000
BLOCK_BYTES: Final = 4_000_000
SEGMENT_BYTES: Final = 16_000_000
"""Past this a segment gets no further block: to erase from one is to write it anew."""

_CLEARED_AT_ONCE: Final = 50
# What the deletion of a row adds to the log: pages of the table and of its indexes.
_CLEARED_BYTES: Final = 6_000
_CLEAR: Final = "DELETE FROM record WHERE position = ?"
_CLEAR_BELOW: Final = "DELETE FROM below WHERE scope = ? AND position = ?"
_OWN: Final = (
    "SELECT position, path FROM record WHERE path = ? AND position <= ? AND position < ?"
    " ORDER BY version LIMIT ?"
)
_BELOW: Final = (
    "SELECT record.position, record.path FROM below JOIN record ON record.position = below.position"
    " WHERE below.scope = ? AND below.position <= ? AND below.position < ? ORDER BY below.position LIMIT ?"
)
_REPLICA: Final = "replica_stamp"

StatesOf: TypeAlias = Callable[[Path, "Counter[Path]"], Mapping[str, bytes]]
"""Return final states of a scope and those below it, given how many records are at and below each."""


@attrs.define
class _Ready:
    """A block that is packed, and written once its row says where; not named yet."""

    row: BlockRow
    ids: bytes
    content: bytes


@attrs.define
class Moving:
    """A scope on its way into the archive: how much of it, and its blocks.

    `last` is the position of the last row that the tables had of it. `scopes` counts the scopes at and below
    it that have records, `stated` are those whose final states are kept; `content_bytes` are those of
    payloads and ids.
    """

    path: Path
    last: int
    scopes: int = 0
    content_bytes: int = 0
    stated: Sequence[Path] = ()
    blocks: list[_Ready] = attrs.Factory(list[_Ready])

    @property
    def records(self) -> int:
        """How many records are moved."""
        return sum(block.row.records for block in self.blocks)

    @property
    def size_bytes(self) -> int:
        """How many bytes the blocks take in segment files."""
        return sum(block.row.size_bytes for block in self.blocks)


class Storing:
    """Move scopes into an archive whose lock is held, in a pass that writes as few files as it can."""

    def __init__(self, archive: JournalArchive) -> None:
        self._archive = archive
        self._open: list[_Ready] = []

    def check_is_no_replica(self) -> None:
        """Raise `StateError` for a store whose records others may move to other positions."""
        with self._archive.reading() as connection:
            if inspect(connection).has_table(_REPLICA):
                raise StateError(
                    "the store is synchronised with others, which may move its records to other places;"
                    " nothing of it is archived"
                )

    # Blocks

    def add(self, path: Path, states: StatesOf) -> Moving | None:
        """Pack the records at and below a scope; `None` where the tables have none.

        `states` gives the final states that are kept with them. What is packed is written when there is
        enough for a file, and by `finish`. Raises `StoreError` for a damaged record, and where the archive
        cannot be written.
        """
        with self._archive.reading() as connection:
            last = self._archive.last_in_tables(connection, path)
            held = self._held(connection)
        records = self._archive.tables(path).read(after=0, until=last, limit=None)
        moving, own = Moving(path, last), Counter[Path]()
        left = (record for record in records if not _is_held(record, held))
        for part, is_last in _with_last(_parts(left)):
            own.update(record.path for record in part)
            kept = states(path, _reached(path, own)) if is_last else {}
            moving.stated = [Path.decode(scope) for scope in kept]
            moving.blocks.append(self._pack(path, part, kept))
            moving.content_bytes += sum(len(record.content) + len(record.key) for record in part)
            self._open.append(moving.blocks[-1])
            if self.open_bytes >= SEGMENT_BYTES:
                self.finish()
        moving.scopes = len(own)
        return moving if moving.blocks else None

    @property
    def open_bytes(self) -> int:
        """How many bytes are packed and not written yet."""
        return sum(len(block.content) for block in self._open)

    def _held(self, connection: Connection) -> dict[Path, int]:
        """Return the scopes of which rows are still in the tables, and up to where the archive has those."""
        uncleared = rows.uncleared(connection)
        return {self._archive.records.scope_of(connection, row): row.last_position for row in uncleared}

    def _pack(self, path: Path, records: Sequence[Record], states: Mapping[str, bytes]) -> _Ready:
        damaged = next((record for record in records if not record.event), None)
        if damaged is not None:
            raise StoreError(
                f"the record at position {damaged.position} of {path.encode()!r} is damaged, and what is"
                " damaged is not moved into the archive: see `eliza-state verify`"
            )
        archive = self._archive
        content = pack(Block(path, records, states), epoch=archive.epoch)
        if list(unpack(content, epoch=archive.epoch).records) != list(records):
            raise StoreError(
                f"the records of {path.encode()!r} cannot be packed such that they come out again"
            )
        return _Ready(self._row(path, records, content), ids_of(records), content)

    def _row(self, path: Path, records: Sequence[Record], content: bytes) -> BlockRow:
        first, last = records[0], records[-1]
        with self._archive.reading() as connection:
            facts = self._archive.records.facts(connection, path, until=last.position)
            scope = self._archive.interning.find_path(connection, path)
        assert scope is not None, "a path with records has an integer"
        return BlockRow(
            last_position=last.position,
            first_position=first.position,
            path=scope,
            records=len(records),
            version=facts.version,
            last_event=facts.last_event,
            first_at_us=first.recorded_at_us,
            last_at_us=last.recorded_at_us,
            segment="",
            start=0,
            size_bytes=len(content),
            checksum=checksum_of(content),
        )

    def finish(self) -> None:
        """Write what is packed into a file and read it back. Raises `StoreError` where that fails."""
        if not self._open:
            return
        segments = self._archive.segments
        with translated("write to the archive"):
            name, offsets = segments.write([block.content for block in self._open])
            for block, start in zip(self._open, offsets, strict=True):
                block.row = block.row._replace(segment=name, start=start)
                if segments.read(name, offset=start, length=len(block.content)) != block.content:
                    raise StoreError(f"{str(segments.path(name))!r} does not hold what was written to it")
                block.content = b""
        self._open.clear()

    # The tables

    def name(self, found: Iterable[Moving]) -> list[Moving]:
        """Name the blocks of scopes, all of which are written, in one transaction; return what was left.

        These are scopes that a record has reached since their blocks were packed.
        """
        left: list[Moving] = []
        archive = self._archive
        with archive.writing("archive") as connection:
            for moving in found:
                if archive.last_in_tables(connection, moving.path) != moving.last:
                    left.append(moving)
                    continue
                _, above = archive.interning.path(connection, moving.path)
                for block in moving.blocks:
                    rows.insert(connection, block.row, block.ids, above=above)
            rows.change(connection)
        return left

    def clear(self, *, for_s: float) -> bool:
        """Delete rows that the archive holds, in one transaction of about so long; tell whether some stay."""
        ends_at = time.monotonic() + for_s
        archive, cleared = self._archive, 0
        with archive.writing("archive") as connection:
            head = archive.records.head(connection)
            for row in rows.uncleared(connection):
                while found := self._behind(connection, row, head):
                    self._delete(connection, found)
                    cleared += len(found)
                    if time.monotonic() >= ends_at:
                        archive.database.wrote(cleared * _CLEARED_BYTES)
                        return True
                if row.last_position < head:
                    rows.note_cleared(connection, row)
        archive.database.wrote(cleared * _CLEARED_BYTES)
        return False

    def _behind(self, connection: Connection, row: BlockRow, head: int) -> Sequence[Any]:
        """Return positions and paths of some rows that a block holds."""
        values = (row.path, row.last_position, head, _CLEARED_AT_ONCE)
        own = connection.exec_driver_sql(_OWN, values).all()
        return own or connection.exec_driver_sql(_BELOW, values).all()

    def _delete(self, connection: Connection, found: Sequence[Any]) -> None:
        interning = self._archive.interning
        below = [
            (scope, position)
            for position, path_id in found
            for scope in interning.path(connection, interning.path_of(connection, path_id))[1]
        ]
        if below:
            connection.exec_driver_sql(_CLEAR_BELOW, below)
        connection.exec_driver_sql(_CLEAR, [(position,) for position, _ in found])


def _is_held(record: Record, held: Mapping[Path, int]) -> bool:
    """Tell whether the archive has a record already: its scope, or one above, up to its position."""
    return bool(held) and any(record.position <= held.get(scope, 0) for scope in record.path.chain())


def _reached(above: Path, own: Mapping[Path, int]) -> Counter[Path]:
    """Count the records at and below each scope from a path down, given how many are addressed to each."""
    reached = Counter[Path]()
    for path, count in own.items():
        for depth in range(len(above.steps), len(path.steps) + 1):
            reached[Path(path.steps[:depth])] += count
    return reached


def _parts(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records in portions of the size of a block."""
    part: list[Record] = []
    size_bytes = 0
    for record in records:
        part.append(record)
        size_bytes += len(record.content)
        if len(part) >= BLOCK_RECORDS or size_bytes >= BLOCK_BYTES:
            yield part
            part, size_bytes = [], 0
    if part:
        yield part


def _with_last(parts: Iterator[list[Record]]) -> Iterator[tuple[list[Record], bool]]:
    """Yield portions, each with whether it is the last one."""
    part = next(parts, None)
    while part is not None:
        following = next(parts, None)
        yield part, following is None
        part = following
