"""What is in a file of entries, and what goes into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

from eliza_state.storage.backend import Entry, Write
from eliza_state.storage.disk.file import FileBackend
from eliza_state.testing import START, ManualClock

HOUR_MS = 3_600_000
NOW_US = ManualClock(START)()
NOW_MS = NOW_US // 1_000

Open = Callable[..., FileBackend]


def text_of(path: FilePath) -> str:
    return path.read_text()


def put(path: FilePath, content: bytes | str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


async def content_of(path: FilePath, **options: Any) -> dict[str, Entry[bytes]]:
    """What a new backend finds in a file."""
    backend = FileBackend(path, clock=ManualClock(), **options)
    keys = [key async for page in backend.scan("", nested=True) for key, _ in page]
    found = dict(await backend.read(keys))
    await backend.close()
    return found


def one(value: bytes, key: str = "a", **fields: Any) -> list[Write[bytes]]:
    return [Write(key, value, **fields)]
