"""Files that a power cut leaves as they were or as they shall be: the steps, and what is made of them.

Code that writes files takes a `Files` and goes through it alone. Then a test can put
`eliza_state.testing.CrashFiles` there and look at everything that a power cut may leave.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from itertools import takewhile
from pathlib import Path as FilePath
from typing import Final, TypeAlias

if sys.platform == "darwin":
    import fcntl

StrPath: TypeAlias = "str | os.PathLike[str]"

# What file systems of macOS say that do not know F_FULLFSYNC; what libuv found in their sources (its #2135).
_NO_FULL_SYNC: Final = (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY)
# Windows would change ends of lines without it; the others have no such flag.
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)
# What file systems say that do not sync folders; PostgreSQL lets those pass as well (`fsync_fname_ext`).
_NO_FOLDER_SYNC: Final = (errno.EBADF, errno.EINVAL)


class Files:
    """The operating system's files, one step at a time.

    Each method is one step and the power may be cut between any two; errors of the operating system go
    through unchanged. A handle belongs to whoever created it, who closes it.
    """

    def read(self, path: StrPath, *, limit_bytes: int = -1, offset: int = 0) -> bytes:
        """Return the content of a file from an offset on, up to a limit (-1: none).

        Behind its end there is nothing. A missing file raises `FileNotFoundError`.
        """
        with open(path, "rb") as file:
            if offset:
                file.seek(offset)
            return file.read(limit_bytes)

    def create(self, path: StrPath, *, like: StrPath | None = None) -> int:
        """Make an empty file and return a handle to write to; one that is there raises `FileExistsError`.

        It gets the permissions of a new file. Where there is a file `like`, it gets that one's, and its owner
        and group as far as the system lets this process give it to them.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
        model = None if like is None else _file_status(like)
        if model is None:
            return os.open(path, flags, 0o666)
        handle = os.open(path, flags, 0o600)  # nobody may open it who may not read it in the end
        try:
            _take_after(handle, model)
        except BaseException:
            os.close(handle)
            os.unlink(path)
            raise
        return handle

    def write(self, handle: int, data: bytes) -> None:
        """Write all of the data behind what the handle has written; after an error, a part may be there."""
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]

    def sync(self, handle: int) -> None:
        """Make durable what the handle has written; the file's name is another matter: `sync_folder`."""
        if sys.platform == "darwin":
            # fsync leaves the data in the drive's own cache there: fsync(2)
            try:
                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            except OSError as error:
                if error.errno not in _NO_FULL_SYNC:
                    raise
            else:
                return
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """Close a handle; also where it raises, the handle is gone."""
        os.close(handle)

    def replace(self, source: StrPath, target: StrPath) -> None:
        """Give a file another name in one step, in place of what may have had that name."""
        os.replace(source, target)

    def sync_folder(self, path: StrPath) -> None:
        """Make durable which names a folder holds: files made, renamed and removed.

        On Windows, and on a file system that knows nothing of the kind, it does nothing.
        """
        if sys.platform == "win32":
            return
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sync(handle)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(handle)

    def remove(self, path: StrPath) -> None:
        """Remove a file; a missing one raises `FileNotFoundError`."""
        os.unlink(path)

    def make_folder(self, path: StrPath) -> None:
        """Make one folder in a folder that is there; one that is there itself raises `FileExistsError`."""
        os.mkdir(path)

    def list(self, path: StrPath) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""
        return tuple(sorted(os.listdir(path)))

    def exists(self, path: StrPath) -> bool:
        """Tell whether there is a file or a folder of that name."""
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def replace_file(files: Files, path: StrPath, content: bytes, *, like: StrPath | None = None) -> None:
    """Write a file whole: after a power cut at any moment it is the old one or the new one.

    When it returns, the new one is durable. When it raises what the operating system raised, the old one is
    there, except after an error of the last step (making the new name durable): then it is one of the two.

    The content goes to a new file `<name>.temporary-<n>` in the same folder, is synced, takes the name over,
    and the folder is synced (T. S. Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). An
    error removes the temporary file, a power cut may leave it. The file keeps the permissions that it had (or
    gets those of another one, `like`), and owner and group where the system permits it; a symbolic link is
    replaced, not followed.
    """
    path = FilePath(path)
    temporary, handle = _create_beside(files, path, "temporary", like=FilePath(like or path))
    try:
        try:
            files.write(handle, content)
            files.sync(handle)
        finally:
            files.close(handle)
        files.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            files.remove(temporary)
        raise
    files.sync_folder(path.parent)


def set_aside(files: Files, path: StrPath) -> FilePath:
    """Rename a damaged file to `<name>.damaged-<n>`, by the lowest number that is free; return that path.

    Nothing is ever overwritten: the new name is taken by an empty file first, which a power cut may leave.
    Raises what the operating system raises; the file then has its old name or its new one.
    """
    path = FilePath(path)
    aside, handle = _create_beside(files, path, "damaged")
    try:
        files.close(handle)
        files.replace(path, aside)
    except BaseException:
        with contextlib.suppress(OSError):
            if not files.read(aside):  # an empty file is no loss, even if it should be the damaged one
                files.remove(aside)
        raise
    files.sync_folder(path.parent)
    return aside


def make_folders(files: Files, path: StrPath) -> None:
    """Make a folder and those above it that are missing, each of them durable."""
    path = FilePath(path)
    missing = list(takewhile(lambda folder: not files.exists(folder), (path, *path.parents)))
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):  # somebody else made it meanwhile
            files.make_folder(folder)
        files.sync_folder(folder.parent)


def _create_beside(
    files: Files, path: FilePath, word: str, *, like: FilePath | None = None
) -> tuple[FilePath, int]:
    number = 1
    while True:
        beside = path.with_name(f"{path.name}.{word}-{number}")
        try:
            return beside, files.create(beside, like=like)
        except FileExistsError:
            number += 1


def _file_status(path: StrPath) -> os.stat_result | None:
    """Return what the system knows of a file; `None` where there is none, or something else."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _take_after(handle: int, model: os.stat_result) -> None:
    """Give a new file the permissions of another, and its group and owner where that is permitted."""
    if sys.platform == "win32":
        return
    permissions = model.st_mode & 0o777
    with contextlib.suppress(OSError):
        os.fchown(handle, -1, model.st_gid)
    if os.fstat(handle).st_gid != model.st_gid:
        # What its group may do is not meant for this one: it may do what others may.
        permissions = permissions & ~0o070 | (permissions & 0o007) << 3
    os.fchmod(handle, permissions)
    with contextlib.suppress(OSError):
        os.fchown(handle, model.st_uid, -1)  # in the end: the file may not be ours to change then
