"""The storage in one JSON file."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_serializers import Secret
from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Entry, Write
from eliza_state.storage.disk.file import FileBackend, FileStorage
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.wrappers.compression import Compression
from eliza_state.testing import CrashFiles, FailingFiles, ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.disk.opening import (
    HOUR_MS,
    NOW_MS,
    NOW_US,
    Open,
    content_of,
    put,
    text_of,
)


class TestFileStorage(StorageContract):
    @pytest.fixture
    async def storage(self, tmp_path: FilePath, clock: ManualClock) -> AsyncIterator[FileStorage[Any]]:
        async with FileStorage[Any](tmp_path / "state.json", clock=clock) as storage:
            yield storage

    @pytest.fixture
    def reopen(self, tmp_path: FilePath, clock: ManualClock) -> Any:
        return lambda: FileStorage[Any](tmp_path / "state.json", clock=clock)


class TestDurableFileStorage(StorageContract):
    @pytest.fixture
    async def storage(self, tmp_path: FilePath, clock: ManualClock) -> AsyncIterator[FileStorage[Any]]:
        path = tmp_path / "state.json"
        async with FileStorage[Any](path, flush_interval_ms=0, clock=clock) as storage:
            yield storage

    @pytest.fixture
    def reopen(self, tmp_path: FilePath, clock: ManualClock) -> Any:
        return lambda: FileStorage[Any](tmp_path / "state.json", clock=clock)


# the file


async def test_values_in_json_stand_in_the_file_as_they_are(path: FilePath) -> None:
    async with FileStorage[Any](path, clock=ManualClock()) as storage:
        await storage.set("cooldown", 7)
        await storage.namespace("session", "a/b").set("tags", {"x"}, ttl_ms=60_000)

    times = {"version": NOW_US, "deadline_ms": NOW_MS + 60_000, "ttl_ms": 60_000}
    assert {
        "version": 1,
        "entries": [
            ["cooldown", 7, {"version": NOW_US}],
            ["session/a%2Fb/tags", {"_type": "Set", "data": ["x"]}, times],
        ],
    } == json.loads(text_of(path))


async def test_other_values_stand_in_the_file_in_base64(path: FilePath) -> None:
    transforms = [Compression(threshold_bytes=0)]
    async with FileStorage[str](path, transforms=transforms, clock=ManualClock()) as storage:
        await storage.set("a", "x" * 1_000)

    async with FileStorage[str](path, transforms=transforms) as storage:
        assert "x" * 1_000 == await storage.get("a")
    (entry,) = json.loads(text_of(path))["entries"]
    assert ("a", None, {"version", "content"}) == (*entry[:2], set(entry[2]))


async def test_a_tombstone_keeps_its_version_in_the_file(path: FilePath, open_file: Open) -> None:
    backend = open_file()
    await backend.write([Write("a", GONE, NOW_MS + 5_000, 5_000)])
    await backend.close()

    assert {"a": Entry(GONE, NOW_US, NOW_MS + 5_000, 5_000)} == await content_of(path)


async def test_secrets_are_stored_as_what_they_are(path: FilePath) -> None:
    async with FileStorage[Any](path) as storage:
        await storage.set("a", Secret("swordfish"))

    async with FileStorage[Any](path) as storage:
        assert "swordfish" == (await storage.get("a")).reveal()


async def test_a_file_of_keys_and_values_alone_is_read(path: FilePath) -> None:
    entries = [["approvals:pending", []], ["run:index", ["r/1"]], ["a/b", None], ["100%", {"n": 1.5}]]
    put(path, json.dumps({"version": 1, "entries": entries}, indent=2))

    async with FileStorage[Any](path, clock=ManualClock()) as storage:
        assert dict(entries) == dict([pair async for pair in storage.entries()])
        assert NOW_US == (await storage.entry("a/b")).version  # type: ignore[union-attr]


# damage


@pytest.mark.parametrize("content", [b"", b'{"version":1,"entries":[["a",1],["b",', bytes(50), b"[]"])
async def test_a_damaged_file_is_set_aside_and_reported(
    path: FilePath, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, content)

    async with FileStorage[int](path) as storage:
        assert [] == [key async for key in storage.keys()]
        await storage.set("a", 1)
        assert path.with_name("state.json.damaged-1") == storage.damaged
        assert ["set aside" in str(problem) for problem in storage.problems] == [True]
    assert content == path.with_name("state.json.damaged-1").read_bytes()
    assert "starts empty" in caplog.text
    async with FileStorage[int](path) as storage:
        assert (1, None, ()) == (await storage.get("a"), storage.damaged, storage.problems)


async def test_a_damaged_file_is_never_overwritten(path: FilePath) -> None:
    for number in range(3):
        put(path, b"broken %d" % number)
        await FileStorage[int](path).close()

    assert [b"broken %d" % number for number in range(3)] == [
        path.with_name(f"state.json.damaged-{number}").read_bytes() for number in (1, 2, 3)
    ]


async def test_where_a_damaged_file_cannot_be_set_aside_it_stays(tmp_path: FilePath) -> None:
    path = tmp_path / "state.json"
    for number in itertools.count(1):
        crash = CrashFiles(tmp_path, {"state.json": b"broken"})
        failing = FailingFiles(crash, fail_at=number)
        with contextlib.suppress(StoreError):
            await FileBackend(path, files=failing).close()
        kept = [name for name in crash.list(tmp_path) if crash.read(tmp_path / name) == b"broken"]
        assert 1 == len(kept)
        if not failing.has_failed:
            break
    assert number > 3


async def test_a_file_of_a_later_version_is_refused_and_stays(path: FilePath) -> None:
    later = '{"version":2,"values":{"a":1}}'
    put(path, later)

    with pytest.raises(StoreError, match=r"cannot open .*state\.json.*version 2, later than 1"):
        FileStorage[int](path)
    assert later == text_of(path)
    os.unlink(path)
    await FileStorage[int](path).close()


async def test_what_a_power_cut_left_of_writes_is_removed(path: FilePath) -> None:
    for name in (
        "state.json.temporary-1",
        "state.json.temporary-22",
        "state.json.temporary-x",
        "other.temporary-1",
    ):
        path.with_name(name).write_text("half")
    await FileStorage[int](path).close()

    assert ["other.temporary-1", "state.json.lock", "state.json.temporary-x"] == sorted(
        os.listdir(path.parent)
    )


# paths


async def test_folders_above_are_made(tmp_path: FilePath) -> None:
    path = tmp_path / "a" / "b" / "state.json"
    async with FileStorage[int](path) as storage:
        await storage.set("a", 1)

    assert path.exists()


async def test_a_relative_path_stays_where_it_was(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = FileStorage[int]("state.json")
    await storage.set("a", 1)
    monkeypatch.chdir("/")
    await storage.close()

    assert (tmp_path / "state.json").exists()


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: FilePath, is_there: bool) -> None:
    target, link = tmp_path / "far" / "target.json", tmp_path / "state.json"
    target.parent.mkdir()
    if is_there:
        target.write_text('{"version":1,"entries":[["a",1]]}')
    link.symlink_to(target)
    async with FileStorage[int](link) as storage:
        await storage.set("b", 2)

    assert (True, False) == (link.is_symlink(), target.is_symlink())
    assert "b" in await content_of(target)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
async def test_a_file_that_others_may_not_read_stays_so(tmp_path: FilePath) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    put(target, '{"version":1,"entries":[["a",1]]}')
    target.chmod(0o600)
    link.symlink_to(target)
    async with FileStorage[int](link) as storage:
        await storage.set("b", 2)

    assert "b" in await content_of(target)
    assert 0o600 == target.stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["folder", "file/state.json", "nul\0", "", "x" * 300, "loop"])
def test_a_path_that_cannot_be_is_told(tmp_path: FilePath, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(StoreError):
        FileStorage[int](f"{tmp_path}/{name}")


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_may_not_be_written_is_told(mode: int) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        as_nobody(folder, mode),
        pytest.raises(StoreError, match="Permission denied"),
    ):
        FileStorage[int](f"{folder}/state.json")


class as_nobody:
    """Be somebody to whom a folder is closed: the administrator may read and write anywhere."""

    def __init__(self, folder: str, mode: int) -> None:
        self._folder, self._mode, self._user = folder, mode, os.geteuid()

    def __enter__(self) -> None:
        os.chmod(self._folder, self._mode)
        if self._user == 0:
            os.seteuid(65534)

    def __exit__(self, *error: object) -> None:
        if self._user == 0:
            os.seteuid(0)
        os.chmod(self._folder, 0o755)


def test_a_file_that_may_not_be_read_is_not_taken_for_damaged() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = FilePath(folder, "state.json")
        put(path, '{"version":1,"entries":[["a",1]]}')
        path.chmod(0)
        with as_nobody(folder, 0o777), pytest.raises(StoreError, match="Permission denied"):
            FileStorage[int](path)

        assert path.exists()


@pytest.mark.parametrize(
    "options",
    [{"flush_interval_ms": -1}, {"flush_interval_ms": float("nan")}, {"ttl_ms": 0}, {"serializer": "none"}],
    ids=repr,
)
async def test_wrong_options_open_nothing(path: FilePath, options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, LookupError)):
        FileStorage[int](path, **options)

    assert [] == os.listdir(path.parent)


async def test_versions_go_on_after_a_restart_with_the_clock_turned_back(path: FilePath) -> None:
    clock = ManualClock()
    async with FileStorage[int](path, clock=clock) as storage:
        version = await storage.set("a", 1)
    clock.advance(ms=-HOUR_MS)

    async with FileStorage[int](path, clock=clock) as storage:
        assert version + 1 == await storage.set("a", 2)
        with pytest.raises(StaleValue):
            await storage.set("a", 3, expected_version=version)
