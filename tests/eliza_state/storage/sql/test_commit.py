"""A batch gets into the database once, wherever the connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.backend import Write, Written
from eliza_state.storage.errors import OutcomeUnknown, StaleValue
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.sql.commit import Commit, Job
from eliza_state.testing import FaultProxy, ManualClock
from tests.eliza_state.storage.sql.support import (
    HASTY_MS,
    OpenStorage,
    backend_of,
    database_of,
    direct,
    eventually,
    through,
)


def written(storage: SqlStorage[Any], clock: ManualClock, *batches: list[Write[bytes]]) -> list[Any]:
    return Commit(database_of(storage), [Job.of_writes(writes) for writes in batches], clock).once()


# Ways into the database


async def test_each_job_is_told_its_own_outcome(open_storage: OpenStorage, url: str) -> None:
    storage, clock = await open_storage(url), ManualClock()
    outcomes = written(storage, clock, [Write("a", b"1"), Write("b", b"2")], [], [Write("c", b"3")])

    new = Written(clock(), is_stored=True)
    assert [[new, new], [], [new]] == outcomes


async def test_versions_grow_though_the_clock_is_behind(open_storage: OpenStorage, url: str) -> None:
    storage, clock = await open_storage(url), ManualClock()
    before = clock()
    written(storage, clock, [Write("a", b"1"), Write("b", b"1")])
    clock.advance(ms=-1)
    outcomes = written(storage, clock, [Write("a", b"2"), Write("c", b"2")])

    assert [[Written(before + 1, True), Written(clock(), True)]] == outcomes
    found = database_of(storage).read(["a", "b", "c"])
    assert {"a": b"2", "b": b"1", "c": b"2"} == {key: entry.value for key, entry in found.items()}


async def test_a_key_in_two_jobs_is_written_twice(open_storage: OpenStorage, url: str) -> None:
    storage, clock = await open_storage(url), ManualClock()
    outcomes = written(storage, clock, [Write("a", b"1")], [Write("a", b"2")])

    assert [[Written(clock(), True)], [Written(clock() + 1, True)]] == outcomes
    assert b"2" == database_of(storage).read(["a"])["a"].value


async def test_jobs_without_keys_need_no_database(open_storage: OpenStorage, file_url: str) -> None:
    storage = await open_storage(file_url)
    await storage.close()

    assert [[]] == written(storage, ManualClock(), [])


# Connections that break


Step = Callable[[SqlStorage[Any], int], Awaitable[Any]]


async def count(storage: SqlStorage[Any], _: int) -> None:
    await storage.update("count", lambda value: value + 1)


async def add(storage: SqlStorage[Any], number: int) -> None:
    await storage.set(f"added {number:04}", number, expected_version=0)


async def overwrite(storage: SqlStorage[Any], number: int) -> None:
    await storage.set("number", number)


@pytest.mark.parametrize("direction", ["requests", "replies"])
@pytest.mark.parametrize("step", [count, add, overwrite])
async def test_a_write_is_done_once_wherever_its_connection_is_cut(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str, step: Step, direction: Any
) -> None:
    storage = await open_storage(through(proxy, postgres_url))
    await storage.set_many({"count": 0, "number": -1})
    for number in range(8):  # until statements are prepared: then all steps have the same size
        await step(storage, number)
    before = proxy.request_bytes, proxy.reply_bytes
    await step(storage, 8)
    size = proxy.request_bytes - before[0] if direction == "requests" else proxy.reply_bytes - before[1]
    cuts = sorted({*range(0, size, max(1, size // 12)), size - 1})
    for number, after_bytes in enumerate(cuts, start=9):
        proxy.cut(after_bytes=after_bytes, direction=direction, count=1)
        await step(storage, number)
        proxy.heal()

    last = 8 + len(cuts)
    expected = {count: (last + 1, -1, 0), add: (0, -1, last + 1), overwrite: (0, last, 0)}
    added = [key async for key in storage.keys(prefix="added")]
    assert expected[step] == (await storage.get("count"), await storage.get("number"), len(added))


async def test_a_write_whose_reply_is_lost_has_the_version_that_is_stored(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str
) -> None:
    storage = await open_storage(through(proxy, postgres_url))
    await storage.set("key", 1)
    proxy.cut(after_bytes=0, direction="replies", count=1)
    version = await storage.set("key", 2)

    mark = await storage.mark("key")
    assert mark is not None
    assert version == mark.version


class Doubt:
    """A write that was committed, of which the storage does not know, and cannot ask until `end`."""

    def __init__(self, proxy: FaultProxy, storage: SqlStorage[Any], other: SqlStorage[Any]) -> None:
        self.proxy = proxy
        self.storage = storage
        self.other = other

    async def begin(self, value: Any, **options: Any) -> asyncio.Task[Any]:
        self.proxy.refuse()
        self.proxy.cut(after_bytes=0, direction="replies", count=1)
        task = asyncio.create_task(self.storage.set("key", value, **options))

        async def is_stored() -> bool:
            return await self.other.get("key") == value

        await eventually(is_stored)
        return task

    def end(self) -> None:
        self.proxy.heal()


@pytest.fixture
async def doubt(open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str) -> Doubt:
    storage = await open_storage(through(proxy, postgres_url))
    return Doubt(proxy, storage, await open_storage(postgres_url))


async def test_what_others_wrote_over_a_doubtful_write_stays(doubt: Doubt) -> None:
    writing = await doubt.begin("ours")
    await doubt.other.set("key", "theirs")
    doubt.end()

    with pytest.raises(OutcomeUnknown, match="others may have written its keys"):
        await writing
    assert "theirs" == await doubt.storage.get("key")


async def test_a_doubtful_write_is_not_repeated_when_it_is_found(doubt: Doubt) -> None:
    writing = await doubt.begin("ours")
    stored = await doubt.other.entry("key")
    doubt.end()
    version = await writing

    assert stored == await doubt.storage.entry("key")
    assert stored is not None
    assert stored.version == version


async def test_all_who_share_a_doubtful_batch_are_told(doubt: Doubt) -> None:
    doubt.proxy.refuse()
    doubt.proxy.cut(after_bytes=0, direction="replies", count=1)
    writing = asyncio.gather(*(doubt.storage.set(f"{number}", number) for number in range(5)))

    async def are_stored() -> bool:
        return len(await doubt.other.get_many("01234")) == 5

    await eventually(are_stored)
    doubt.end()
    versions = await writing

    marks = [await doubt.other.mark(key) for key in "01234"]
    assert versions == [mark.version for mark in marks if mark]


async def test_doubt_that_lasts_too_long_is_told(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str
) -> None:
    hasty = await open_storage(through(proxy, postgres_url), timeout_ms=HASTY_MS)
    doubt = Doubt(proxy, hasty, await open_storage(postgres_url))
    writing = await doubt.begin("ours")

    with pytest.raises(OutcomeUnknown, match="may have been done or not"):
        await writing
    doubt.end()
    assert "ours" == await hasty.get("key")


async def test_doubt_is_told_also_where_a_lock_is_in_the_way_of_looking(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str
) -> None:
    hasty = await open_storage(through(proxy, postgres_url), timeout_ms=HASTY_MS)
    doubt = Doubt(proxy, hasty, await open_storage(postgres_url))
    writing = await doubt.begin("ours")
    with direct(postgres_url) as connection, connection.transaction():
        connection.execute("LOCK TABLE eliza_state_kv")
        doubt.end()

        with pytest.raises(OutcomeUnknown, match="may have been done or not"):
            await writing


async def test_a_clear_whose_reply_is_lost_is_doubtful(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str
) -> None:
    storage = await open_storage(through(proxy, postgres_url))
    await storage.set("key", 1)
    for _ in range(8):
        await storage.clear()
    before = proxy.reply_bytes
    await storage.clear()
    proxy.cut(after_bytes=proxy.reply_bytes - before - 1, direction="replies", count=1)

    with pytest.raises(OutcomeUnknown):
        await storage.clear()
    await storage.set("key", 2)
    assert 2 == await storage.get("key")


async def test_without_a_connection_nothing_is_stored(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str
) -> None:
    storage = await open_storage(through(proxy, postgres_url), timeout_ms=HASTY_MS)
    version = await storage.set("key", "before")
    proxy.refuse()
    proxy.reset()
    for expected in (version, None):
        with pytest.raises(StoreError, match=r"given up after 0\.3 s$"):
            await storage.set("key", "during", expected_version=expected)
    proxy.heal()

    assert "before" == await storage.get("key")
    assert version < await storage.set("key", "after", expected_version=version)


async def test_a_stale_version_is_stale_after_a_lost_connection_too(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str
) -> None:
    storage = await open_storage(through(proxy, postgres_url))
    version = await storage.set("key", 1)
    proxy.reset()

    with pytest.raises(StaleValue):
        await storage.set("key", 2, expected_version=version - 1)
    assert backend_of(storage).name == "sql"
