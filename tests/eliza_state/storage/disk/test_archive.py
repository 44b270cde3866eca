"""The storage of one compressed file a key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.files import Files, StrPath
from eliza_state.storage.backend import GONE, Entry, Write
from eliza_state.storage.disk import archive_files
from eliza_state.storage.disk.access import file_lock
from eliza_state.storage.disk.archive import ArchiveBackend, ArchiveStorage
from eliza_state.storage.disk.archive_entry import START_BYTES, place_of
from eliza_state.storage.errors import DamagedValue, ValueTooLarge
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.disk.archives import (
    NOW_MS,
    NOW_US,
    Open,
    damage,
    entries_in,
    one,
    path_of,
    value_of,
)
from tests.forking.process import start_program


class TestArchiveStorage(StorageContract):
    opens_twice = True

    @pytest.fixture
    async def storage(self, tmp_path: FilePath, clock: ManualClock) -> AsyncIterator[ArchiveStorage[Any]]:
        async with ArchiveStorage[Any](tmp_path / "archive", clock=clock) as storage:
            yield storage

    @pytest.fixture
    def reopen(self, tmp_path: FilePath, clock: ManualClock) -> Any:
        return lambda: ArchiveStorage[Any](tmp_path / "archive", clock=clock)


# the files


async def test_an_entry_is_a_file_named_by_its_digest(archive: ArchiveBackend) -> None:
    keys = ["a", "session/x", "../../etc/passwd", "k" * 2_048]
    await archive.write([Write(key, b"value") for key in keys])

    assert sorted("/".join(place_of(key)) for key in keys) == entries_in(archive.folder)


async def test_content_is_compressed(archive: ArchiveBackend) -> None:
    await archive.write(one(b"x" * 1_000_000))

    assert path_of(archive, "a").stat().st_size < 1_000


async def test_an_entry_of_any_kind_is_read_as_it_was_written(archive: ArchiveBackend) -> None:
    writes = [
        Write("empty", b""),
        Write("times", os.urandom(20_000), NOW_MS + 50, 50),
        Write[bytes]("gone", GONE, NOW_MS + 60, 60),
        Write("copy", b"c", version=7),
    ]
    await archive.write(writes)

    assert {
        "empty": Entry(b"", NOW_US),
        "times": Entry(writes[1].value, NOW_US, NOW_MS + 50, 50),
        "gone": Entry(GONE, NOW_US, NOW_MS + 60, 60),
        "copy": Entry(b"c", 7),
    } == await archive.read([write.key for write in writes])


async def test_many_keys_are_answered_in_their_order(archive: ArchiveBackend) -> None:
    writes = [Write(f"key {number % 40}", b"%d" % number) for number in range(80)]
    written = await archive.write(writes)

    assert [NOW_US] * 40 + [NOW_US + 1] * 40 == [version for version, _ in written]
    assert b"45" == await value_of(archive, "key 5")


async def test_looking_and_scanning_read_no_more_than_headers(open_archive: Open) -> None:
    limits: list[int] = []

    class Watched(Files):
        def read(self, path: StrPath, *, limit_bytes: int = -1) -> bytes:
            limits.append(limit_bytes)
            return super().read(path, limit_bytes=limit_bytes)

    archive = open_archive(files=Watched())
    await archive.write([Write("a", os.urandom(1_000_000)), Write("b", b"1")])
    await archive.look(["a", "b", "none"])
    pages = [page async for page in archive.scan("")]

    assert {"a", "b"} == {key for page in pages for key, _ in page}
    assert {START_BYTES} == set(limits)


async def test_scanning_skips_what_is_not_its_own(
    archive: ArchiveBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await archive.write([Write("a", b"1"), Write("b", b"2")])
    place = path_of(archive, "a")
    for foreign in (archive.folder / "README", place.parent / "notes.txt", archive.folder / "zz"):
        foreign.write_text("not an entry")
    (place.parent / ("0" * 30)).mkdir()
    (place.parent / ("1" * 30)).write_text("not an entry either\n" * 9)
    place.with_name(f"{place.name}.temporary-1").write_text("half")
    shutil.copy(place, path_of(archive, "b").with_name("2" * 30))

    assert ["a", "b"] == sorted([key async for page in archive.scan("", nested=True) for key, _ in page])
    assert [NOW_US] == [mark.version for mark in (await archive.look(["a"])).values()]
    assert "does not begin as an entry" in caplog.text


# damage


@pytest.mark.parametrize("at", [0, 30, -20, -1], ids=["magic", "header", "content", "checksum"])
async def test_a_damaged_file_is_told_with_its_key_and_its_name(archive: ArchiveBackend, at: int) -> None:
    await archive.write(one(b"value"))
    damage(path_of(archive, "a"), at=at)

    with pytest.raises(DamagedValue, match=f"'a' cannot be read: the file .*{path_of(archive, 'a').name}"):
        await archive.read(["a"])


async def test_a_file_in_the_place_of_another_is_never_its_value(archive: ArchiveBackend) -> None:
    await archive.write([Write("a", b"1"), Write("b", b"2")])
    shutil.copy(path_of(archive, "a"), path_of(archive, "b"))

    for call in (
        archive.read(["b"]),
        archive.look(["b"]),
        archive.write(one(b"3", key="b")),
        archive.remove(["b"]),
        archive.touch(["b"]),
    ):
        with pytest.raises(DamagedValue, match=r"'b' .* holds another key, 'a'"):
            await call
    assert ["a"] == [key async for page in archive.scan("") for key, _ in page]


async def test_a_damaged_entry_can_be_set_anew(
    archive: ArchiveBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await archive.write(one(b"value"))
    damage(path_of(archive, "a"), at=30)
    await archive.write(one(b"new"))

    assert b"new" == await value_of(archive)
    assert "written anew" in caplog.text


@pytest.mark.parametrize("condition", [{"expected": 0}, {"version": NOW_US * 2}])
async def test_a_damaged_entry_meets_no_condition(archive: ArchiveBackend, condition: dict[str, int]) -> None:
    await archive.write(one(b"value"))
    damage(path_of(archive, "a"), at=30)

    with pytest.raises(DamagedValue):
        await archive.write(one(b"new", **condition))


async def test_a_damaged_entry_can_be_removed(archive: ArchiveBackend) -> None:
    await archive.write(one(b"value"))
    damage(path_of(archive, "a"), at=30)

    assert (0, 1) == (await archive.remove(["a"], dead_only=True), await archive.remove(["a"]))
    assert {} == await archive.read(["a"])


async def test_a_damaged_entry_is_not_touched(archive: ArchiveBackend) -> None:
    await archive.write(one(b"value", deadline_ms=NOW_MS + 50, ttl_ms=60))
    damage(path_of(archive, "a"))

    with pytest.raises(DamagedValue, match="does not match its checksum"):
        await archive.touch(["a"])


async def test_a_file_of_a_later_format_stays_as_it_is(archive: ArchiveBackend) -> None:
    await archive.write(one(b"value"))
    path = path_of(archive, "a")
    damage(path, at=8)  # 1 becomes 0, which was never written
    path.write_bytes(path.read_bytes()[:8] + b"\2" + path.read_bytes()[9:])

    for call in (archive.read(["a"]), archive.write(one(b"new")), archive.remove(["a"])):
        with pytest.raises(StoreError, match="format 2, later than 1"):
            await call


async def test_a_pass_over_all_files_tells_the_damaged_ones(archive: ArchiveBackend) -> None:
    keys = [f"key {number}" for number in range(20)]
    await archive.write([Write(key, os.urandom(100)) for key in keys])
    damage(path_of(archive, "key 3"), at=30)
    damage(path_of(archive, "key 4"))
    shutil.copy(path_of(archive, "key 5"), path_of(archive, "key 6"))
    verification = archive.verify()
    damaged = {file.path: file async for file in verification}

    assert 17 == verification.good
    assert {path_of(archive, f"key {number}") for number in (3, 4, 6)} == set(damaged)
    assert [
        "its header does not match its checksum",
        "its content does not match its checksum",
        "its key belongs in another place: it was moved or renamed",
    ] == [damaged[path_of(archive, f"key {number}")].reason for number in (3, 4, 6)]
    assert "key 5" == damaged[path_of(archive, "key 6")].key


async def test_a_value_beyond_the_bound_is_refused(open_archive: Open) -> None:
    small, large = open_archive(max_value_bytes=10), open_archive()
    await large.write(one(b"x" * 11))

    with pytest.raises(ValueTooLarge):
        await small.write([Write("b", b"1"), Write("a", b"x" * 11)])
    with pytest.raises(ValueTooLarge):
        await small.read(["a"])
    assert {} == await large.read(["b"])


# removing


async def test_sweeping_removes_the_dead_and_what_was_left_of_writes(archive: ArchiveBackend) -> None:
    await archive.write(
        [
            Write("dead", b"1", NOW_MS, 1),
            Write[bytes]("gone", GONE, NOW_MS, 1),
            Write[bytes]("fresh", GONE, NOW_MS + 1, 1),
            Write("live", b"1"),
        ]
    )
    left = path_of(archive, "live").with_name(f"{'0' * 30}.temporary-3")
    left.write_text("half")

    assert ["dead", "gone"] == sorted(await archive.sweep())
    assert sorted("/".join(place_of(key)) for key in ("fresh", "live")) == entries_in(archive.folder)
    assert not left.exists()


async def test_sweeping_goes_on_where_it_stopped(archive: ArchiveBackend) -> None:
    keys = {f"key {number}" for number in range(20)}
    await archive.write([Write(key, b"1", NOW_MS, 1) for key in keys])
    swept = [await archive.sweep(limit=7) for _ in range(4)]

    assert [7, 7, 6, 0] == [len(page) for page in swept]
    assert keys == {key for page in swept for key in page}


async def test_clearing_all_removes_the_damaged_too(archive: ArchiveBackend) -> None:
    await archive.write([Write("a", b"1"), Write("space/a", b"2"), Write("space/b", b"3")])
    damage(path_of(archive, "space/b"), at=30)
    await archive.clear("space/")
    left = entries_in(archive.folder)
    await archive.clear("")

    assert sorted("/".join(place_of(key)) for key in ("a", "space/b")) == left
    assert [] == entries_in(archive.folder)


# who may have it

COUNT = """
import asyncio, sys
from eliza_state.storage.disk.archive import ArchiveStorage

async def count():
    async with ArchiveStorage(sys.argv[1]) as archive:
        for _ in range(50):
            await archive.update("count", lambda value: value + 1, default=0)

asyncio.run(count())
"""


async def test_processes_that_count_together_lose_no_number(folder: FilePath) -> None:
    with contextlib.ExitStack() as stack:
        counters = [stack.enter_context(start_program(COUNT, folder)) for _ in range(3)]
        ended = [await asyncio.to_thread(counter.wait) for counter in counters]

    assert [0, 0, 0] == ended
    async with ArchiveStorage[int](folder) as archive:
        assert 150 == await archive.get("count")


async def test_who_waits_too_long_for_a_lock_is_told(
    archive: ArchiveBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_files, "_LOCK_TIMEOUT_S", 0)
    lock = file_lock(archive.folder / f"{place_of('a')[0]}.lock")
    with lock, pytest.raises(Busy, match="somebody else holds"):
        await archive.write(one(b"1"))

    await archive.write(one(b"2"))


async def test_a_closed_archive_says_so(open_archive: Open) -> None:
    archive = open_archive()
    await archive.write(one(b"1"))
    await archive.close()
    await archive.close()

    for call in (archive.read(["a"]), archive.write(one(b"2")), archive.remove(["a"]), archive.sweep()):
        with pytest.raises(StoreError, match="closed"):
            await call


def test_one_event_loop_after_another(folder: FilePath) -> None:
    archive = ArchiveStorage[int](folder)
    asyncio.run(archive.set("a", 1))

    assert 1 == asyncio.run(archive.get("a"))
    asyncio.run(archive.close())


# paths


async def test_a_link_to_the_folder_is_followed(tmp_path: FilePath, open_archive: Open) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far")
    await open_archive(folder=tmp_path / "link").write(one(b"1"))

    assert 1 == len(entries_in(tmp_path / "far"))


async def test_a_link_in_the_place_of_an_entry_is_replaced(
    archive: ArchiveBackend, tmp_path: FilePath
) -> None:
    await archive.write(one(b"1"))
    path, moved = path_of(archive, "a"), tmp_path / "moved"
    path.rename(moved)
    path.symlink_to(moved)
    read = await value_of(archive)
    await archive.write(one(b"2"))

    assert (b"1", b"2", False) == (read, await value_of(archive), path.is_symlink())


@pytest.mark.parametrize("name", ["file", "file/archive", "nul\0", "x" * 300, "loop"])
def test_a_folder_that_cannot_be_is_told(tmp_path: FilePath, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(StoreError):
        ArchiveStorage[int](f"{tmp_path}/{name}")


async def test_a_folder_that_may_not_be_written_can_be_read() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with ArchiveStorage[int](folder) as archive:
            await archive.set("a", 1)
        os.chmod(folder, 0o555)
        if user == 0:
            os.seteuid(65534)  # the administrator may write anywhere
        try:
            async with ArchiveStorage[int](folder) as archive:
                assert 1 == await archive.get("a")
                with pytest.raises(StoreError, match="must be writable"):
                    await archive.set("b", 2)
        finally:
            if user == 0:
                os.seteuid(0)
            os.chmod(folder, 0o755)


@pytest.mark.parametrize("options", [{"level": 99}, {"ttl_ms": 0}, {"serializer": "none"}], ids=repr)
def test_wrong_options_open_nothing(folder: FilePath, options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, LookupError)):
        ArchiveStorage[int](folder, **options)

    assert not folder.exists()
