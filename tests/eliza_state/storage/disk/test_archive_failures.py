"""What is left of an archive by power cuts and full disks, and who waits for whom."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath
from eliza_state.storage.backend import Write
from eliza_state.storage.disk.archive import ArchiveBackend
from eliza_state.testing import CrashFiles, FailingFiles
from tests.eliza_state.storage.disk.archives import (
    NOW_MS,
    PATIENCE_S,
    Open,
    on_disk,
    one,
    value_of,
)


async def test_a_power_cut_leaves_the_old_or_the_new_and_nothing_acknowledged_is_lost(
    tmp_path: FilePath, open_archive: Open
) -> None:
    folder = on_disk(tmp_path)
    crash = CrashFiles(tmp_path / "disk")
    archive = open_archive(folder=folder, files=crash)
    steps: list[tuple[int, bytes | None]] = [(len(crash.operations), None)]
    for value in (b"old", b"new", None, b"again"):
        await (archive.remove(["a"]) if value is None else archive.write(one(value)))
        steps.append((len(crash.operations), value))
    steps.append(steps[-1])

    for (after, value), (until, next_value) in itertools.pairwise(steps):
        for state in crash.states(after=after):
            if state.after > until:
                continue
            found = open_archive(folder=folder, files=state.mount())
            assert await value_of(found) in (
                {value, next_value} if state.after < until else {next_value, value}
            )
            assert [] == [damaged async for damaged in found.verify()]


async def test_a_power_cut_after_the_last_acknowledgement_changes_nothing(
    tmp_path: FilePath, open_archive: Open
) -> None:
    folder = on_disk(tmp_path)
    crash = CrashFiles(tmp_path / "disk")
    archive = open_archive(folder=folder, files=crash)
    await archive.write([Write(key, b"1", NOW_MS + 50, 60) for key in "abc"])
    await archive.remove(["b"])
    await archive.touch(["c"])

    for state in crash.states(after=len(crash.operations)):
        found = await open_archive(folder=folder, files=state.mount()).read(["a", "b", "c"])
        assert {"a": NOW_MS + 50, "c": NOW_MS + 60} == {
            key: entry.deadline_ms for key, entry in found.items()
        }


async def test_a_disk_that_is_full_at_any_operation_loses_nothing(
    tmp_path: FilePath, open_archive: Open
) -> None:
    folder = on_disk(tmp_path)
    for number in itertools.count(1):
        crash = CrashFiles(tmp_path / "disk")
        await open_archive(folder=folder, files=crash).write(one(b"old"))
        failing = FailingFiles(crash, fail_at=number, partial_bytes=5)
        found = set()
        with contextlib.suppress(StoreError):
            archive = open_archive(folder=folder, files=failing)
            found.add(b"old")
            await archive.write(one(b"new"))
            found.add(b"new")
            await archive.write(one(b"other", key="b"))
        again = open_archive(folder=folder, files=crash)
        assert await value_of(again) in (found | {b"old", b"new"} if b"new" not in found else {b"new"})
        assert [] == [damaged async for damaged in again.verify()]
        await again.write([*one(b"2"), *one(b"3", key="b")])
        for state in crash.states(after=len(crash.operations)):
            after = open_archive(folder=folder, files=state.mount())
            assert (b"2", b"3") == (await value_of(after), await value_of(after, "b"))
        if not failing.has_failed:
            break
    assert number > 8


async def test_a_removal_whose_syncing_failed_is_made_durable_by_the_next(
    tmp_path: FilePath, open_archive: Open
) -> None:
    folder = on_disk(tmp_path)
    for number in itertools.count(1):
        crash = CrashFiles(tmp_path / "disk")
        await open_archive(folder=folder, files=crash).write(one(b"old", version=1))
        failing = FailingFiles(crash, fail_at=number)
        archive: ArchiveBackend | None = None
        for _ in range(2):
            with contextlib.suppress(StoreError):
                archive = archive or open_archive(folder=folder, files=failing)
                await archive.remove(["a"])

        for state in crash.states(after=len(crash.operations)):
            assert await value_of(open_archive(folder=folder, files=state.mount())) is None
        if not failing.has_failed:
            break
    assert number > 4


async def test_a_full_disk_is_told(open_archive: Open) -> None:
    archive = open_archive()
    await archive.write(one(b"old"))
    failing = open_archive(files=FailingFiles(Files(), fail_at=9))

    with pytest.raises(StoreError, match=r"cannot use the archive .*No space left"):
        await failing.write(one(b"new"))
    assert b"old" == await value_of(archive)


class Gated(Files):
    """Files whose replacing waits."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()

    def replace(self, source: StrPath, target: StrPath) -> None:
        self.begun.release()
        assert self.gate.wait(PATIENCE_S)
        super().replace(source, target)


async def test_a_caller_who_is_cancelled_cancels_only_the_wait(open_archive: Open) -> None:
    files = Gated()
    archive = open_archive(files=files)
    writing = asyncio.create_task(archive.write(one(b"value")))
    assert await asyncio.to_thread(files.begun.acquire, timeout=PATIENCE_S)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    files.gate.set()
    await archive.close()

    assert b"value" == await value_of(open_archive())


async def test_readers_do_not_wait_for_a_writer(open_archive: Open) -> None:
    files = Gated()
    archive = open_archive(files=files)
    await open_archive().write(one(b"old"))
    writing = asyncio.create_task(archive.write(one(b"new")))
    assert await asyncio.to_thread(files.begun.acquire, timeout=PATIENCE_S)

    assert b"old" == await value_of(archive)
    files.gate.set()
    await writing
