"""Making a backup of a store, be it in use or not."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path as FilePath
from typing import Final

import attrs

from eliza_state.backup.cut import Database, held, opened
from eliza_state.backup.manifest import (
    FORMAT,
    NAME,
    STORE,
    VERSION,
    Instant,
    Manifest,
    encode,
    software,
)
from eliza_state.backup.places import database_of, stands_at
from eliza_state.backup.running import in_thread
from eliza_state.backup.segments import SegmentCopies, named_by
from eliza_state.backup.verifying import verified
from eliza_state.backup.writing import described, remove_folder
from eliza_state.change import to_datetime
from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath
from eliza_state.health import Verification
from eliza_state.health.verifying import Progress, Told
from eliza_state.health.verifying.files import PLUGINS
from eliza_state.journal.source import ARCHIVE
from eliza_state.manager import StateManager

COPYING: Final = "copying"
READING: Final = "reading"
"""What is told as being done, beside the checks of the verification."""


@attrs.frozen(kw_only=True)
class Backup:
    """A backup that was made: its folder, what it says of itself, and what its verification found.

    What is damaged in the store is so in its copy; `verification.is_good` says that nothing is.
    """

    folder: FilePath
    manifest: Manifest
    verification: Verification


async def backup(
    store: StateManager | StrPath, to: StrPath, *, archive: StrPath | None = None, told: Told | None = None
) -> Backup:
    """Copy a store into a new folder `to`, as of one instant, while it is used, and verify the copy.

    `store` is an open manager, the URL of a store or the name of its file, whoever has it open. Of a manager,
    all that was dispatched before is in the backup; of any store, all that was durable. Nobody waits for it.
    The folder appears under its name once it is whole, durable and verified; before that it is called
    `<to>.unfinished-…`, which a killed backup leaves. It holds the journal, the archived scopes, of a store
    that is not open those beside it unless a folder `archive` is named, and what plugins keep beside it; no
    snapshots or indexes, which follow from them. What plugins keep elsewhere is not in it.
    `told` is told of progress, in the thread that does the work.
    Raises `StoreError` for a store that is not there, has no file, or cannot be read, and where `to` is there
    already or has no folder to be in; what the operating system raises, such as for a full disk. Nothing is
    left then.
    """
    if isinstance(store, StateManager):
        await store.flush()
        archive = archive or store.archive.folder
    database = database_of(store)
    folder = None if archive is None else FilePath(archive)
    return await in_thread(partial(made, database, FilePath(to), archive=folder), told=told)


def made(
    database: str, to: FilePath, told: Told, *, archive: FilePath | None = None, files: Files | None = None
) -> Backup:
    """Make a backup of a database's store; see `backup`."""
    files = Files() if files is None else files
    archive = FilePath(database + ARCHIVE) if archive is None else archive
    to = FilePath(os.path.abspath(to))
    _check_is_free(to)
    unfinished = to.with_name(f"{to.name}.unfinished-{uuid.uuid4().hex}")
    files.make_folder(unfinished)
    try:
        names = _copied(files, database, archive, unfinished, told)
        manifest = _manifest(unfinished, names, told)
        _write(files, unfinished / NAME, encode(manifest))
        files.sync_folder(unfinished)
        verification = verified(files, unfinished, told)
        _check_is_free(to)
        files.replace(unfinished, to)
    except BaseException:
        remove_folder(files, unfinished)
        raise
    files.sync_folder(to.parent)
    return Backup(folder=to, manifest=manifest, verification=verification)


def _check_is_free(to: FilePath) -> None:
    if os.path.lexists(to):
        raise StoreError(f"there is {str(to)!r} already; a backup is a new folder, so name a new one")
    if not to.parent.is_dir():
        raise StoreError(f"there is no folder {str(to.parent)!r} for the backup; create it first")


def _copied(files: Files, database: str, archive: FilePath, folder: FilePath, told: Told) -> list[str]:
    """Copy the files of a store, as of one instant; return what they are called in the backup."""
    segments = SegmentCopies(files, archive, folder, told=told)
    while True:
        suffixes = _suffixes(database)
        with opened([database + suffix for suffix in suffixes]) as databases, held(databases):
            wanted = named_by(databases[0])
            if segments.holds(wanted) and suffixes == _suffixes(database):
                for suffix, held_database in zip(suffixes, databases, strict=True):
                    target = folder / f"{STORE}{suffix}"
                    files.close(files.create(target, like=database + suffix))
                    _copy(held_database, target, told)
                return [STORE + suffix for suffix in suffixes] + segments.keep(wanted)
        segments.add(wanted)


def _suffixes(database: str) -> list[str]:
    """Return what stands behind the name of a database in those of the databases of its store."""
    return [suffix for suffix in ("", PLUGINS) if os.path.exists(database + suffix)]


def _copy(database: Database, target: FilePath, told: Told) -> None:
    def copied(done: int, total: int) -> None:
        told(Progress(f"{COPYING} {target.name}", done, total))

    database.copy(str(target), copied)


def _manifest(folder: FilePath, names: Sequence[str], told: Told) -> Manifest:
    done = 0
    total = sum((folder / name).stat().st_size for name in names)

    def read(piece: bytes) -> None:
        nonlocal done
        done += len(piece)
        told(Progress(READING, done, total))

    instant: Instant = stands_at(str(folder / STORE))
    return Manifest(
        format=FORMAT,
        version=VERSION,
        made_at=to_datetime(now_us()),
        epoch=instant.epoch,
        position=instant.position,
        recorded_at=instant.recorded_at,
        software=software(),
        files=tuple(described(folder, name, read=read) for name in names),
    )


def _write(files: Files, path: FilePath, content: bytes) -> None:
    handle = files.create(path)
    try:
        files.write(handle, content)
        files.sync(handle)
    finally:
        files.close(handle)
