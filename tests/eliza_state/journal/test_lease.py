"""Who may write a store: many at a time or one alone, and nobody longer than they live."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import StoreError
from eliza_state.journal.lease import Lease
from eliza_state.manager import StateManager
from tests.forking.process import Process, start_program

HOLD = """
import sys
from eliza_state.journal.lease import Lease
lease = Lease(sys.argv[1], exclusive=sys.argv[2] == "exclusive")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def take(file: FilePath) -> Iterator[Callable[..., Lease]]:
    """Take leases of the test's store; they are released in the end."""
    taken: list[Lease] = []

    def take_one(*, exclusive: bool = False) -> Lease:
        taken.append(Lease(str(file), exclusive=exclusive))
        return taken[-1]

    yield take_one
    for lease in taken:
        lease.release()


@pytest.fixture
def holder(file: FilePath) -> Iterator[Callable[[str], Process]]:
    """Start another process that holds the store until it is told to go."""
    started: list[Process] = []

    def start(how: str) -> Process:
        process = start_program(HOLD, file, how)
        started.append(process)
        assert "held\n" == process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def old_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))


def test_several_may_share_a_store(take: Callable[..., Lease], file: FilePath) -> None:
    take()
    take()
    take()

    assert [f"{file.name}.lock"] == os.listdir(file.parent)


@pytest.mark.parametrize(
    ("first", "second", "holds"),
    [(True, True, "another manager"), (False, True, "another manager"), (True, False, "`buffered`")],
)
def test_one_who_holds_it_alone_excludes_all_others(
    take: Callable[..., Lease], first: bool, second: bool, holds: str
) -> None:
    held = take(exclusive=first)

    with pytest.raises(StoreError, match=holds):
        take(exclusive=second)
    held.release()

    take(exclusive=second)


def test_releasing_twice_does_nothing(take: Callable[..., Lease]) -> None:
    lease = take(exclusive=True)
    lease.release()
    lease.release()

    take(exclusive=True)


@pytest.mark.usefixtures("old_sqlite")
def test_sharing_is_unsafe_on_an_old_sqlite(take: Callable[..., Lease]) -> None:
    first = take()

    assert [False, True] == [first.is_unsafe, take().is_unsafe]


def test_sharing_is_safe_on_a_new_sqlite(take: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))

    assert [False, False] == [take().is_unsafe, take().is_unsafe]


@pytest.mark.parametrize("how", ["exclusive", "shared"])
def test_a_killed_process_holds_nothing(
    take: Callable[..., Lease], holder: Callable[[str], Process], how: str
) -> None:
    process = holder(how)
    with pytest.raises(StoreError):
        take(exclusive=True)

    process.send_signal(signal.SIGKILL)
    process.wait()

    take(exclusive=True)


def test_processes_may_share_a_store(take: Callable[..., Lease], holder: Callable[[str], Process]) -> None:
    holder("shared")
    holder("shared")

    take()


async def test_two_managers_of_one_process_may_share_a_store(file: FilePath) -> None:
    url = f"sqlite:///{file}"
    async with StateManager.open(url), StateManager.open(url):
        with pytest.raises(StoreError, match="another manager has"):
            await StateManager.open(url, durability="buffered")

    assert {file.name, f"{file.name}.lock"} == set(os.listdir(file.parent))
    async with StateManager.open(url, durability="buffered"):
        with pytest.raises(StoreError, match="in `buffered` mode"):
            await StateManager.open(url)


@pytest.mark.usefixtures("old_sqlite")
async def test_the_second_manager_is_warned_on_an_old_sqlite(file: FilePath) -> None:
    url = f"sqlite:///{file}"
    async with StateManager.open(url) as first, StateManager.open(url) as second:
        told = [[problem.message for problem in manager.problems] for manager in (first, second)]

    assert [] == told[0]
    assert ["3.51.3" in message for message in told[1]] == [True]


@pytest.mark.parametrize("content", [None, b"no lock at all" * 100])
def test_a_lock_that_cannot_be_had_is_named(file: FilePath, content: bytes | None) -> None:
    lock = FilePath(f"{file}.lock")
    if content is None:
        lock.mkdir()
    else:
        lock.write_bytes(content)

    with pytest.raises(StoreError, match=r"cannot lock the store with .*state\.db\.lock"):
        Lease(str(file), exclusive=False)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_folder_that_cannot_be_written_is_told(exclusive: bool) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o555)
        user = os.geteuid()
        # The administrator may write anywhere, and steps down to find the folder closed.
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(StoreError, match="its folder and that file must be writable"):
                Lease(f"{folder}/state.db", exclusive=exclusive)
        finally:
            if user == 0:
                os.seteuid(0)
            os.chmod(folder, 0o755)
