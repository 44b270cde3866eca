"""Making a store of a backup again.

The files are made ready in a folder beside the store, then put in the place of what was there; see
`eliza_state.backup.replacing`. Killed before that, the old store is as it was; killed in the midst of it, the
store is refused until a backup is restored once more.

A store that goes on from a backup gives positions once more that it had given before. So it begins a new
life, with an epoch of its own: snapshots and indexes of the old one, wherever they lie, are not taken for its
own. Followers go on from where they stood in the backup. Replicas tell records by their writers, and each
opening of a store writes under a name of its own: what a replica has that the backup lacks, it gives back.
"""

from __future__ import annotations

import os
import uuid
from functools import partial
from pathlib import Path as FilePath
from typing import Final

import attrs
import msgspec
from sqlalchemy import URL, Connection, delete, insert

from eliza_state import sqlite
from eliza_state.backup.manifest import STORE, Manifest, NotABackup, read
from eliza_state.backup.places import database_of
from eliza_state.backup.replacing import (
    UNPACKED,
    check_is_free,
    check_is_unused,
    is_cut_off,
    replaced,
    sweep,
)
from eliza_state.backup.running import in_thread
from eliza_state.backup.writing import copy_file, remove_folder
from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath
from eliza_state.health import Verification, verify_files
from eliza_state.health.verifying import Progress, Told
from eliza_state.journal import schema
from eliza_state.journal.lease import Lease
from eliza_state.journal.source import ARCHIVE
from eliza_state.journal.sql import SqlJournal

ORIGIN: Final = "restored_from"
"""The name in the table `meta` under which stands of which backup a store was made, as JSON."""

COPYING: Final = "copying"
"""What is told as being done, beside the checks of the verification."""


@attrs.frozen(kw_only=True)
class Restored:
    """A store that was made of a backup: its file, its epoch from now on, and the backup's manifest.

    `replaced` is the folder with the files of the store that was there before, `None` where there was none.
    `verification` tells what is damaged, which was so in the store that the backup was made of.
    """

    database: FilePath
    epoch: str
    manifest: Manifest
    replaced: FilePath | None
    verification: Verification


async def restore(
    folder: StrPath, store: StrPath, *, replace: bool = False, told: Told | None = None
) -> Restored:
    """Make a store of the backup in a folder, at the URL of a store or the name of its file.

    The store gets a new epoch, and is as it was at the instant of the backup; scopes are folded from their
    records until new snapshots are taken. It is verified before it takes its place, and each file against
    its checksum. With `replace`, a store that is there is put aside, into a folder `<name>.replaced-…`
    beside it. No program may have it open. The backup stays as it is. `told` is told of progress, in the
    thread that does the work.
    Raises `NotABackup` for a folder that holds none, or whose files were changed; `StoreError` where a store
    is there and is not to be replaced, or is open; what the operating system raises. Nothing has changed
    then, unless it failed between the renaming of two files: then the store is refused until a restore is
    done, which needs no `replace`.
    """
    database = database_of(store, is_there=False)
    return await in_thread(partial(restored, FilePath(folder), database, replace=replace), told=told)


def restored(
    folder: FilePath, database: str, told: Told, *, replace: bool = False, files: Files | None = None
) -> Restored:
    """Make a store of a backup; see `restore`."""
    files = Files() if files is None else files
    manifest = read(files, folder)
    if not os.path.isdir(os.path.dirname(database)):
        raise StoreError(f"there is no folder {os.path.dirname(database)!r} for the store; create it first")
    lease = Lease(database, exclusive=True)
    try:
        if not (replace or is_cut_off(database)):
            check_is_free(database)
        check_is_unused(database)
        sweep(files, database)
        return _restored(files, folder, manifest, database, told)
    finally:
        lease.release()


def _restored(files: Files, folder: FilePath, manifest: Manifest, database: str, told: Told) -> Restored:
    unpacked = FilePath(f"{database}{UNPACKED}{uuid.uuid4().hex}")
    files.make_folder(unpacked)
    try:
        _unpack(files, folder, manifest, unpacked, told)
        database_url = URL.create("sqlite", database=str(unpacked / STORE))
        SqlJournal(database_url, writer="").close()  # which brings an older schema up to date
        verification = verify_files(str(unpacked / STORE), is_copy=True, told=told)
        epoch = _begin_anew(database_url, manifest)
        check_is_unused(database)
        aside = replaced(files, database, unpacked=unpacked, names=files.list(unpacked))
    finally:
        remove_folder(files, unpacked)
    return Restored(
        database=FilePath(database),
        epoch=epoch,
        manifest=manifest,
        replaced=aside,
        verification=verification,
    )


def _unpack(files: Files, folder: FilePath, manifest: Manifest, unpacked: FilePath, told: Told) -> None:
    """Copy the files of a backup; raises `NotABackup` for one that is not what the manifest says."""
    done = 0

    def read_piece(piece: bytes) -> None:
        nonlocal done
        done += len(piece)
        told(Progress(COPYING, done, manifest.size_bytes))

    if any(file.name.startswith(f"{STORE}{ARCHIVE}/") for file in manifest.files):
        files.make_folder(unpacked / f"{STORE}{ARCHIVE}")
    for file in manifest.files:
        try:
            copied = copy_file(files, folder / file.name, unpacked / file.name, read=read_piece)
        except FileNotFoundError:
            raise NotABackup(folder, f"its file {file.name} is missing") from None
        if copied != file.sha256:
            raise NotABackup(folder, f"the checksum of its file {file.name} differs: it was changed")


def _begin_anew(url: URL, manifest: Manifest) -> str:
    """Give a journal a new epoch, and note where it comes from; it leaves the database as one file."""
    epoch = str(uuid.uuid4())
    engine = sqlite.writing_engine(url, synchronous="FULL")
    try:
        with sqlite.translated("restore the store"), engine.begin() as connection:
            of_archive = schema.archive_epoch(connection) or manifest.epoch
            _set(connection, "epoch", epoch)
            _set(connection, schema.ARCHIVE_EPOCH, of_archive)
            told = {"epoch": manifest.epoch, "position": manifest.position, "made_at": manifest.made_at}
            _set(connection, ORIGIN, msgspec.json.encode(told).decode())
    finally:
        engine.dispose()
    return epoch


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(schema.meta).where(schema.meta.c.name == name))
    connection.execute(insert(schema.meta).values(name=name, value=value))
