"""A table in a SQLite file: others that use it too, its log, disks that are full, rows that are damaged."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.sql.database import Database
from tests.eliza_state.storage.sql.support import (
    HASTY_MS,
    OpenStorage,
    database_of,
    ended,
    eventually,
    held,
    sqlite_of,
    started,
    writer_of,
)

LARGE = "x" * 500_000


def size_of(file: str) -> int:
    return os.path.getsize(file)


# Reading


async def test_reads_are_inline_and_see_what_others_commit(open_storage: OpenStorage, file_url: str) -> None:
    storage, other = await open_storage(file_url), await open_storage(file_url)
    await other.set("key", 1)

    assert storage.backend.is_inline
    assert 1 == await storage.get("key")
    await other.set("key", 2)
    assert 2 == await storage.get("key")


async def test_a_read_holds_no_checkpoint_up(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    storage = await open_storage(file_url)
    await storage.set_many({"a": 1, "b": 2})
    await storage.get("a")
    await storage.get_many(["a", "b", "c"])
    await anext(storage.keys())
    other = sqlite3.connect(file, isolation_level=None)

    assert 0 == other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0]
    other.close()


@pytest.mark.parametrize("key", ["missing", "a/b", "50%", "\ud800 lone", "", "nul\0", "ü" * 300])
async def test_nothing_is_at_hand_under_what_is_no_key(
    open_storage: OpenStorage, file_url: str, key: str
) -> None:
    storage = await open_storage(file_url)

    assert storage.backend.at_hand(key) is None


async def test_with_another_journal_reads_are_in_threads(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    writer = await open_storage(file_url)
    await writer.set("key", 1)
    await writer.close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA journal_mode=DELETE").close()
    reader = await open_storage(file_url, read_only=True)

    assert not reader.backend.is_inline
    assert (1, True) == (await reader.get("key"), await reader.has("key"))
    assert ["key"] == [key async for key in reader.keys()]
    other.close()


async def test_a_lock_that_keeps_readers_out_is_waited_out_in_a_thread(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    writer = await open_storage(file_url)
    await writer.set("key", 1)
    await writer.close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA journal_mode=DELETE").close()
    reader = await open_storage(file_url, read_only=True)
    other.execute("BEGIN EXCLUSIVE")
    reading = asyncio.create_task(reader.get("key"))
    await asyncio.sleep(0)  # it is asked for
    other.execute("COMMIT")

    assert 1 == await reading
    other.close()


# Locks


@pytest.mark.parametrize("write", ["set", "update", "clear"])
async def test_a_lock_that_lasts_too_long_is_told(
    open_storage: OpenStorage, file_url: str, file: FilePath, write: str
) -> None:
    storage = await open_storage(file_url, timeout_ms=HASTY_MS)
    await storage.set("key", "before")
    other = held(file)
    writing = {
        "set": lambda: storage.set("key", "during"),
        "update": lambda: storage.update("key", lambda _: "during"),
        "clear": storage.clear,
    }[write]

    with pytest.raises(Busy, match=r"another process holds the lock.*given up after 0\.3 s"):
        await writing()
    assert "before" == await storage.get("key")
    other.close()
    await storage.set("key", "after")
    assert "after" == await storage.get("key")


async def test_a_lock_is_waited_out_while_readers_go_on(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    storage = await open_storage(file_url)
    await storage.set("key", "before")
    other = held(file)
    writing = [asyncio.create_task(storage.set(f"key {number}", number)) for number in range(5)]

    async def waits() -> bool:
        return writer_of(storage)._is_working

    await eventually(waits)
    assert "before" == await storage.get("key")
    other.close()
    await asyncio.gather(*writing)

    assert [0, 1, 2, 3, 4] == [await storage.get(f"key {number}") for number in range(5)]


# Several processes

COUNT = """
import asyncio, sys
from eliza_state.storage.sql import SqlStorage

async def count(storage, times):
    for _ in range(times):
        await storage.update("count", lambda value: value + 1, default=0)

async def main():
    async with SqlStorage(sys.argv[1], timeout_ms=60_000) as storage:
        print("open", flush=True)
        sys.stdin.readline()
        await asyncio.gather(*(count(storage, 10) for _ in range(4)))

asyncio.run(main())
"""


async def test_no_update_of_several_processes_is_lost(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    processes = [started(COUNT, url) for _ in range(2)]
    for process in processes:
        assert "open\n" == await asyncio.to_thread(process.stdout.readline)
    await asyncio.gather(*map(ended, processes))

    assert 80 == await storage.get("count")


# The log


async def test_the_log_does_not_grow_for_ever(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    storage = await open_storage(file_url)
    sizes = []
    for number in range(60):
        await storage.set(f"key {number % 3}", LARGE)
        sizes.append(size_of(f"{file}-wal"))

    assert max(sizes) < 12_000_000
    await storage.close()
    assert [file.name] == os.listdir(file.parent)


async def test_a_checkpoint_that_others_are_in_the_way_of_comes_later(
    open_storage: OpenStorage, file_url: str, file: FilePath, caplog: pytest.LogCaptureFixture
) -> None:
    storage = await open_storage(file_url)
    database: Database = database_of(storage)
    sqlite_of(storage)._session.written_bytes = 100_000_000
    other = held(file)

    assert database.wants_maintenance
    with pytest.raises(Busy):
        database.maintain()
    writer_of(storage)._maintain()
    assert database.wants_maintenance
    other.close()
    database.maintain()
    assert not database.wants_maintenance
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# Full disks


async def test_a_full_disk_is_told_and_loses_nothing(open_storage: OpenStorage, file_url: str) -> None:
    storage = await open_storage(file_url)
    version = await storage.set("key", "before")
    connection = sqlite_of(storage)._writer
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 5}").close()

    with pytest.raises(StoreError, match="full"):
        await storage.set("key", LARGE)
    with pytest.raises(StoreError, match="full"):
        await storage.set("key", LARGE, expected_version=version)
    outcomes = await asyncio.gather(
        storage.set("large", LARGE), storage.set("small", 1), return_exceptions=True
    )

    assert ("before", 1) == (await storage.get("key"), await storage.get("small"))
    assert isinstance(outcomes[0], StoreError)
    connection.execute(f"PRAGMA max_page_count={pages + 1_000}").close()
    await storage.set("key", LARGE)
    assert LARGE == await storage.get("key")


LIMITED = """
import asyncio, resource, signal, sys
from eliza_state.errors import StoreError
from eliza_state.storage.sql import SqlStorage

async def main():
    async with SqlStorage(sys.argv[1]) as storage:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        for number in range(100):
            try:
                await storage.set(f"key {number}", "x" * 20_000)
            except StoreError as error:
                found = await storage.get_many([f"key {number}", f"key {number - 1}"])
                print(number, *found)
                break
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await storage.set("after", number)

asyncio.run(main())
"""


async def test_a_log_that_cannot_grow_is_told_and_loses_nothing(
    open_storage: OpenStorage, file_url: str
) -> None:
    number, *found = (await ended(started(LIMITED, file_url))).split()

    assert ["key", f"{int(number) - 1}"] == found
    storage = await open_storage(file_url)
    assert int(number) == await storage.get("after") > 5
    assert int(number) + 1 == len([key async for key in storage.keys()])


# Damaged rows


def damage(file: FilePath, statement: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(statement).close()
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "value = 'text'",
        "value = x'00ff00'",
        "value = substr(value, 1, length(value) - 1)",
        "version = 'seven'",
        "deadline_ms = 'soon'",
    ],
)
async def test_a_damaged_row_is_told_and_others_are_read(
    open_storage: OpenStorage, file_url: str, file: FilePath, change: str
) -> None:
    storage = await open_storage(file_url)
    await storage.set_many({"damaged": [1], "whole": [2]})
    damage(file, f"UPDATE eliza_state_kv SET {change} WHERE name = 'damaged'")

    with pytest.raises(DamagedValue, match="'damaged'"):
        await storage.get("damaged")
    assert [2] == await storage.get("whole")


async def test_writes_beside_a_damaged_row_are_done(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    storage = await open_storage(file_url)
    versions = [await storage.set(key, "before") for key in ("damaged", "whole")]
    damage(file, "UPDATE eliza_state_kv SET version = 'seven' WHERE name = 'damaged'")
    outcomes: list[Any] = await asyncio.gather(
        storage.set("damaged", "after", expected_version=versions[0]),
        storage.set("whole", "after", expected_version=versions[1]),
        return_exceptions=True,
    )

    assert isinstance(outcomes[0], DamagedValue)
    assert "after" == await storage.get("whole")


async def test_a_damaged_value_can_be_replaced_and_removed(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    storage = await open_storage(file_url)
    await storage.set_many({"a": 1, "b": 2})
    damage(file, "UPDATE eliza_state_kv SET value = 'text'")
    await storage.set("a", 3)

    assert await storage.delete("b")
    assert ({"a": 3}, None) == (await storage.get_many(["a", "b"]), await storage.get("b"))


def test_a_damaged_file_is_told_and_left_as_it_is(file_url: str, file: FilePath) -> None:
    file.write_bytes(b"this is no database, as anybody can see" * 200)

    with pytest.raises(StoreError, match="not a database"):
        SqlStorage(file_url)
    assert file.read_bytes().startswith(b"this is no database")


# Giving room back


async def test_a_file_gets_smaller_piece_by_piece(open_storage: OpenStorage, file_url: str) -> None:
    storage = await open_storage(file_url)
    for number in range(4):
        await storage.set(str(number), LARGE)
    await storage.clear()
    free = await storage.backend.free_bytes()
    pieces = [await storage.backend.give_back(max_bytes=1_000_000) for _ in range(3)]
    await storage.backend.expunge()

    assert free > 1_900_000
    assert 900_000 < pieces[0] <= 1_000_000
    assert (sum(pieces), await storage.backend.free_bytes()) == (free, 0)
    assert size_of(file_url.removeprefix("sqlite:///")) < 100_000


async def test_the_application_s_own_file_is_left_as_it_is(open_storage: OpenStorage, file_url: str) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(file_url)
    try:
        storage = await open_storage(engine)
        await storage.set("key", LARGE)
        await storage.clear()
        free, given = await storage.backend.free_bytes(), await storage.backend.give_back(max_bytes=1_000_000)
        await storage.close()
    finally:
        engine.dispose()

    assert (free, given) == (0, 0)
