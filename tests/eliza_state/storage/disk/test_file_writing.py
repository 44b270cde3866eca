"""When a storage in one JSON file writes it, and what waits for that."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.disk.file import FileStorage
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.disk.opening import (
    NOW_MS,
    Open,
    one,
    put,
    text_of,
)
from tests.eliza_state.storage.watched import Watched


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
