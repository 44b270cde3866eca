"""What a storage in one JSON file keeps when writing fails or is cut off."""

from __future__ import annotations

import itertools
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.backend import Write
from eliza_state.storage.disk.file import FileBackend, FileStorage
from eliza_state.testing import CrashFiles, FailingFiles, ManualClock
from tests.eliza_state.storage.disk.opening import (
    Open,
    content_of,
    one,
    text_of,
)
from tests.eliza_state.storage.watched import FULL, Watched


async def test_a_power_cut_leaves_the_old_or_the_new_and_nothing_acknowledged_is_lost(
    tmp_path: FilePath,
) -> None:
    crash = CrashFiles(tmp_path / "disk")
    (tmp_path / "disk").mkdir()  # for the lock, which is a real one
    path = tmp_path / "disk" / "state.json"
    backend = FileBackend(path, flush_interval_ms=0, files=crash, clock=ManualClock())
    done = [0]
    for number in range(3):
        await backend.write(
            [Write("a", b"json:%d" % number), Write("b", b"raw%d" % number), Write("c", b"json:[]")]
        )
        done.append(len(crash.operations))
    await backend.close()

    for acknowledged, after in enumerate(done):
        for state in crash.states(after=after):
            files = state.mount()
            found = await content_of(path, files=files)
            number = int(found["a"].live_value[5:]) if found else -1
            assert number >= acknowledged - 1
            assert not found or b"raw%d" % number == found["b"].value
            assert not any("damaged" in name for name in files.list(path.parent))


async def test_a_disk_that_is_full_at_any_operation_loses_nothing(tmp_path: FilePath) -> None:
    path = tmp_path / "state.json"
    old = b'{"version":1,"entries":[["a",1]]}'
    for number in itertools.count(1):
        crash = CrashFiles(tmp_path, {"state.json": old})
        failing = FailingFiles(crash, fail_at=number, partial_bytes=5)
        try:
            backend = FileBackend(path, flush_interval_ms=0, files=failing)
        except StoreError:
            assert old == crash.read(path)
            continue
        try:
            await backend.write(one(b"json:2", key="b"))
            await backend.write(one(b"json:3", key="c"))
        except StoreError:
            assert failing.has_failed
            await backend.write(one(b"json:3", key="c"))
        await backend.close()
        found = await content_of(path, files=crash)
        assert {"a": b"json:1", "b": b"json:2", "c": b"json:3"} == {k: e.value for k, e in found.items()}
        if not failing.has_failed:
            break
    assert number > 5


async def test_who_waits_for_a_failed_write_is_told(open_file: Open, files: Watched) -> None:
    backend = open_file(flush_interval_ms=0)
    files.error = FULL

    with pytest.raises(StoreError, match=r"cannot write .*state\.json.*No space left"):
        await backend.write(one(b"json:1"))
    with pytest.raises(StoreError, match="No space left"):
        await backend.flush()


async def test_a_failed_write_is_reported_and_kept(
    path: FilePath, open_file: Open, files: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    backend = open_file()
    await backend.write(one(b"json:1"))
    files.error = FULL
    with pytest.raises(StoreError):
        await backend.flush()
    files.error = None
    await backend.flush()

    assert b"json:1" == (await backend.read(["a"]))["a"].value
    assert ["No space left" in str(problem) for problem in backend.problems] == [True]
    assert "kept in memory" in caplog.text
    assert '"a"' in text_of(path)


async def test_a_failed_write_is_tried_again_by_itself(
    path: FilePath, open_file: Open, files: Watched
) -> None:
    backend = open_file(flush_interval_ms=1)
    files.error = FULL
    await backend.write(one(b"json:1"))
    await files.until_begun()
    await files.until_begun()
    files.error = None
    await files.until_replaced()

    assert '"a"' in text_of(path)


async def test_many_failures_are_reported_ever_more_seldom(open_file: Open, files: Watched) -> None:
    backend = open_file()
    await backend.write(one(b"json:1"))
    files.error = FULL
    for _ in range(100):
        with pytest.raises(StoreError):
            await backend.flush()

    assert 7 == len(backend.problems)


async def test_a_close_that_fails_can_be_repeated(path: FilePath, open_file: Open, files: Watched) -> None:
    backend = open_file()
    await backend.write(one(b"json:1"))
    files.error = FULL
    with pytest.raises(StoreError, match="No space left"):
        await backend.close()
    with pytest.raises(Busy):
        FileBackend(path)
    files.error = None
    await backend.close()

    assert '"a"' in text_of(path)


async def test_a_closed_storage_says_so(path: FilePath) -> None:
    storage = FileStorage[int](path)
    await storage.set("a", 1)
    await storage.close()
    await storage.close()
    await storage.flush()

    for call in (storage.get("a"), storage.set("a", 2), storage.delete("a"), storage.touch("a")):
        with pytest.raises(StoreError, match="closed"):
            await call
