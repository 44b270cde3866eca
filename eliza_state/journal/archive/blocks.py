"""Blocks read from segment files: found by what the journal's rows say, verified, and some of them kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from eliza_state.errors import StoreError
from eliza_state.journal.archive.block import Block, Unreadable, checksum_of, unpack
from eliza_state.journal.archive.rows import BlockRow
from eliza_state.journal.archive.segment import Segments

KEPT_RECORDS: Final = 50_000
"""How many records the blocks that are kept may have together, the one read last apart."""

KEPT_BYTES: Final = 64_000_000


class DamagedBlock(StoreError):
    """A block cannot be read: `file` names the segment, `scope` the scope that it is of."""

    def __init__(self, file: str, scope: str, reason: str) -> None:
        self.file = file
        self.scope = scope
        self.reason = reason
        super().__init__(
            f"the archived records of {scope!r} cannot be read: a block of the segment {file!r} is damaged:"
            f" {reason}; restore that file from a backup"
        )


class SegmentGone(DamagedBlock):
    """The file is not there: it may have been written anew elsewhere since its name was read."""


class Blocks:
    """Read blocks, and keep those that were read last; any thread may ask."""

    def __init__(self, segments: Segments, *, epoch: str) -> None:
        self.segments = segments
        self._epoch = epoch
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], tuple[Block, int]] = OrderedDict()
        self._records = self._bytes = 0

    def read(self, row: BlockRow, *, scope: str) -> Block:
        """Return a block; `scope` names it in the errors `DamagedBlock` and `SegmentGone`."""
        place = (row.segment, row.start)
        with self._lock:
            kept = self._kept.get(place)
            if kept is not None:
                self._kept.move_to_end(place)
                return kept[0]
        block = self.read_file(row, scope=scope)
        self._keep(place, block)
        return block

    def has(self, row: BlockRow) -> bool:
        """Tell whether a block is kept."""
        return (row.segment, row.start) in self._kept

    def packed(self, row: BlockRow, *, scope: str) -> bytes:
        """Return the bytes of a block as they lie in the file, held against the checksum of the row."""
        file = str(self.segments.path(row.segment))
        try:
            packed = self.segments.read(row.segment, offset=row.start, length=row.size_bytes)
        except FileNotFoundError:
            raise SegmentGone(file, scope, "there is no such file") from None
        except OSError as error:
            raise DamagedBlock(file, scope, str(error)) from error
        if len(packed) < row.size_bytes:
            raise DamagedBlock(file, scope, "the file ends before it does")
        if checksum_of(packed) != row.checksum:
            raise DamagedBlock(file, scope, "it has another checksum than the journal says")
        return packed

    def read_file(self, row: BlockRow, *, scope: str) -> Block:
        """Return a block from its file, whatever is kept."""
        packed = self.packed(row, scope=scope)
        try:
            block = unpack(packed, epoch=self._epoch)
            _check(block, row, scope)
        except Unreadable as error:
            raise DamagedBlock(str(self.segments.path(row.segment)), scope, str(error)) from None
        return block

    def _keep(self, place: tuple[str, int], block: Block) -> None:
        size = sum(len(record.content) for record in block.records) + sum(map(len, block.states.values()))
        with self._lock:
            if place in self._kept:
                return
            self._kept[place] = (block, size)
            self._records += len(block.records)
            self._bytes += size
            while (self._records > KEPT_RECORDS or self._bytes > KEPT_BYTES) and len(self._kept) > 1:
                _, (oldest, freed) = self._kept.popitem(last=False)
                self._records -= len(oldest.records)
                self._bytes -= freed

    def forget(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            self._kept.clear()
            self._records = self._bytes = 0


def _check(block: Block, row: BlockRow, scope: str) -> None:
    """Raise `Unreadable` for a block that is not the one that the row names."""
    positions = [record.position for record in block.records]
    told = (len(positions), positions[0], positions[-1]) if positions else (0, 0, 0)
    if block.scope.encode() != scope:
        raise Unreadable(f"it is of another scope, {block.scope.encode()!r}")
    if told != (row.records, row.first_position, row.last_position):
        raise Unreadable(f"it has {told[0]} records from {told[1]} to {told[2]}, which are not its own")
