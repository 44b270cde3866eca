"""Claims as locks of files, for the processes of one machine."""

from __future__ import annotations

import os
from collections.abc import Iterable

from filelock import FileLock, Timeout

from eliza_state.errors import StoreError
from eliza_state.journal.claims import Claims


class FileClaims(Claims):
    """Locks on files in a folder, made when the first is taken; a name has to be one for a file."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._held: dict[str, FileLock] = {}

    def take(self, name: str) -> bool:
        if name in self._held:
            return False
        lock = self._acquired(name)
        if lock is None:
            return False
        self._held[name] = lock
        return True

    def _acquired(self, name: str) -> FileLock | None:
        path = os.path.join(self._folder, f"{name}.lock")
        try:
            os.makedirs(self._folder, exist_ok=True)
            lock = FileLock(path, is_singleton=False, thread_local=False)
            lock.acquire(blocking=False)
        except Timeout:
            return None
        except OSError as error:
            raise StoreError(f"cannot lock {path!r}: {error}; its folder must be writable") from error
        return lock

    def release(self, name: str) -> None:
        lock = self._held.pop(name, None)
        if lock is not None:
            lock.release(force=True)

    def taken(self, names: Iterable[str]) -> set[str]:
        return {name for name in names if name in self._held or self._is_taken(name)}

    def _is_taken(self, name: str) -> bool:
        # The moment's hold keeps another from the claim at worst until that one looks again.
        if not os.path.exists(os.path.join(self._folder, f"{name}.lock")):
            return False
        lock = self._acquired(name)
        if lock is not None:
            lock.release(force=True)
        return lock is None

    @property
    def held(self) -> frozenset[str]:
        return frozenset(self._held)

    def close(self) -> None:
        for name in tuple(self._held):
            self.release(name)
