"""Who may write a store: several committed managers at a time, or one that holds it for itself.

The lease is a lock that the operating system gives up when its process dies, on a file beside the
database.
"""

from __future__ import annotations

import sqlite3

from filelock import ReadWriteLock, Timeout

from eliza_state.errors import StoreError
from eliza_state.sqlite import is_safe_to_share


class Lease:
    """Hold a store shared with others, or `exclusive`; taken when made, given back by `release`.

    `is_unsafe` tells whether others write the file too, on a SQLite that does not take that well.
    Raises `StoreError` when others hold the store in a way that excludes this one, or when the lock's file
    cannot be written. One thread takes and releases a lease.
    """

    def __init__(self, database: str, *, exclusive: bool) -> None:
        self.is_unsafe = False
        name = f"{database}.lock"
        try:
            self._lock = ReadWriteLock(name, is_singleton=False)
            self._acquire(database, exclusive=exclusive)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"cannot lock the store with {name!r}: {error}; its folder and that file must be writable"
            ) from error

    def _acquire(self, database: str, *, exclusive: bool) -> None:
        try:
            if exclusive:
                self._lock.acquire_write(timeout=0, blocking=False)
            else:
                self._take_shared()
        except Timeout:
            self._lock.close()
            holder = "another manager" if exclusive else "a manager in `buffered` mode"
            raise StoreError(
                f"{holder} has {database!r} open; close it first, or open another store"
            ) from None

    def _take_shared(self) -> None:
        try:
            self._lock.acquire_write(timeout=0, blocking=False)
        except Timeout:
            self.is_unsafe = not is_safe_to_share()
        else:
            self._lock.release()
        # A moment's hold by somebody who looks around, as above, is waited out.
        self._lock.acquire_read(timeout=1)

    def release(self) -> None:
        """Give the lease back; twice does nothing."""
        self._lock.release(force=True)
        self._lock.close()
