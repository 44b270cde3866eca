"""The blocks of the archive: each is read, verified, and held against what the journal says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from eliza_state.errors import StoreError
from eliza_state.health.verifying.finding import Finding
from eliza_state.health.verifying.subject import Subject
from eliza_state.journal.archive.archive import JournalArchive
from eliza_state.journal.archive.block import Block
from eliza_state.journal.archive.rows import BlockRow
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path

SEGMENTS: Final = "segments"

_LOSS: Final = "the archived records of that scope cannot be read; restore the file from a backup"


def check_segments(subject: Subject) -> Iterator[Finding]:
    """Read every block of the archive: its checksum, its scope, how many records, where they lie."""
    if not isinstance(subject.journal, SqlJournal):
        return
    archive = subject.journal.archive
    headed: set[str] = set()
    for number, (path, row) in enumerate(archive.each_block(), 1):
        try:
            block = archive.blocks.read_file(row, scope=path.encode())
            if row.segment not in headed:
                headed.add(row.segment)
                archive.segments.check_head(row.segment)
        except StoreError as error:
            if archive.is_named(row):  # else it was moved meanwhile
                subject.damaged.update((row.first_position, row.last_position))
                yield _finding(archive, path, row, str(error))
        else:
            yield from _check(archive, path, row, block)
        subject.count(SEGMENTS, number)


def _check(archive: JournalArchive, path: Path, row: BlockRow, block: Block) -> Iterator[Finding]:
    """Look at what a whole block holds: order, places and versions."""
    last = 0
    versions: defaultdict[Path, list[int]] = defaultdict(list)
    for record in block.records:
        if record.position <= last or not (record.path == path or record.path.is_below(path)):
            yield _finding(archive, path, row, f"record {record.position} does not belong there")
        last = record.position
        versions[record.path].append(record.version)
    for scope, found in versions.items():
        if found != list(range(found[0], found[0] + len(found))):
            text = f"the versions of the archived records of {scope.encode()!r} have a gap"
            yield _finding(archive, scope, row, text)


def _finding(archive: JournalArchive, path: Path, row: BlockRow, message: str) -> Finding:
    folder = archive.segments.folder
    file = row.segment if folder is None else f"{folder.name}/{row.segment}"
    return Finding(
        check=SEGMENTS, message=message, path=path, position=row.first_position, file=file, loss=_LOSS
    )
