"""Where stores that are measured lie: in memory, where a flush costs nothing, or on the project's disk."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

_IN_MEMORY: Final = Path("/dev/shm")
# Out of version control, and on the disk that the project is on: /tmp may be in memory.
_ON_DISK: Final = Path(__file__).parents[1] / "build"


@contextlib.contextmanager
def memory_folder() -> Generator[Path]:
    """Make a folder in memory, removed in the end; a temporary one where the machine has no such place."""
    base = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=base) as folder:
        yield Path(folder)


@contextlib.contextmanager
def disk_folder() -> Generator[Path]:
    """Make a folder on the project's disk, removed in the end."""
    _ON_DISK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=_ON_DISK) as folder:
        yield Path(folder)
