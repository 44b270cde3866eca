"""A storage for what is seldom read: one file a key, compressed, with checksums that are verified on reading.

>>> async with ArchiveStorage[dict]("data/archive") as archive:
...     await archive.set("conversation:7", {"messages": 48_211})

A file's name is a digest of the key, the key stands inside (`eliza_state.storage.disk.archive_entry`). Any
number of processes may use one folder.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar

from eliza_serializers import Serializer
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath, make_folders
from eliza_state.storage.backend import GONE, Backend, Entry, Mark, Marks, Write, Written
from eliza_state.storage.disk.access import resolved, translated
from eliza_state.storage.disk.archive_entry import check_level, place_of
from eliza_state.storage.disk.archive_files import ArchiveFiles, Damaged
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.errors import ValueTooLarge
from eliza_state.storage.expiry import check_ttl
from eliza_state.storage.keys import split_key
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrapper import Encoded

V = TypeVar("V")
R = TypeVar("R")

MAX_VALUE_BYTES: Final = 64 * 1024 * 1024
"""How long a written value may be, unless told otherwise."""

_THREADS: Final = 4
_PAGE: Final = 1_000


class ArchiveBackend(Backend[bytes]):
    """Keep each entry in a file of its own, which is replaced whole.

    What is acknowledged is on the disk. The folder is made where it is missing; a symbolic link to it is
    followed, a link in place of an entry's file is replaced. A file keeps its permissions.

    A file that is torn, damaged or in the place of another key raises `DamagedValue`, which names both, until
    its key is set without conditions or deleted; one that holds another key is never replaced. `scan`, `look`
    and conditions read headers, which have a checksum of their own; what cannot be read there is left out of
    `scan` and logged. A value of more than `max_value_bytes` raises `ValueTooLarge`, also when it is read.
    Writers of keys whose digests begin alike wait for each other; after ten seconds they raise `Busy`.
    """

    name = "archive"
    is_archive = True

    def __init__(
        self,
        folder: StrPath,
        *,
        level: int = 3,
        max_value_bytes: int = MAX_VALUE_BYTES,
        files: Files | None = None,
        clock: Clock = now_us,
    ) -> None:
        super().__init__(clock=clock)
        if max_value_bytes < 1:
            raise ValueError(f"a bound is at least 1, got {max_value_bytes!r}")
        self.folder = resolved(folder)
        """The archive's folder, with symbolic links followed."""
        self._max_value_bytes = max_value_bytes
        self._archive = ArchiveFiles(
            self.folder, files or Files(), self.clock, check_level(level), max_value_bytes
        )
        with translated(f"open the archive {str(self.folder)!r}"):
            make_folders(self._archive.files, self.folder)
            self._archive.folders()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="eliza-state-archive")
        self._process = os.getpid()
        self._is_open = True
        self._next_to_sweep = ""

    async def _run(self, function: Callable[[], R]) -> R:
        if not self._is_open:
            raise StoreError(f"the archive {str(self.folder)!r} is closed; open it anew")
        if os.getpid() != self._process:
            raise StoreError("the archive was opened before this process was forked; open it anew")
        with translated(f"use the archive {str(self.folder)!r}"):
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[bytes]]:
        shares = (keys[start::_THREADS] for start in range(min(_THREADS, len(keys))))
        found = await _all(self._run(partial(self._archive.read, share)) for share in shares)
        return {key: entry for share in found for key, entry in share.items()}

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        return await self._run(partial(self._archive.look, keys))

    async def write(self, writes: Sequence[Write[bytes]]) -> Sequence[Written]:
        for write in writes:
            if write.value is not GONE and len(write.value) > self._max_value_bytes:
                size_bytes = len(write.value)
                raise ValueTooLarge(write.key, size_bytes=size_bytes, max_bytes=self._max_value_bytes)
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for number, write in enumerate(writes):
            numbers[place_of(write.key)[0]].append(number)
        done = await _all(
            self._run(partial(self._archive.write, folder, [writes[number] for number in those]))
            for folder, those in numbers.items()
        )
        written = zip(
            (number for those in numbers.values() for number in those),
            (outcome for outcomes in done for outcome in outcomes),
            strict=True,
        )
        return [outcome for _, outcome in sorted(written)]

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        counts = await _all(
            self._run(partial(self._archive.remove, folder, those, dead_only=dead_only))
            for folder, those in _by_folder(keys).items()
        )
        return sum(counts)

    async def touch(self, keys: Sequence[str]) -> set[str]:
        live = await _all(
            self._run(partial(self._archive.touch, folder, those))
            for folder, those in _by_folder(keys).items()
        )
        return set().union(*live)

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        head = space + prefix

        def look_through(folder: str) -> Marks:
            return [
                (header.key, header.mark)
                for header in self._archive.headers(folder)
                if header.key.startswith(head) and (nested or split_key(header.key)[0] == space)
            ]

        for folder in await self._run(self._archive.folders):
            page = await self._run(partial(look_through, folder))
            for start in range(0, len(page), _PAGE):
                yield page[start : start + _PAGE]

    async def clear(self, space: str) -> None:
        for folder in await self._run(self._archive.folders):
            await self._run(partial(self._archive.clear, folder, space))

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        swept: list[str] = []
        folders = await self._run(self._archive.folders)
        # From where the last one stopped: the folders before that have nothing any more.
        for folder in sorted(folders, key=lambda folder: (folder < self._next_to_sweep, folder)):
            self._next_to_sweep = folder
            swept += await self._run(partial(self._archive.sweep, folder, limit=limit - len(swept)))
            if len(swept) >= limit:
                break
        return swept

    def verify(self) -> Verification:
        """Return a pass over all files, which reads each of them whole."""
        return Verification(self._run, self._archive)

    async def close(self) -> None:
        """Wait for what is under way and end the threads; twice does nothing."""
        self._is_open = False
        if os.getpid() == self._process:
            await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)


class Verification:
    """One pass over an archive: iterate over the damaged files; `good` counts the others.

    >>> verification = archive.verify()
    >>> damaged = [file async for file in verification]
    """

    def __init__(
        self, run: Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]], archive: ArchiveFiles
    ) -> None:
        self.good = 0
        """How many files have been read whole so far without a complaint."""
        self._run = run
        self._archive = archive

    async def __aiter__(self) -> AsyncIterator[Damaged]:
        for folder in await self._run(self._archive.folders):
            good, damaged = await self._run(partial(self._archive.verify, folder))
            self.good += good
            for file in damaged:
                yield file


def _by_folder(keys: Iterable[str]) -> dict[str, list[str]]:
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        folders[place_of(key)[0]].append(key)
    return folders


async def _all(jobs: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """Return what several jobs return, when all of them are done; raise what the first of them raised."""
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    done: list[R] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        done.append(outcome)
    return done


class ArchiveStorage(Storage[V]):
    """Keep values in a folder, one compressed file a key, for several processes at a time.

    `level` is Zstandard's: 3 is fast, 19 is small. Raises what `ArchiveBackend` says.
    """

    def __init__(
        self,
        folder: StrPath,
        *,
        value_type: Any = None,
        serializer: Serializer | str = "json",
        transforms: Sequence[Transform] = (),
        ttl_ms: float | None = None,
        level: int = 3,
        clock: Clock = now_us,
    ) -> None:
        encoding = Encoding[V](value_type=value_type, serializer=serializer, transforms=transforms)
        check_ttl(ttl_ms)  # before threads are started that nobody would end
        self._archive = ArchiveBackend(folder, level=level, clock=clock)
        super().__init__(Encoded(self._archive, encoding), ttl_ms=ttl_ms)

    @property
    def folder(self) -> FilePath:
        """The archive's folder, with symbolic links followed."""
        return self._archive.folder

    def verify(self) -> Verification:
        """Return a pass over all files, which reads each of them whole: iterate over the damaged ones."""
        return self._archive.verify()
