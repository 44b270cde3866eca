"""Where tests keep their files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

ROOM_BYTES: Final = 2 * 2**30
_MEMORY: Final = Path("/dev/shm")


def in_memory() -> Path | None:
    """Return a folder for temporary files that is in memory; `None` where there is none, or no room in it.

    Thousands of small databases take a tenth of the time there: no disk is waited for at each commit. What a
    disk keeps when the power fails is told by `eliza_state.testing.CrashFiles` in either place.
    """
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK):
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free > ROOM_BYTES else None
