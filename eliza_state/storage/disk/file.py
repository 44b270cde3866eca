"""A storage in one JSON file: everything in memory, written whole a moment after it changed.

>>> async with FileStorage[int]("data/state.json") as storage:
...     await storage.set("cooldown", 7)

The file is `{"version": 1, "entries": [[key, value], …]}`; see `eliza_state.storage.disk.file_entries`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar

from eliza_serializers import Serializer
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath, make_folders, replace_file, set_aside
from eliza_state.storage.backend import Backend, Entry, Marks, Write, Written, deadline_of, outcome_of
from eliza_state.storage.disk.access import file_lock, resolved, take_lock, translated
from eliza_state.storage.disk.file_entries import Slot, document_of, read_document, slot_of
from eliza_state.storage.disk.saver import Saver
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.expiry import check_ttl
from eliza_state.storage.keys import split_key
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrapper import Encoded

V = TypeVar("V")

_logger = logging.getLogger(__name__)
_PAGE: Final = 1_000
_KEPT_PROBLEMS: Final = 100
_LONGEST_INTERVAL_MS: Final = 24 * 60 * 60 * 1_000
_EXIT_FLUSH_S: Final = 30.0


class FileBackend(Backend[bytes]):
    """Keep entries in memory and in a JSON file, which nobody else may write meanwhile.

    The file is read when the backend is made; its folder is made where it is missing. A symbolic link is
    followed then, and stays: what it points to is replaced, and keeps its permissions (`replace_file`). A
    file that cannot be read as entries is set aside as `<name>.damaged-<n>` and reported (`damaged`), and the
    backend starts empty. `StoreError` is raised for a file of a later version, which stays as it is, for one
    that is open already (by a lock on `<name>.lock`), and for what the operating system refuses.

    Changes are written `flush_interval_ms` after the first of them; with 0, each method that makes some
    returns when they are on the disk. A failed write loses nothing: it is reported (`problems`), and tried
    again after a pause or with the next flush. What could not be written is there for readers, and in later
    writes, also where its writer was told of a `StoreError`. Everything is in memory twice: as it is handed
    out, and as it is written.
    """

    name = "file"
    is_inline = True

    def __init__(
        self,
        path: StrPath,
        *,
        flush_interval_ms: float = 1_000,
        files: Files | None = None,
        clock: Clock = now_us,
    ) -> None:
        super().__init__(clock=clock)
        if not 0 <= flush_interval_ms <= _LONGEST_INTERVAL_MS:  # false for NaN too
            raise ValueError(f"a flush interval is 0 to {_LONGEST_INTERVAL_MS} ms, got {flush_interval_ms!r}")
        self.is_durable = flush_interval_ms == 0
        self.path = resolved(path)
        """The file, with symbolic links followed."""
        self.damaged: FilePath | None = None
        """Where the file that could not be read was set aside to, if there was one."""
        self._problems: deque[StoreError] = deque(maxlen=_KEPT_PROBLEMS)
        self._files = Files() if files is None else files
        self._is_open = True
        self._has_ended = False
        with translated(f"open {str(self.path)!r}"):
            make_folders(self._files, self.path.parent)
        self._lock = file_lock(self.path.with_name(f"{self.path.name}.lock"))
        take_lock(self._lock, timeout_s=0)
        try:
            self._slots = self._load()
            self._saver = Saver(
                snapshot=self._snapshot,
                save=self._save,
                failed=self._report_failure,
                interval_ms=flush_interval_ms,
            )
        except BaseException:
            self._lock.release()
            raise
        atexit.register(self._flush_at_exit)

    @property
    def problems(self) -> tuple[StoreError, ...]:
        """What went wrong with the file, the last hundred: damage at the start, and failed writes."""
        return tuple(self._problems)

    # reading and writing the file

    def _load(self) -> dict[str, Slot]:
        with translated(f"open {str(self.path)!r}"):
            self._remove_temporaries()
            try:
                content = self._files.read(self.path)
            except FileNotFoundError:
                return {}
            # Whoever wrote it may have been killed before its name was durable: nobody may build on that.
            self._files.sync_folder(self.path.parent)
            try:
                return read_document(content, now_us=self.clock())
            except RecursionError as error:
                raise StoreError(f"cannot open {str(self.path)!r}: {error}") from error
            except StoreError as error:
                raise StoreError(f"cannot open {str(self.path)!r}: {error}") from None
            except ValueError as error:
                self.damaged = set_aside(self._files, self.path)
                self._report(
                    f"{str(self.path)!r} could not be read and was set aside as {self.damaged.name!r};"
                    f" the storage starts empty: {error}",
                    error,
                )
        return {}

    def _remove_temporaries(self) -> None:
        """Remove what a power cut left of writes; whoever holds the lock is the only one who writes."""
        temporary = re.compile(re.escape(self.path.name) + r"\.temporary-[0-9]+")
        with contextlib.suppress(OSError):  # they are in nobody's way
            for name in self._files.list(self.path.parent):
                if temporary.fullmatch(name):
                    self._files.remove(self.path.with_name(name))

    def _snapshot(self) -> dict[str, Slot]:
        return self._slots.copy()

    def _save(self, slots: dict[str, Slot]) -> None:
        now_ms = self.now_ms
        dead = {key: slot for key, slot in slots.items() if slot.entry.mark.is_past(now_ms)}
        lines = [slot.line for key, slot in slots.items() if key not in dead]
        with translated(f"write {str(self.path)!r}"):
            replace_file(self._files, self.path, document_of(lines))
        with self._saver.lock:
            for key, slot in dead.items():
                if self._slots.get(key) is slot:
                    del self._slots[key]

    def _report(self, message: str, cause: BaseException) -> None:
        problem = StoreError(message)
        problem.__cause__ = cause
        self._problems.append(problem)
        _logger.warning("%s", message)

    def _report_failure(self, error: Exception, in_a_row: int) -> None:
        if in_a_row & (in_a_row - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a disk stays full for hours
            self._report(f"{error} (failure {in_a_row} in a row); kept in memory, written again later", error)

    async def flush(self) -> None:
        """Return when everything is on the disk. Raises `StoreError` if that fails; then nothing is lost."""
        await asyncio.wrap_future(self._saver.request())

    def _flush_at_exit(self) -> None:
        if self._saver.is_left_behind:
            return
        try:
            self._saver.request().result(_EXIT_FLUSH_S)
        except (StoreError, TimeoutError) as error:
            _logger.error("what was not yet written to %r is lost: %s", str(self.path), error)

    async def close(self) -> None:
        """Write what is held back, and let others open the file; twice does nothing.

        Raises `StoreError` if writing fails; then the backend stays open and can be closed again.
        """
        self._saver.check_process()
        self._is_open = False
        try:
            while not self._ended():
                await self.flush()
        except BaseException:
            self._is_open = not self._has_ended
            raise

    def _ended(self) -> bool:
        """End if there is nothing to write any more, and tell whether that is so."""
        with self._saver.lock:
            if not self._saver.is_clean:
                return False
            self._is_open, self._has_ended = False, True
            self._slots.clear()
        self._saver.end()
        self._lock.release()
        atexit.unregister(self._flush_at_exit)
        return True

    # entries

    def at_hand(self, key: str) -> Entry[bytes] | None:
        slot = self._slots.get(key)
        return None if slot is None else slot.entry

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[bytes]]:
        self._check_open()
        found = ((key, self._slots.get(key)) for key in keys)
        return {key: slot.entry for key, slot in found if slot is not None}

    async def write(self, writes: Sequence[Write[bytes]]) -> Sequence[Written]:
        now_us = self.clock()
        with self._changing() as changes:
            written = [self._put(write, now_us, changes) for write in writes]
        await self._settle(changes)
        return written

    def _put(self, write: Write[bytes], now_us: int, changes: list[str]) -> Written:
        slot = self._slots.get(write.key)
        stored = None if slot is None else slot.entry.mark
        written = outcome_of(write, stored, now_us=now_us)
        if written.is_stored:
            entry = Entry(write.value, written.version, deadline_of(write, stored), write.ttl_ms)
            self._slots[write.key] = slot_of(write.key, entry)
            changes.append(write.key)
        return written

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        now_ms = self.now_ms
        live = 0
        with self._changing() as changes:
            for key in keys:
                slot = self._slots.get(key)
                if slot is not None and not (dead_only and not slot.entry.mark.is_past(now_ms)):
                    live += slot.entry.is_live(now_ms)
                    del self._slots[key]
                    changes.append(key)
        await self._settle(changes)
        return live

    async def touch(self, keys: Sequence[str]) -> set[str]:
        now_ms = self.now_ms
        live: set[str] = set()
        with self._changing() as changes:
            for key in keys:
                slot = self._slots.get(key)
                if slot is None or not slot.entry.is_live(now_ms):
                    continue
                live.add(key)
                entry = slot.entry
                if entry.ttl_ms is not None and entry.deadline_ms != now_ms + entry.ttl_ms:
                    self._slots[key] = slot_of(key, entry._replace(deadline_ms=now_ms + entry.ttl_ms))
                    changes.append(key)
        await self._settle(changes)
        return live

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        self._check_open()
        head = space + prefix
        with self._saver.lock:
            keys = [
                key for key in self._slots if key.startswith(head) and (nested or split_key(key)[0] == space)
            ]
        for start in range(0, len(keys), _PAGE):
            found = ((key, self._slots.get(key)) for key in keys[start : start + _PAGE])
            yield [(key, slot.entry.mark) for key, slot in found if slot is not None]

    async def clear(self, space: str) -> None:
        with self._changing() as changes:
            changes.extend([key for key in self._slots if key.startswith(space)])
            for key in changes:
                del self._slots[key]
        await self._settle(changes)

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        now_ms = self.now_ms
        with self._changing() as changes:
            dead = (key for key, slot in self._slots.items() if slot.entry.mark.is_past(now_ms))
            changes.extend(itertools.islice(dead, limit))
            for key in changes:
                del self._slots[key]
        await self._settle(changes)
        return changes

    @contextlib.contextmanager
    def _changing(self) -> Generator[list[str]]:
        """Hold the lock while entries are changed; whoever changes them adds their keys to the list."""
        self._check_open()
        self._saver.check_process()
        changes: list[str] = []
        with self._saver.lock:
            try:
                yield changes
            finally:
                if changes:
                    self._saver.changed()

    async def _settle(self, changes: Sequence[str]) -> None:
        if changes and self.is_durable:
            await self.flush()

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError(f"the storage in {str(self.path)!r} is closed; open a new one")


class FileStorage(Storage[V]):
    """Keep values in one JSON file, for one process at a time, all of them in memory.

    For as much as is quickly written: the whole file is written after each change, `flush_interval_ms` later,
    so that a killed process loses no more than that; a clean end of the process loses nothing. With 0, `set`
    and its kin return when the change is on the disk. Raises what `FileBackend` says.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        flush_interval_ms: float = 1_000,
        value_type: Any = None,
        serializer: Serializer | str = "json",
        transforms: Sequence[Transform] = (),
        ttl_ms: float | None = None,
        clock: Clock = now_us,
    ) -> None:
        encoding = Encoding[V](value_type=value_type, serializer=serializer, transforms=transforms)
        check_ttl(ttl_ms)  # before a file is opened that nobody would close
        self._file = FileBackend(path, flush_interval_ms=flush_interval_ms, clock=clock)
        super().__init__(Encoded(self._file, encoding), ttl_ms=ttl_ms)

    @property
    def path(self) -> FilePath:
        """The file, with symbolic links followed."""
        return self._file.path

    @property
    def damaged(self) -> FilePath | None:
        """Where a file that could not be read was set aside to at the start; `None` if there was none."""
        return self._file.damaged

    @property
    def problems(self) -> tuple[StoreError, ...]:
        """What went wrong with the file, the last hundred: damage at the start, and failed writes."""
        return self._file.problems
