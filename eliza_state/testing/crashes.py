"""What a power cut may leave of files, and errors at every step: for code that writes through `Files`.

>>> crash = CrashFiles("/store", {"state.json": b"old"})
>>> replace_file(crash, "/store/state.json", b"new")
>>> {state.files["state.json"] for state in crash.states()} == {b"old", b"new"}
True
>>> done = len(crash.operations)
>>> {state.files["state.json"] for state in crash.states(after=done)} == {b"new"}
True

What may be left, `eliza_state.testing.disk` says. It is looked at after every operation; CrashMonkey does so
after those that make something durable (J. Mohan et al., "Finding Crash-Consistency Bugs with Bounded
Black-Box Crash Testing", OSDI 2018).
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

import attrs

from eliza_state.files import Files, StrPath
from eliza_state.testing.disk import Disk, File, Folder, Node

LIMIT: Final = 100_000
# What renaming a file to a folder that it is in comes to: Linux looks first whether one is in the other.
_ONTO_FOLDER_ABOVE: Final = errno.ENOTEMPTY if sys.platform == "linux" else errno.EISDIR


@attrs.frozen
class CrashState:
    """What may be on the disk after a power cut.

    `files` are the contents by path below `root`, `folders` the folders there, with `/` between names.
    `after` is the number of operations that were done, at least, when the power was cut.
    """

    root: FilePath
    after: int
    files: Mapping[str, bytes]
    folders: tuple[str, ...] = ()

    def mount(self) -> CrashFiles:
        """Return the files as the next process finds them, all of them durable, to recover from."""
        return CrashFiles(self.root, self.files, folders=self.folders)

    def write_to(self, folder: StrPath) -> None:
        """Write the files into a real folder, which is there and empty."""
        for name in self.folders:
            FilePath(folder, name).mkdir()
        for name, content in self.files.items():
            FilePath(folder, name).write_bytes(content)


@attrs.frozen
class _Step:
    text: str
    method: str
    arguments: tuple[Any, ...]


class CrashFiles(Files):
    """Files in memory which remember what was done to them, and tell what a power cut may leave.

    `root` is the one folder there is, whether or not a real one has that name; `content` the durable files in
    it, by their paths below it, and `folders` the folders that hold none. A path is what `pathlib` makes of
    it; one outside, or with `..` in it, raises `ValueError`. Errors are those of the operating system. Only
    files can be renamed, not folders. There are no permissions and no links.
    """

    def __init__(
        self, root: StrPath, content: Mapping[str, bytes] | None = None, *, folders: Iterable[str] = ()
    ) -> None:
        self.root = FilePath(os.path.abspath(root))
        self._initial = CrashState(self.root, 0, dict(content or {}), tuple(folders))
        self._disk = Disk()
        self._steps: list[_Step] = []
        self._handles: dict[int, tuple[str, File]] = {}
        self._next_handle = itertools.count(1)
        for name in self._initial.folders:
            self._durable_folder(name.split("/"))
        for name, data in self._initial.files.items():
            *above, last = name.split("/")
            folder = self._durable_folder(above)
            if last in folder.names:
                raise ValueError(f"expected a file or a folder, got both as {name!r}")
            folder.names[last] = folder.durable[last] = File(data)

    def _durable_folder(self, names: Iterable[str]) -> Folder:
        folder = self._disk.root
        for name in names:
            below = folder.names.setdefault(name, Folder())
            if isinstance(below, File):
                raise ValueError(f"expected a file or a folder, got both as {name!r}")
            folder.durable[name] = folder = below
        return folder

    @property
    def operations(self) -> tuple[str, ...]:
        """What was done so far, as text, without what changes nothing on the disk: reading and closing."""
        return tuple(step.text for step in self._steps)

    @property
    def open_handles(self) -> int:
        """How many handles were not closed yet."""
        return len(self._handles)

    def states(self, *, after: int = 0, limit: int = LIMIT) -> tuple[CrashState, ...]:
        """Return every different state that a power cut may leave once `after` operations are done.

        From the start, by default; `after=len(crash.operations)` gives those of a power cut right now. A
        state that several moments may leave is there once, with the earliest. The order is always the same.
        Raises `ValueError` when there are more than `limit` possibilities to look at.
        """
        found: dict[Any, CrashState] = {}
        looked_at = 0
        again = self._initial.mount()
        for done in range(len(self._steps) + 1):
            if done:
                step = self._steps[done - 1]
                getattr(again, step.method)(*step.arguments)
            if done < after:
                continue
            for files, folders in again._disk.remains(limit):
                looked_at += 1
                if looked_at > limit:
                    raise ValueError(
                        f"expected at most {limit:,} states, got more after {done} operations;"
                        " record a shorter run, with fewer writes before a sync, or raise the limit"
                    )
                key = (tuple(files.items()), folders)
                found.setdefault(key, CrashState(self.root, done, files, folders))
        return tuple(found.values())

    def read(self, path: StrPath, *, limit_bytes: int = -1, offset: int = 0) -> bytes:
        node = self._node(path)
        if isinstance(node, Folder):
            raise _error(errno.EISDIR, path)
        if limit_bytes < -1:
            raise ValueError("read length must be non-negative or -1")
        content = node.content()[offset:]
        return content if limit_bytes == -1 else content[:limit_bytes]

    def create(self, path: StrPath, *, like: StrPath | None = None) -> int:
        folder, name = self._free(path)
        handle = next(self._next_handle)
        file = File()
        self._disk.change(folder, {name: file})
        self._handles[handle] = (self._name(path), file)
        self._done(f"create {self._name(path)}", "create", path)
        return handle

    def write(self, handle: int, data: bytes) -> None:
        name, file = self._opened(handle)
        file.unsynced.append(bytes(data))
        self._done(f"write {len(data)} bytes to {name}", "write", handle, bytes(data))

    def sync(self, handle: int) -> None:
        name, file = self._opened(handle)
        file.sync()
        self._done(f"sync {name}", "sync", handle)

    def close(self, handle: int) -> None:
        self._opened(handle)
        del self._handles[handle]

    def replace(self, source: StrPath, target: StrPath) -> None:
        old, old_name = self._parent(source)
        new, new_name = self._parent(target)
        file = self._node(source)
        if isinstance(file, Folder):
            raise _error(errno.EISDIR, source, target)
        if isinstance(self._found(target), Folder):
            is_above = self._relative(source).is_relative_to(self._relative(target))
            raise _error(_ONTO_FOLDER_ABOVE if is_above else errno.EISDIR, source, target)
        if old is new:
            self._disk.change(old, {old_name: None, new_name: file})
        else:
            self._disk.change(old, {old_name: None}, self._disk.change(new, {new_name: file}))
        self._done(f"replace {self._name(target)} by {self._name(source)}", "replace", source, target)

    def sync_folder(self, path: StrPath) -> None:
        self._disk.sync(self._folder(path))
        self._done(f"sync the folder {self._name(path)}", "sync_folder", path)

    def remove(self, path: StrPath) -> None:
        if isinstance(self._node(path), Folder):
            raise _error(errno.EISDIR, path)
        folder, name = self._parent(path)
        self._disk.change(folder, {name: None})
        self._done(f"remove {self._name(path)}", "remove", path)

    def make_folder(self, path: StrPath) -> None:
        folder, name = self._free(path)
        self._disk.change(folder, {name: Folder()})
        self._done(f"make the folder {self._name(path)}", "make_folder", path)

    def list(self, path: StrPath) -> tuple[str, ...]:
        return tuple(sorted(self._folder(path).names))

    def exists(self, path: StrPath) -> bool:
        return self._found(path) is not None

    def _done(self, text: str, method: str, *arguments: Any) -> None:
        self._steps.append(_Step(text, method, arguments))

    def _name(self, path: StrPath) -> str:
        return self._relative(path).as_posix()

    def _relative(self, path: StrPath) -> FilePath:
        absolute = FilePath(os.path.abspath(path))
        if not absolute.is_relative_to(self.root):
            raise ValueError(f"expected a path in {str(self.root)!r}, got {os.fspath(path)!r}")
        if ".." in FilePath(path).parts:
            # What it leads to depends on what is before it: it may be missing, or a link.
            raise ValueError(f"expected a path without '..', got {os.fspath(path)!r}")
        return absolute.relative_to(self.root)

    def _node(self, path: StrPath) -> Node:
        node: Node = self._disk.root
        for name in self._relative(path).parts:
            if isinstance(node, File):
                raise _error(errno.ENOTDIR, path)
            if name not in node.names:
                raise _error(errno.ENOENT, path)
            node = node.names[name]
        return node

    def _found(self, path: StrPath) -> Node | None:
        try:
            return self._node(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _folder(self, path: StrPath) -> Folder:
        node = self._node(path)
        if isinstance(node, File):
            raise _error(errno.ENOTDIR, path)
        return node

    def _parent(self, path: StrPath) -> tuple[Folder, str]:
        relative = self._relative(path)
        return self._folder(self.root / relative.parent), relative.name

    def _free(self, path: StrPath) -> tuple[Folder, str]:
        if self.exists(path):
            raise _error(errno.EEXIST, path)
        return self._parent(path)

    def _opened(self, handle: int) -> tuple[str, File]:
        if handle not in self._handles:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._handles[handle]


class FailingFiles(Files):
    """Other files, of which one operation fails: the `fail_at`-th, counted from 1 over all of them.

    >>> for number in itertools.count(1):
    ...     failing = FailingFiles(CrashFiles("/store", {"a": b"old"}), fail_at=number)
    ...     try:
    ...         replace_file(failing, "/store/a", b"new")
    ...     except OSError:
    ...         assert failing.read("/store/a") in {b"old", b"new"}
    ...     if not failing.has_failed:
    ...         break

    It raises `error`, by default that the disk is full, and has not happened; but a write has written
    `partial_bytes` before, and a close has closed. Without `fail_at` operations are only counted.
    """

    def __init__(
        self,
        files: Files,
        *,
        fail_at: int | None = None,
        error: BaseException | None = None,
        partial_bytes: int = 0,
    ) -> None:
        self._files = files
        self._fail_at = fail_at
        self._error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if error is None else error
        self._partial_bytes = partial_bytes
        self.operations = 0

    @property
    def has_failed(self) -> bool:
        """Tell whether the operation that fails has come."""
        return self._fail_at is not None and self.operations >= self._fail_at

    def read(self, path: StrPath, *, limit_bytes: int = -1, offset: int = 0) -> bytes:
        self._count()
        return self._files.read(path, limit_bytes=limit_bytes, offset=offset)

    def create(self, path: StrPath, *, like: StrPath | None = None) -> int:
        self._count()
        return self._files.create(path, like=like)

    def write(self, handle: int, data: bytes) -> None:
        try:
            self._count()
        except BaseException:
            if self._partial_bytes:
                self._files.write(handle, data[: self._partial_bytes])
            raise
        self._files.write(handle, data)

    def sync(self, handle: int) -> None:
        self._count()
        self._files.sync(handle)

    def close(self, handle: int) -> None:
        self._files.close(handle)
        self._count()

    def replace(self, source: StrPath, target: StrPath) -> None:
        self._count()
        self._files.replace(source, target)

    def sync_folder(self, path: StrPath) -> None:
        self._count()
        self._files.sync_folder(path)

    def remove(self, path: StrPath) -> None:
        self._count()
        self._files.remove(path)

    def make_folder(self, path: StrPath) -> None:
        self._count()
        self._files.make_folder(path)

    def list(self, path: StrPath) -> tuple[str, ...]:
        self._count()
        return self._files.list(path)

    def exists(self, path: StrPath) -> bool:
        self._count()
        return self._files.exists(path)

    def _count(self) -> None:
        self.operations += 1
        if self.operations == self._fail_at:
            raise self._error


def _error(code: int, path: StrPath, *other: StrPath) -> OSError:
    names: list[Any] = [os.fspath(path)]
    for name in other:
        names += [None, os.fspath(name)]
    return OSError(code, os.strerror(code), *names)
