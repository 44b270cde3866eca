"""Archives to test with, and a look at their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

from eliza_state.storage.backend import Write
from eliza_state.storage.disk.archive import ArchiveBackend
from eliza_state.storage.disk.archive_entry import place_of
from eliza_state.testing import START, ManualClock

PATIENCE_S = 30
NOW_US = ManualClock(START)()
NOW_MS = NOW_US // 1_000


Open = Callable[..., ArchiveBackend]


def path_of(archive: ArchiveBackend, key: str) -> FilePath:
    return archive.folder.joinpath(*place_of(key))


def one(value: bytes, key: str = "a", **fields: Any) -> list[Write[bytes]]:
    return [Write(key, value, **fields)]


async def value_of(archive: ArchiveBackend, key: str = "a") -> bytes | None:
    entry = (await archive.read([key])).get(key)
    return None if entry is None else entry.live_value


def damage(path: FilePath, *, at: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def entries_in(folder: FilePath) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if len(path.name) == 30)


def on_disk(tmp_path: FilePath) -> FilePath:
    folder = tmp_path / "disk" / "archive"
    folder.mkdir(parents=True)  # for the locks, which are real ones
    return folder
