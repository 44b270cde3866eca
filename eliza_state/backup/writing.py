"""Files of a backup: copied whole and durably, with what the manifest says of them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Final

from eliza_state.backup.manifest import BackupFile
from eliza_state.files import Files, StrPath

_PIECE_BYTES: Final = 1024 * 1024


def copy_file(files: Files, source: StrPath, target: StrPath, *, read: Callable[[bytes], None]) -> str:
    """Copy a file to a new name, with its permissions, durably; return the SHA-256 of its content.

    `read` is told of each piece. The name is durable once its folder was synced. After an error a part may be
    there.
    """
    digest = hashlib.sha256()
    with open(source, "rb") as reading:
        handle = files.create(target, like=source)
        try:
            while piece := reading.read(_PIECE_BYTES):
                files.write(handle, piece)
                digest.update(piece)
                read(piece)
            files.sync(handle)
        finally:
            files.close(handle)
    return digest.hexdigest()


def described(folder: FilePath, name: str, *, read: Callable[[bytes], None]) -> BackupFile:
    """Read a file through and return what the manifest is to say of it."""
    digest = hashlib.sha256()
    size_bytes = 0
    with open(folder / name, "rb") as reading:
        while piece := reading.read(_PIECE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
            read(piece)
    return BackupFile(name=name, size_bytes=size_bytes, sha256=digest.hexdigest())


def remove_folder(files: Files, folder: StrPath) -> None:
    """Remove a folder with all that is in it, as far as that can be done: it is of no use any more."""
    folder = FilePath(folder)
    with contextlib.suppress(OSError):
        for name in files.list(folder):
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                remove_folder(files, path)
            else:
                files.remove(path)
        folder.rmdir()
