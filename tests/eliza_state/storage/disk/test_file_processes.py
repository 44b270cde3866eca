"""A storage in one JSON file has it for itself, among processes too."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.disk.file import FileStorage
from tests.eliza_state.storage.disk.opening import (
    content_of,
)
from tests.eliza_state.storage.watched import PATIENCE_S
from tests.forking.process import Process, start_program

HOLD = """
import asyncio, sys
from eliza_state.storage.disk.file import FileStorage
storage = FileStorage(sys.argv[1], flush_interval_ms=3_600_000)
asyncio.run(storage.set("a", 1))
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(path: FilePath) -> Iterator[Process]:
    """Another process that has the file open, something in memory, and ends when it is told to."""
    process = start_program(HOLD, path)
    assert "held\n" == process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused(path: FilePath, holder: Process) -> None:
    with pytest.raises(StoreError, match=r"somebody else holds .*state\.json\.lock"):
        FileStorage[int](path)


async def test_a_process_that_ends_without_closing_writes_what_it_holds(
    path: FilePath, holder: Process
) -> None:
    holder.communicate("end\n", timeout=PATIENCE_S)

    assert 0 == holder.returncode
    async with FileStorage[int](path) as storage:
        assert 1 == await storage.get("a")


async def test_a_killed_process_holds_nothing_and_loses_what_was_not_due(
    path: FilePath, holder: Process
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    async with FileStorage[int](path) as storage:
        assert not await storage.has("a")


async def test_a_second_storage_in_one_process_is_refused(path: FilePath, tmp_path: FilePath) -> None:
    (tmp_path / "link.json").symlink_to(path)
    async with FileStorage[int](path):
        for name in (path, tmp_path / "link.json", f"{tmp_path}/../{tmp_path.name}/state.json"):
            with pytest.raises(Busy):
                FileStorage[int](name)

    await FileStorage[int](path).close()


FORK = """
import asyncio, os, sys
from eliza_state.errors import StoreError
from eliza_state.storage.disk.file import FileStorage
storage = FileStorage(sys.argv[1], flush_interval_ms=3_600_000)
asyncio.run(storage.set("a", 1))
child = os.fork()
if not child:
    refused = 0
    for call in (storage.set("a", 2), storage.flush(), storage.close()):
        try:
            asyncio.run(call)
        except StoreError as error:
            refused += "forked" in str(error)
    sys.exit(refused)
_, status = os.waitpid(child, 0)
try:
    FileStorage(sys.argv[1])
except StoreError:
    print("refused", os.waitstatus_to_exitcode(status), os.path.exists(sys.argv[1]))
asyncio.run(storage.close())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_forked_process_leaves_the_file_to_its_parent(path: FilePath) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert ("refused 3 False\n", "") == (done.stdout, done.stderr)
    assert b"json:1" == asyncio.run(content_of(path))["a"].value
