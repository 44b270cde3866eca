"""Backups and restores that are killed, or that the disk fails, at every step."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path as FilePath

import pytest

from eliza_state.backup import backup, restore, verify
from eliza_state.backup.making import made
from eliza_state.backup.restoring import restored
from eliza_state.errors import StoreError
from eliza_state.files import Files
from eliza_state.testing import FailingFiles
from tests.eliza_state.backup.talks import killed_at_each_step, names, say, told, url_of
from tests.forking.process import run_program

LIMITED = """
import asyncio, resource, sys
from eliza_state.backup import backup
from eliza_state.errors import StoreError

resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    asyncio.run(backup(sys.argv[1], sys.argv[2]))
except StoreError as error:
    print(error)
"""

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no fork, and no kill"),
]


@pytest.fixture
async def store(tmp_path: FilePath) -> FilePath:
    """A folder with a store that has gone on since its backup."""
    await say(tmp_path / "store", 4)
    await backup(url_of(tmp_path / "store"), tmp_path / "copy")
    await say(tmp_path / "store", 3, plugin=False)
    return tmp_path / "store"


async def test_a_killed_backup_is_none(store: FilePath, tmp_path: FilePath) -> None:
    steps = killed_at_each_step("backup", store / "state.db", tmp_path / "killed")

    assert [status for _, status in steps] == [9] * (len(steps) - 1) + [0]
    assert len(steps) > 15
    for number, status in steps:
        folder = tmp_path / f"killed-{number}"
        assert folder.exists() or status
        if folder.exists():
            assert (await verify(folder)).is_good
    assert not (tmp_path / "killed-10").exists()


async def test_a_killed_restore_leaves_the_old_store_the_new_one_or_none(
    store: FilePath, tmp_path: FilePath
) -> None:
    for number in range(60):
        shutil.copytree(store, tmp_path / f"killed-{number}")
    steps = killed_at_each_step("restore", tmp_path / "copy", tmp_path / "killed")

    assert [status for _, status in steps] == [9] * (len(steps) - 1) + [0]
    found = [await what_is_there(tmp_path / f"killed-{number}") for number, _ in steps]
    assert found == sorted(found, key=["old", "refused", "new"].index)
    assert set(found) == {"old", "refused", "new"}
    for number in (number for (number, _), what in zip(steps, found, strict=True) if what == "refused"):
        await restore(tmp_path / "copy", url_of(tmp_path / f"killed-{number}"))

        assert await what_is_there(tmp_path / f"killed-{number}") == "new"


async def what_is_there(folder: FilePath) -> str:
    """Tell which store a folder has; `refused` for one that nobody can open."""
    try:
        return {(7, 4): "old", (4, 4): "new"}[await told(folder)]
    except StoreError as error:
        return "refused" if "restore it again" in str(error) else str(error)


async def test_a_backup_that_the_disk_fails_leaves_nothing(store: FilePath, tmp_path: FilePath) -> None:
    number = 0
    while True:
        number += 1
        files = FailingFiles(Files(), fail_at=number)
        try:
            made(str(store / "state.db"), tmp_path / "failed", lambda _progress: None, files=files)
        except OSError:
            if not (tmp_path / "failed").exists():
                assert names(tmp_path) == ["copy", "store"]
                continue
        assert (await verify(tmp_path / "failed")).is_good
        break

    assert number > 10


async def test_a_restore_that_the_disk_fails_leaves_the_old_store_or_none(
    store: FilePath, tmp_path: FilePath
) -> None:
    number = 0
    found: list[str] = []
    while not found or found[-1] != "new":
        number += 1
        folder = tmp_path / f"failed-{number}"
        shutil.copytree(store, folder)
        files = FailingFiles(Files(), fail_at=number)
        with contextlib.suppress(OSError):
            restored(
                tmp_path / "copy", str(folder / "state.db"), lambda _told: None, replace=True, files=files
            )
        found.append(await what_is_there(folder))

    assert found == sorted(found, key=["old", "refused", "new"].index)
    assert set(found) == {"old", "refused", "new"}


async def test_a_disk_that_is_full_while_sqlite_writes(store: FilePath, tmp_path: FilePath) -> None:
    """What a process may not write beyond a size stands for what the disk has no room for."""
    assert limited_backup(store, tmp_path / "full") == "cannot copy the store: disk I/O error\n"
    assert names(tmp_path) == ["copy", "store"]


def limited_backup(store: FilePath, to: FilePath) -> str:
    """Return what a process has to say of a backup that may not write as much as it needs."""
    return run_program(LIMITED, url_of(store), to).stdout
