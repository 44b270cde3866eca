"""The segment files of a store's archive, as many as the journal of the backup names.

They never change, and the journal names one only once it is there; but one that is named no more is removed.
So they are copied while nothing is held, and the journal is held once all that it names are there.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path as FilePath
from typing import Final

from eliza_state.backup.cut import Database
from eliza_state.backup.manifest import STORE
from eliza_state.backup.writing import copy_file
from eliza_state.errors import StoreError
from eliza_state.files import Files
from eliza_state.health.verifying import Progress, Told
from eliza_state.journal import schema
from eliza_state.journal.source import ARCHIVE

_TABLE: Final = schema.archive_block.name
_IS_THERE: Final = f"SELECT name FROM sqlite_schema WHERE name = '{_TABLE}'"  # noqa: S608  # constants only
_NAMED: Final = f"SELECT DISTINCT segment FROM {_TABLE}"  # noqa: S608  # constants only


def named_by(journal: Database) -> set[str]:
    """Return the names of the segments that a journal names, as it is held."""
    # An older schema has no archive.
    return set(journal.column(_NAMED)) if journal.column(_IS_THERE) else set()


class SegmentCopies:
    """Copies of the segments in a folder, made in the folder of a backup."""

    def __init__(self, files: Files, archive: FilePath, backup: FilePath, *, told: Told) -> None:
        self._files = files
        self._archive = archive
        self._copies = backup / f"{STORE}{ARCHIVE}"
        self._told = told
        self._copied: set[str] = set()
        self._missing: set[str] = set()

    def holds(self, wanted: Collection[str]) -> bool:
        """Tell whether all of these are copied; raises `StoreError` where one of them cannot be found.

        One that was not there when it was to be copied may have been removed, but is not named then.
        """
        lost = self._missing.intersection(wanted)
        if lost:
            raise StoreError(
                f"the segment {min(lost)!r}, which the journal names, is not in {str(self._archive)!r};"
                " if the archive is another folder, name it"
            )
        return self._copied.issuperset(wanted)

    def add(self, wanted: Collection[str]) -> None:
        """Copy those that are not copied yet and are there."""
        if not self._files.exists(self._copies):
            self._files.make_folder(self._copies)
        lacking = sorted(set(wanted) - self._copied)
        for number, name in enumerate(lacking):
            self._told(Progress("copying the archive", number, len(lacking)))
            try:
                copy_file(self._files, self._archive / name, self._copies / name, read=lambda _piece: None)
            except FileNotFoundError:
                self._missing.add(name)
            else:
                self._copied.add(name)

    def keep(self, wanted: Collection[str]) -> list[str]:
        """Remove the copies of all others, and return what those that stay are called in the backup."""
        for name in self._copied.difference(wanted):
            self._files.remove(self._copies / name)
        if self._files.exists(self._copies):
            self._files.sync_folder(self._copies)
        return [f"{self._copies.name}/{name}" for name in sorted(wanted)]
