"""Wake-ups from a SQLite file: one thread of the process looks whether any of its files has changed.

`PRAGMA data_version` gives another number once another connection has committed
(https://sqlite.org/pragma.html#pragma_data_version). It reads the header of the write-ahead log's index in
shared memory. Size and time of the log's file tell less: the log begins anew without getting smaller, and
the clock of a file system may stand still between two commits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import quote

from eliza_state.errors import StoreError
from eliza_state.feed.wake import Listener, Wake

T = TypeVar("T")

INTERVAL_S: Final = 0.05
"""How often each file is looked at, in seconds."""
_PAUSE_S: Final = 1.0
_HEAD: Final = "SELECT max(position) FROM record"
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteWake(Wake):
    """Tell of commits to a SQLite file, within 50 ms; those of this process are told as well."""

    def __init__(self, database: str) -> None:
        self.name = f"the SQLite file {database!r}"
        self._database = database
        self._file: _File | None = None

    async def open(self, listener: Listener) -> None:
        self._file = _File(self._database, listener, asyncio.get_running_loop())
        await asyncio.to_thread(_poller().add, self._file)

    async def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # Only now: as the last one to close the file, the journal brings its log to an end.
            await asyncio.to_thread(_poller().remove, file)


class _File:
    """One file that is looked at, over a connection of its own that only reads."""

    def __init__(self, database: str, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._uri = f"file:{quote(database)}?mode=ro"
        self._listener = listener
        self._loop = loop
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None
        self._again_at_s = 0.0
        self._is_failing = False

    def look(self) -> None:
        """Tell the last position if there was a commit; `RuntimeError` once the event loop is closed."""
        if time.monotonic() < self._again_at_s:
            return
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
                )
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version == self._version:
                return
            (position,) = self._connection.execute(_HEAD).fetchone()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _LOCKED:
                self._fail(error)
            return
        self._version, self._is_failing = version, False
        self._tell(self._listener.heard, position or 0)

    def _fail(self, error: sqlite3.Error) -> None:
        self.close()
        self._again_at_s = time.monotonic() + _PAUSE_S
        if not self._is_failing:
            self._is_failing = True
            self._tell(self._listener.interrupted, StoreError(f"cannot look at the file: {error}"))

    def _tell(self, call: Callable[[T], None], told: T) -> None:
        self._loop.call_soon_threadsafe(call, told)

    def close(self) -> None:
        """Close the connection; the next look makes another."""
        self._version = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Poller:
    """A thread that looks at files in turn, as long as there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: list[_File] = []
        self._thread: threading.Thread | None = None
        self.process = os.getpid()

    def add(self, file: _File) -> None:
        """Look at a file as well."""
        with self._lock:
            self._files.append(file)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="eliza-state-feed", daemon=True)
                self._thread.start()

    def remove(self, file: _File) -> None:
        """Look at a file no more, and close it."""
        with self._lock:
            with contextlib.suppress(ValueError):
                self._files.remove(file)
            file.close()

    def _work(self) -> None:
        while True:
            with self._lock:
                for file in tuple(self._files):
                    self._look(file)
                if not self._files:
                    self._thread = None
                    return
            time.sleep(INTERVAL_S)

    def _look(self, file: _File) -> None:
        try:
            file.look()
        except RuntimeError:  # its event loop was closed, and the manager was not
            self._files.remove(file)
            file.close()


_pollers: list[_Poller] = []


def _poller() -> _Poller:
    """Return the poller of this process: no thread outlives a fork."""
    if not _pollers or _pollers[-1].process != os.getpid():
        _pollers.append(_Poller())
    return _pollers[-1]
