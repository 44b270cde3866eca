"""The files of an archive, one a key: read, written and looked through by threads, and by several processes.

Files are read without a lock, since they are only ever replaced whole. Who writes holds the lock of the
folder that the file is in, `<folder>.lock`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path as FilePath
from typing import Final

import attrs
from filelock import FileLock

from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.files import Files, make_folders, replace_file
from eliza_state.storage.backend import GONE, Entry, Mark, Write, Written, deadline_of, outcome_of
from eliza_state.storage.disk.access import file_lock, take_lock
from eliza_state.storage.disk.archive_entry import (
    START_BYTES,
    Header,
    LaterFormat,
    Unreadable,
    compress,
    decompress,
    pack,
    place_of,
    read_header,
    read_whole,
)
from eliza_state.storage.errors import DamagedValue, ValueTooLarge

_logger = logging.getLogger(__name__)
_FOLDER: Final = re.compile(r"[0-9a-f]{2}")
_FILE: Final = re.compile(r"[0-9a-f]{30}")
_TEMPORARY: Final = re.compile(r"[0-9a-f]{30}\.temporary-[0-9]+")
_ANY: Final = re.compile(f"{_FILE.pattern}|{_TEMPORARY.pattern}")
_LOCK_TIMEOUT_S: Final = 10.0


@attrs.frozen
class Damaged:
    """A file of an archive that cannot be read: where it is, why, and its key where that is legible."""

    path: FilePath
    reason: str
    key: str | None = None


@attrs.frozen
class ArchiveFiles:
    """Do the work of an archive, blocking. Errors of the operating system go through unchanged."""

    folder: FilePath
    files: Files
    clock: Clock
    level: int
    max_value_bytes: int
    _locks: dict[str, tuple[threading.Lock, FileLock]] = attrs.field(init=False, factory=dict)
    _lock: threading.Lock = attrs.field(init=False, factory=threading.Lock)
    _durable: set[str] = attrs.field(init=False, factory=set)

    def folders(self) -> list[str]:
        """Return the names of the folders that files are in."""
        return [name for name in self.files.list(self.folder) if _FOLDER.fullmatch(name)]

    def _path(self, key: str) -> FilePath:
        return self.folder.joinpath(*place_of(key))

    # reading

    def read(self, keys: Iterable[str]) -> dict[str, Entry[bytes]]:
        """Return the entries of those keys that have one. Raises `DamagedValue` for one that is damaged."""
        found: dict[str, Entry[bytes]] = {}
        for key in keys:
            path = self._path(key)
            with contextlib.suppress(FileNotFoundError), _naming(key, path):
                header, stored = read_whole(partial(self._start, path))
                found[key] = self._entry(_own(header, key, path), stored)
        return found

    def _start(self, path: FilePath, limit_bytes: int) -> bytes:
        return self.files.read(path, limit_bytes=limit_bytes)

    def _entry(self, header: Header, stored: bytes) -> Entry[bytes]:
        if header.size_bytes > self.max_value_bytes:
            raise ValueTooLarge(header.key, size_bytes=header.size_bytes, max_bytes=self.max_value_bytes)
        value = GONE if header.gone else decompress(header, stored)
        return Entry(value, header.version, header.deadline_ms, header.ttl_ms)

    def look(self, keys: Iterable[str]) -> dict[str, Mark]:
        """Return the marks of those keys that have an entry, from the headers alone."""
        found = ((key, self._header(key)) for key in keys)
        return {key: header.mark for key, header in found if header is not None}

    def _header(self, key: str) -> Header | None:
        path = self._path(key)
        with contextlib.suppress(FileNotFoundError), _naming(key, path):
            return _own(read_header(self._start(path, START_BYTES))[0], key, path)
        return None

    def headers(self, folder: str) -> Iterator[Header]:
        """Yield the headers of the files in a folder; those that cannot be read are logged and left out."""
        for name in self._names(folder, _FILE):
            path = self.folder / folder / name
            try:
                header, _ = read_header(self._start(path, START_BYTES))
            except (FileNotFoundError, IsADirectoryError):
                continue  # removed meanwhile, or never one of ours
            except (Unreadable, LaterFormat) as error:
                _logger.warning(
                    "left out of an archive's keys, since it cannot be read: %r: %s", str(path), error
                )
                continue
            if place_of(header.key) == (folder, name):
                yield header

    def _names(self, folder: str, pattern: re.Pattern[str]) -> list[str]:
        try:
            return [name for name in self.files.list(self.folder / folder) if pattern.fullmatch(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    # writing: keys whose files are in one folder

    @contextlib.contextmanager
    def _locked(self, folder: str) -> Generator[None]:
        with self._lock:
            if folder not in self._locks:
                # Threads wait for each other here: waiting for a lock between processes is polling.
                self._locks[folder] = (threading.Lock(), file_lock(self.folder / f"{folder}.lock"))
            ours, theirs = self._locks[folder]
        with ours:
            take_lock(theirs, timeout_s=_LOCK_TIMEOUT_S)
            try:
                yield
            finally:
                theirs.release()

    @contextlib.contextmanager
    def _changing(self, folder: str, *, make: bool = False) -> Generator[None]:
        """Hold the lock of a folder and know that what is in it is durable, and the folder itself.

        Somebody may have failed between a change and its syncing: who sees the change must not build on it.
        """
        with self._locked(folder):
            try:
                if folder not in self._durable:
                    self._make_durable(folder, make=make)
                yield
            except OSError:
                self._durable.discard(folder)
                raise

    def _make_durable(self, folder: str, *, make: bool) -> None:
        path = self.folder / folder
        if make:
            make_folders(self.files, path)
        if make or self.files.exists(path):
            self.files.sync_folder(self.folder)
            self.files.sync_folder(path)
            self._durable.add(folder)

    def write(self, folder: str, writes: Sequence[Write[bytes]]) -> list[Written]:
        """Store entries one after the other. An error ends it; then those before are stored."""
        stored = [b"" if write.value is GONE else compress(write.value, level=self.level) for write in writes]
        with self._changing(folder, make=True):
            return [self._write(write, content) for write, content in zip(writes, stored, strict=True)]

    def _write(self, write: Write[bytes], stored: bytes) -> Written:
        below = self._mark_below(write)
        written = outcome_of(write, below, now_us=self.clock())
        if written.is_stored:
            header = Header(
                key=write.key,
                version=written.version,
                size_bytes=0 if write.value is GONE else len(write.value),
                stored_bytes=len(stored),
                deadline_ms=deadline_of(write, below),
                ttl_ms=write.ttl_ms,
                gone=write.value is GONE,
            )
            replace_file(self.files, self._path(write.key), pack(header, stored))
        return written

    def _mark_below(self, write: Write[bytes]) -> Mark | None:
        """Return the mark of what a write would replace; damage is no obstacle to one without conditions."""
        try:
            header = self._header(write.key)
        except _Torn as error:
            if write.expected is not None or write.version is not None:
                raise
            _logger.warning("written anew in an archive: %s", error)
            return None
        return None if header is None else header.mark

    def touch(self, folder: str, keys: Iterable[str]) -> set[str]:
        """Roll the deadlines of live keys on by their durations; return the live keys."""
        with self._changing(folder):
            return {key for key in keys if self._touch(key)}

    def _touch(self, key: str) -> bool:
        header = self._header(key)
        now_ms = self.clock() // 1_000
        if header is None or not header.mark.is_live(now_ms):
            return False
        if header.ttl_ms is not None and header.deadline_ms != now_ms + header.ttl_ms:
            path = self._path(key)
            with _naming(key, path):
                header, stored = read_whole(partial(self._start, path))
            replace_file(self.files, path, pack(header.rolled_on(now_ms), stored))
        return True

    def remove(self, folder: str, keys: Iterable[str], *, dead_only: bool = False) -> int:
        """Remove entries, with `dead_only` those past their deadline; return how many were alive.

        A damaged file goes too and counts as alive; with `dead_only` it stays.
        """
        now_ms = self.clock() // 1_000
        with self._changing(folder):
            marks = {key: self._mark_to_remove(key) for key in keys}
            going = {
                key: mark
                for key, mark in marks.items()
                if mark is not None and (mark.is_past(now_ms) or not dead_only)
            }
            self._remove_files(folder, map(self._path, going))
        return sum(mark.is_live(now_ms) for mark in going.values())

    def _mark_to_remove(self, key: str) -> Mark | None:
        try:
            header = self._header(key)
        except _Torn:
            return Mark(version=0)
        return None if header is None else header.mark

    def _remove_files(self, folder: str, paths: Iterable[FilePath]) -> None:
        removed = 0
        try:
            for path in paths:
                self.files.remove(path)
                removed += 1
        finally:
            if removed:
                self.files.sync_folder(self.folder / folder)

    def clear(self, folder: str, space: str) -> None:
        """Remove the entries of a namespace and of those below; with the empty text also what is damaged."""
        with self._changing(folder):
            if space:
                paths = [self._path(h.key) for h in self.headers(folder) if h.key.startswith(space)]
            else:
                paths = [self.folder / folder / name for name in self._names(folder, _ANY)]
            self._remove_files(folder, paths)

    def sweep(self, folder: str, *, limit: int) -> list[str]:
        """Remove up to `limit` entries past their deadline, and what is left of writes that were cut off.

        Returns the keys of the entries.
        """
        if not self._dead(folder) and not self._names(folder, _TEMPORARY):
            return []  # without waiting for a lock
        with self._changing(folder):
            dead = self._dead(folder)[:limit]
            # Nobody writes here now: whoever began these files is gone.
            left = [self.folder / folder / name for name in self._names(folder, _TEMPORARY)]
            self._remove_files(folder, [*map(self._path, dead), *left])
        return dead

    def _dead(self, folder: str) -> list[str]:
        now_ms = self.clock() // 1_000
        return [header.key for header in self.headers(folder) if header.mark.is_past(now_ms)]

    # looking through

    def verify(self, folder: str) -> tuple[int, list[Damaged]]:
        """Read every file of a folder whole; return how many are good, and those that are not."""
        good = 0
        damaged: list[Damaged] = []
        for name in self._names(folder, _FILE):
            path = self.folder / folder / name
            key: str | None = None
            try:
                header, stored = read_whole(partial(self._start, path))
                key = header.key
                if place_of(key) != (folder, name):
                    raise Unreadable("its key belongs in another place: it was moved or renamed")
                self._entry(header, stored)
            except FileNotFoundError:
                continue  # removed meanwhile
            except (Unreadable, LaterFormat, ValueTooLarge, OSError) as error:
                damaged.append(Damaged(path, str(error), key))
            else:
                good += 1
        return good, damaged


class _Torn(DamagedValue):
    """The file cannot be read: it may be replaced, unlike one that holds another key."""


@contextlib.contextmanager
def _naming(key: str, path: FilePath) -> Generator[None]:
    """Say which key and which file cannot be read."""
    try:
        yield
    except Unreadable as error:
        raise _Torn(key, f"the file {str(path)!r} is damaged: {error}") from None
    except LaterFormat as error:
        raise StoreError(f"cannot read {str(path)!r}: {error}") from None


def _own(header: Header, key: str, path: FilePath) -> Header:
    if header.key != key:
        raise DamagedValue(key, f"the file {str(path)!r} holds another key, {header.key!r}")
    return header
