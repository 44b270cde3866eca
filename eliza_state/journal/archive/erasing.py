"""Erasing in the archive: blocks are written anew without content; what no row names goes from the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, Sequence

import attrs
from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.journal.archive import rows
from eliza_state.journal.archive.archive import JournalArchive, translated
from eliza_state.journal.archive.block import Block, checksum_of, pack
from eliza_state.journal.archive.rows import BlockRow


@attrs.frozen
class Blanking:
    """Records that lose their content, and where their blocks lie without it.

    It holds while the archive is of this `generation`.
    """

    generation: int = 0
    lost: Sequence[Record] = ()
    blocks: Sequence[BlockRow] = ()


class Erasing:
    """Erase in an archive, and keep its files to what is named."""

    def __init__(self, archive: JournalArchive) -> None:
        self._archive = archive

    @contextlib.contextmanager
    def prepared(self, positions: Sequence[int]) -> Generator[Blanking]:
        """Prepare to erase records, and keep others from changing the archive meanwhile, if there is one."""
        with self._archive.reading() as connection:
            is_any = rows.generation(connection) > 0
        if not is_any:
            yield Blanking()
            return
        with self._archive.locked():
            yield self._prepare(positions)

    def _prepare(self, positions: Iterable[int]) -> Blanking:
        """Write the blocks of these records anew, without the content of these; nothing names them yet.

        The final states that may have been made of it go too. Raises `DamagedBlock`, and `StoreError` where
        the archive cannot be written.
        """
        archive = self._archive
        with archive.reading() as connection:
            generation = rows.generation(connection)
            found = archive.records.in_archive(connection, positions)
            lost = {record.position: record for _, record in found if not record.is_erased}
            blocks = self._concerned(connection, lost)
        if not lost:
            return Blanking(generation)
        renewed = [self._blanked(block, lost) for block in blocks.values()]
        with translated("write to the archive"):
            name, offsets = archive.segments.write(renewed)
        moved = [
            row._replace(segment=name, start=start, size_bytes=len(content), checksum=checksum_of(content))
            for row, start, content in zip(blocks, offsets, renewed, strict=True)
        ]
        return Blanking(generation, tuple(lost.values()), moved)

    def _concerned(self, connection: Connection, lost: Mapping[int, Record]) -> dict[BlockRow, Block]:
        """Return the blocks with these records, and those with states of the same scopes and those above."""
        records = self._archive.records
        found: dict[BlockRow, Block] = {}
        for path in {record.path for record in lost.values()}:
            for row in records.holding(connection, path):
                block = records.block(connection, row)
                if block.states or any(record.position in lost for record in block.records):
                    found[row] = block
        return found

    def _blanked(self, block: Block, lost: Mapping[int, Record]) -> bytes:
        kept = [
            record._replace(content=b"") if record.position in lost else record for record in block.records
        ]
        return pack(Block(block.scope, kept), epoch=self._archive.epoch)

    def name(self, connection: Connection, blanking: Blanking) -> bool:
        """Name the blocks without content, in the caller's transaction; `False` if others were faster."""
        if rows.generation(connection) != blanking.generation:
            return False
        for row in blanking.blocks:
            rows.move(connection, row)
        if blanking.blocks:
            rows.change(connection)
        return True

    # The files

    def sweep(self) -> None:
        """Remove the segments that no row names."""
        with self._archive.reading() as connection:
            named = rows.segments(connection)
        with translated("remove what the archive does not need"):
            self._archive.segments.sweep(named)

    def expunge(self) -> None:
        """Remove from the disk all that no row names, also from the middle of a segment.

        Such a segment is written anew with the blocks that are named. Raises `Busy` where another process
        changes the archive, `StoreError` where that is not possible.
        """
        archive = self._archive
        with archive.reading() as connection:
            if not rows.generation(connection):
                return
        archive.blocks.forget()
        with archive.locked():
            with archive.reading() as connection:
                held = {name: rows.in_segment(connection, name) for name in rows.segments(connection)}
            for name, blocks in held.items():
                if not self._is_packed(name, blocks):
                    self._rewrite(blocks)
            self.sweep()

    def _is_packed(self, name: str, blocks: Sequence[BlockRow]) -> bool:
        with translated("read the archive"):
            return self._archive.segments.is_packed(name, [(row.start, row.size_bytes) for row in blocks])

    def _rewrite(self, blocks: Sequence[BlockRow]) -> None:
        """Write blocks into a new segment as they are, damaged ones too, and name them there."""
        archive = self._archive
        with translated("write to the archive"):
            contents = [
                archive.segments.read(row.segment, offset=row.start, length=row.size_bytes) for row in blocks
            ]
            name, offsets = archive.segments.write(contents)
        with archive.writing("erase") as connection:
            for row, start in zip(blocks, offsets, strict=True):
                rows.move(connection, row._replace(segment=name, start=start))
            rows.change(connection)
