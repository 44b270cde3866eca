"""Moving scopes of a journal into its archive and back, as a manager does, without one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from eliza_state.files import Files
from eliza_state.journal.archive.archive import Listed
from eliza_state.journal.archive.erasing import Erasing
from eliza_state.journal.archive.returning import Returning
from eliza_state.journal.archive.segment import Segments
from eliza_state.journal.archive.storing import Moving, Storing
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import open_sql

WHOLE_S = 60.0


def open_with_archive(file: FilePath, *, files: Files | None = None, **options: Any) -> SqlJournal:
    """Open a journal whose archive is beside its file; the caller closes it."""
    segments = Segments(FilePath(f"{file}-archive"), files or Files(), like=file)
    return open_sql(file, segments=segments, **options)


def store(
    journal: SqlJournal, *paths: Path, states: Mapping[str, bytes] | None = None, clear: bool = True
) -> list[Moving]:
    """Move scopes into the archive, those that are there already left out; return what was overtaken."""
    with journal.archive.locked():
        storing = Storing(journal.archive)
        wanted = [path for path in paths if journal.archived_scope(path) is None]
        packed = [storing.add(path, lambda _path, _reached: states or {}) for path in wanted]
        storing.finish()
        left = storing.name([moving for moving in packed if moving is not None])
        while clear and storing.clear(for_s=WHOLE_S):
            continue
    return left


def restore(journal: SqlJournal, path: Path) -> list[Listed]:
    """Move all that is archived at, above or below a path back; return what that was."""
    with journal.archive.locked():
        concerned = journal.archive.concerned(path)
        for listed in concerned:
            step = partial(Returning(journal.archive, listed).step, for_s=WHOLE_S)
            while step():
                continue
        Erasing(journal.archive).sweep()
    return concerned


def segments_of(journal: SqlJournal) -> list[FilePath]:
    """Return the segment files that are there."""
    folder = journal.archive.segments.folder
    assert folder is not None
    return [folder / name for name in journal.archive.segments.names()]
