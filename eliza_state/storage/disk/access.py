"""What the storages in files share: paths, locks between processes, and errors said in one way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path as FilePath
from typing import Final

from filelock import FileLock, Timeout

from eliza_state.errors import Busy, StoreError
from eliza_state.files import StrPath

_POLL_S: Final = 0.005


def resolved(path: StrPath) -> FilePath:
    """Return a path with symbolic links followed, which stays the same when the working folder changes."""
    try:
        return FilePath(os.path.realpath(path))
    except (ValueError, OSError) as error:
        raise StoreError(f"{path!r} is no path of a file: {error}") from None


@contextlib.contextmanager
def translated(purpose: str) -> Generator[None]:
    """Turn what the operating system raises into `StoreError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {purpose}: {error}") from error


def file_lock(path: FilePath) -> FileLock:
    """Return a lock, not taken yet, that the operating system gives up when its process dies."""
    return FileLock(path, thread_local=False, is_singleton=False)


def take_lock(lock: FileLock, *, timeout_s: float) -> None:
    """Take a lock. Raises `Busy` when somebody else holds it for that long."""
    try:
        lock.acquire(timeout=timeout_s, poll_interval=_POLL_S)
    except Timeout:
        raise Busy(
            f"somebody else holds {lock.lock_file!r}; close that storage, or try again later"
        ) from None
    except OSError as error:
        raise StoreError(
            f"cannot lock {lock.lock_file!r}: {error}; its folder and that file must be writable"
        ) from error
