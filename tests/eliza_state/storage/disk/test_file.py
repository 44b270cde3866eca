"""The storage in one JSON file."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_serializers import Secret
from eliza_state.errors import Busy, StoreError
from eliza_state.files import Files, StrPath
from eliza_state.storage.backend import GONE, Entry, Write
from eliza_state.storage.disk.file import FileBackend, FileStorage
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.wrappers.compression import Compression
from eliza_state.testing import START, CrashFiles, FailingFiles, ManualClock
from eliza_state.testing.storages import StorageContract

HOUR_MS = 3_600_000
PATIENCE_S = 30
NOW_US = ManualClock(START)()
NOW_MS = NOW_US // 1_000


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


class Watched(Files):
    """Files that count the writes, and make them wait or fail as they are told."""

    def __init__(self) -> None:
        self.replaced = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.count = 0
        self.error: OSError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def replace(self, source: StrPath, target: StrPath) -> None:
        self.begun.release()
        assert self.gate.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        super().replace(source, target)
        self.count += 1
        self.replaced.release()

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_S)

    async def until_replaced(self) -> None:
        assert await asyncio.to_thread(self.replaced.acquire, timeout=PATIENCE_S)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

Open = Callable[..., FileBackend]


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


# when it is written


async def test_nothing_is_written_before_its_time(path: FilePath, open_file: Open) -> None:
    backend = open_file()
    await backend.write(one(b"json:1"))

    assert [] == [name for name in os.listdir(path.parent) if name == path.name]
    assert b"json:1" == backend.at_hand("a").value  # type: ignore[union-attr]


async def test_a_change_is_written_by_itself_after_the_interval(
    path: FilePath, open_file: Open, files: Watched
) -> None:
    backend = open_file(flush_interval_ms=1)
    await backend.write(one(b"json:1"))
    await files.until_replaced()

    assert "a" in text_of(path)


async def test_many_changes_are_one_write(open_file: Open, files: Watched) -> None:
    backend = open_file()
    for number in range(100):
        await backend.write(one(b"json:%d" % number, key=str(number)))
    await backend.flush()

    assert 1 == files.count


async def test_what_has_not_changed_is_not_written_again(open_file: Open, files: Watched) -> None:
    backend = open_file()
    await backend.write(one(b"json:1"))
    await backend.flush()
    await backend.remove(["nothing"])
    await backend.touch(["a", "nothing"])
    await backend.write(one(b"json:2", expected=1))
    await backend.clear("space/")
    await backend.sweep()
    await backend.flush()
    await backend.close()

    assert 1 == files.count


async def test_a_file_that_nobody_changes_is_not_written(path: FilePath, open_file: Open) -> None:
    put(path, '{"version":1,"entries":[["a",1]]}')
    await open_file().close()

    assert '{"version":1,"entries":[["a",1]]}' == text_of(path)


async def test_with_no_interval_a_write_returns_when_it_is_on_the_disk(
    path: FilePath, open_file: Open
) -> None:
    backend = open_file(flush_interval_ms=0)
    await backend.write(one(b"json:1", ttl_ms=10, deadline_ms=NOW_MS + 10))
    seen = [text_of(path)]
    await backend.write(one(b"json:1", key="b"))
    await backend.remove(["a"])
    seen.append(text_of(path))
    await backend.clear("")
    seen.append(text_of(path))

    assert [True, False, False] == ['"a"' in text for text in seen]
    assert [False, True, False] == ['"b"' in text for text in seen]


async def test_writes_at_one_time_share_what_goes_to_the_disk(
    path: FilePath, open_file: Open, files: Watched
) -> None:
    backend = open_file(flush_interval_ms=0)
    await asyncio.gather(*(backend.write(one(b"json:1", key=str(number))) for number in range(100)))

    assert 100 == len(json.loads(text_of(path))["entries"])
    assert files.count <= 3


async def test_a_flush_during_a_write_waits_for_one_more(
    path: FilePath, open_file: Open, files: Watched
) -> None:
    backend = open_file()
    files.gate.clear()
    await backend.write(one(b"json:1"))
    first = asyncio.create_task(backend.flush())
    await files.until_begun()
    await backend.write(one(b"json:2"))
    second = asyncio.create_task(backend.flush())
    files.gate.set()
    await asyncio.gather(first, second)

    assert 2 == files.count
    assert '["a",2,' in text_of(path)


async def test_reading_goes_on_while_the_disk_is_slow(open_file: Open, files: Watched) -> None:
    backend = open_file()
    files.gate.clear()
    await backend.write(one(b"json:1"))
    flushing = asyncio.create_task(backend.flush())
    await files.until_begun()

    assert b"json:1" == (await backend.read(["a"]))["a"].value
    assert not flushing.done()
    files.gate.set()
    await flushing


async def test_a_caller_who_is_cancelled_cancels_only_the_wait(
    path: FilePath, open_file: Open, files: Watched
) -> None:
    backend = open_file(flush_interval_ms=0)
    files.gate.clear()
    writing = asyncio.create_task(backend.write(one(b"json:1")))
    await files.until_begun()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    files.gate.set()
    await backend.flush()

    assert '"a"' in text_of(path)
    assert 1 == files.count


async def test_a_close_that_is_cancelled_leaves_it_open(open_file: Open, files: Watched) -> None:
    backend = open_file()
    files.gate.clear()
    await backend.write(one(b"json:1"))
    closing = asyncio.create_task(backend.close())
    await files.until_begun()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    files.gate.set()

    assert (await backend.write(one(b"json:2")))[0].is_stored


async def test_nothing_is_accepted_while_it_closes(open_file: Open, files: Watched) -> None:
    backend = open_file()
    files.gate.clear()
    await backend.write(one(b"json:1"))
    closing = asyncio.create_task(backend.close())
    await files.until_begun()

    with pytest.raises(StoreError, match="closed"):
        await backend.write(one(b"json:2"))
    files.gate.set()
    await closing


async def test_closing_at_the_same_time_waits_for_the_same_write(path: FilePath, open_file: Open) -> None:
    backend = open_file()
    await backend.write(one(b"json:1"))
    await asyncio.gather(backend.close(), backend.close())

    assert '"a"' in text_of(path)


async def test_what_is_past_its_deadline_is_not_written(path: FilePath, open_file: Open) -> None:
    clock = ManualClock()
    backend = open_file(clock=clock)
    await backend.write([*one(b"json:1", deadline_ms=NOW_MS + 10), *one(b"json:2", key="b")])
    clock.advance(ms=10)
    await backend.flush()

    assert ["b"] == [key for key, *_ in json.loads(text_of(path))["entries"]]
    assert backend.at_hand("a") is None


def test_one_event_loop_after_another(path: FilePath) -> None:
    storage = FileStorage[int](path, flush_interval_ms=0)
    asyncio.run(storage.set("a", 1))
    asyncio.run(storage.set("b", 2))
    asyncio.run(storage.close())

    async def read() -> dict[str, int]:
        async with FileStorage[int](path) as again:
            return await again.get_many(["a", "b"])

    assert {"a": 1, "b": 2} == asyncio.run(read())


# what is left of it


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


# who may have it

HOLD = """
import asyncio, sys
from eliza_state.storage.disk.file import FileStorage
storage = FileStorage(sys.argv[1], flush_interval_ms=3_600_000)
asyncio.run(storage.set("a", 1))
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(path: FilePath) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the file open, something in memory, and ends when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert "held\n" == process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused(path: FilePath, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(StoreError, match=r"somebody else holds .*state\.json\.lock"):
        FileStorage[int](path)


async def test_a_process_that_ends_without_closing_writes_what_it_holds(
    path: FilePath, holder: subprocess.Popen[str]
) -> None:
    holder.communicate("end\n", timeout=PATIENCE_S)

    assert 0 == holder.returncode
    async with FileStorage[int](path) as storage:
        assert 1 == await storage.get("a")


async def test_a_killed_process_holds_nothing_and_loses_what_was_not_due(
    path: FilePath, holder: subprocess.Popen[str]
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
