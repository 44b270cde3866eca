"""Files of entries and archives, opened for a test and closed after it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.storage.disk.archive import ArchiveBackend
from eliza_state.storage.disk.file import FileBackend
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.disk.archives import Open as OpenArchive
from tests.eliza_state.storage.disk.opening import HOUR_MS, Open
from tests.eliza_state.storage.watched import Watched


@pytest.fixture
def path(tmp_path: FilePath) -> FilePath:
    return tmp_path / "state.json"


@pytest.fixture
def files() -> Watched:
    return Watched()


@pytest.fixture
async def open_file(path: FilePath, files: Watched) -> AsyncIterator[Open]:
    """Open backends in the file of the test, written by hand or at once; they are closed in the end."""
    opened: list[FileBackend] = []

    def open_one(**options: Any) -> FileBackend:
        options = {"flush_interval_ms": HOUR_MS, "files": files, "clock": ManualClock(), **options}
        opened.append(FileBackend(options.pop("path", path), **options))
        return opened[-1]

    yield open_one
    files.error = None
    files.gate.set()
    for backend in opened:
        await backend.close()


@pytest.fixture
def folder(tmp_path: FilePath) -> FilePath:
    return tmp_path / "archive"


@pytest.fixture
async def open_archive(folder: FilePath) -> AsyncIterator[OpenArchive]:
    """Open backends in the folder of the test; they are closed in the end."""
    async with contextlib.AsyncExitStack() as stack:

        def open_one(**options: Any) -> ArchiveBackend:
            backend = ArchiveBackend(options.pop("folder", folder), clock=ManualClock(), **options)
            stack.push_async_callback(backend.close)
            return backend

        yield open_one


@pytest.fixture
def archive(open_archive: OpenArchive) -> ArchiveBackend:
    return open_archive()
