"""Putting files in the place of a store, so that it is never a mixture of two."""

from __future__ import annotations

import contextlib
import glob
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Final

from eliza_state.backup.manifest import STORE
from eliza_state.backup.writing import remove_folder
from eliza_state.errors import StoreError
from eliza_state.files import Files, replace_file
from eliza_state.health.verifying.files import DERIVED, PLUGINS
from eliza_state.journal.source import ARCHIVE, RESTORING

UNPACKED: Final = ".unpacked-"
"""What stands in the name of the folder in which a backup becomes a store again."""

_REPLACED: Final = ".replaced-"
_DATABASES: Final = ("", PLUGINS)
_SQLITE: Final = ("", "-wal", "-shm", "-journal")
_MARK: Final = b"A backup is being restored to this store, or that was cut off: restore it again.\n"


def names_of(database: str) -> list[str]:
    """Return the files and folders of a store that are there, whatever state it is in."""
    named = [database + suffix + of_sqlite for suffix in (*_DATABASES, *DERIVED) for of_sqlite in _SQLITE]
    return [name for name in (*named, database + ARCHIVE) if os.path.lexists(name)]


def is_cut_off(database: str) -> bool:
    """Tell whether a restore was cut off after it had begun to put files in the place of others."""
    return os.path.exists(database + RESTORING)


def check_is_free(database: str) -> None:
    """Raise `StoreError` where there is something of a store, naming it."""
    if names := names_of(database):
        found = ", ".join(map(os.path.basename, names))
        raise StoreError(
            f"there is a store at {database!r} ({found}); restore to another name, or have it replaced"
            " (`replace=True`, --replace)"
        )


def check_is_unused(database: str) -> None:
    """Raise `StoreError` if somebody has one of a store's databases open, be it only to read.

    SQLite leaves the write-ahead log for good only where nobody else has the database open.
    """
    for file in (database + suffix for suffix in _DATABASES):
        if not os.path.exists(file):
            continue
        try:
            with contextlib.closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode=DELETE").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreError(f"another program has {file!r} open; close it first") from None
        except sqlite3.DatabaseError:  # it is damaged, which may be why it is to be replaced
            pass


def sweep(files: Files, database: str) -> None:
    """Remove what restores left that were killed; nobody else may restore meanwhile."""
    for folder in glob.glob(glob.escape(database + UNPACKED) + "*"):
        remove_folder(files, folder)


def replaced(files: Files, database: str, *, unpacked: FilePath, names: Sequence[str]) -> FilePath | None:
    """Put the files of a folder in the place of a store's; return the folder that has the old ones, if any.

    From the first step to the last the store bears a mark with which it is refused. What the operating
    system raises on the way leaves the mark.
    """
    parent = FilePath(database).parent
    replace_file(files, database + RESTORING, _MARK)
    aside = _put_aside(files, database)
    for name in sorted(names, key=lambda name: name == STORE):  # the journal comes last
        files.replace(unpacked / name, database + name.removeprefix(STORE))
    files.sync_folder(parent)
    files.remove(database + RESTORING)
    files.sync_folder(parent)
    return aside


def _put_aside(files: Files, database: str) -> FilePath | None:
    old = names_of(database)
    if not old:
        return None
    aside = _new_folder(files, database)
    for name in old:
        files.replace(name, aside / os.path.basename(name))
    files.sync_folder(aside)
    return aside


def _new_folder(files: Files, database: str) -> FilePath:
    number = 1
    while True:
        folder = FilePath(f"{database}{_REPLACED}{number}")
        try:
            files.make_folder(folder)
        except FileExistsError:
            number += 1
        else:
            return folder
