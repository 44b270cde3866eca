"""Who cleans a store up: one process at a time, by a lock that its end gives back."""

from __future__ import annotations

from filelock import FileLock, Timeout

from eliza_state.errors import StateError, StoreError


class LeaseTaken(StateError):
    """Another process, or another pass of this one, is cleaning the store up; nothing was done."""


class FileLease:
    """A lock on a file beside the database, which the operating system gives up with the process."""

    def __init__(self, database: str) -> None:
        self._lock = FileLock(f"{database}.cleanup.lock", is_singleton=False, thread_local=False)

    def take(self) -> bool:
        """Take it, without waiting; `StoreError` where the file cannot be written."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise StoreError(
                f"cannot lock {self._lock.lock_file!r}: {error}; its folder and that file must be writable"
            ) from error
        return True

    def release(self) -> None:
        """Give it back; twice does nothing."""
        self._lock.release(force=True)
