"""The one writer: who waits for it, what shares a transaction, what goes on without anybody waiting."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.sql.database import Session
from eliza_state.storage.sql.writer import _INLINE_BELOW_S, _INLINE_KEYS
from tests.eliza_state.storage.sql.support import (
    PATIENT_MS,
    OpenStorage,
    backend_of,
    database_of,
    eventually,
    held,
    writer_of,
)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("eliza-storage")}


def slow(storage: SqlStorage[Any]) -> None:
    """Make the writer believe that commits take long, so that its thread does them."""
    writer_of(storage)._recent_s = 60.0


# Where it writes


async def test_a_few_quick_writes_are_done_in_the_event_loop(
    open_storage: OpenStorage, file_url: str
) -> None:
    storage = await open_storage(file_url)
    writer_of(storage)._recent_s = 0.0
    await asyncio.gather(*(storage.set(f"{number}", number) for number in range(_INLINE_KEYS)))

    assert writer_of(storage)._thread is None
    assert _INLINE_KEYS == len([key async for key in storage.keys()])


@pytest.mark.parametrize("reason", ["many", "slow", "alone"])
async def test_other_writes_are_done_in_the_thread(
    open_storage: OpenStorage, file_url: str, reason: str
) -> None:
    storage = await open_storage(file_url)
    if reason == "many":
        await storage.set_many({f"{number}": number for number in range(_INLINE_KEYS + 1)})
    elif reason == "slow":
        slow(storage)
        await storage.set("key", 1)
    else:
        await storage.clear()

    assert writer_of(storage)._thread is not None


async def test_when_commits_are_quick_again_the_loop_takes_over(
    open_storage: OpenStorage, tmp_path: FilePath
) -> None:
    storage = await open_storage("sqlite://")
    writer_of(storage)._recent_s = 10 * _INLINE_BELOW_S
    for number in range(200):
        await storage.set("key", number)

    assert _INLINE_BELOW_S > writer_of(storage)._recent_s


async def test_writes_are_stored_in_the_order_in_which_they_were_begun(
    open_storage: OpenStorage, url: str
) -> None:
    storage = await open_storage(url)
    for is_slow in (False, True):
        if is_slow:
            slow(storage)
        versions = await asyncio.gather(*(storage.set("key", number) for number in range(300)))

        assert (versions, 299) == (sorted(set(versions)), await storage.get("key"))


async def test_each_of_many_callers_gets_what_is_its_own(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    version = await storage.set("stale", 1)
    await storage.set("there", 1)
    outcomes = await asyncio.gather(
        storage.set("new", 1),
        storage.set("stale", 2, expected_version=version - 1),
        storage.delete("there"),
        storage.delete("missing"),
        storage.touch("new"),
        storage.update("count", lambda value: value + 1, default=0),
        return_exceptions=True,
    )

    assert isinstance(outcomes[1], StaleValue)
    assert [True, False, True, 1] == outcomes[2:]


async def test_one_who_expects_too_much_fails_alone(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)

    def fail(_batch: Any) -> None:
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        storage.set("a", 1),
        writer_of(storage).write(["b"], fail),
        storage.set("c", 3),
        return_exceptions=True,
    )

    assert {"a": 1, "c": 3} == await storage.get_many("abc")
    assert isinstance(outcomes[1], StoreError)
    assert isinstance(outcomes[1].__cause__, ZeroDivisionError)


# Who no longer waits

Operation = Callable[[SqlStorage[Any]], Awaitable[Any]]


@pytest.mark.parametrize("operation", ["set", "set_many", "update", "clear", "sweep"])
async def test_what_was_handed_over_is_done_though_its_caller_is_gone(
    open_storage: OpenStorage, file_url: str, file: FilePath, operation: str
) -> None:
    storage = await open_storage(file_url)
    await storage.set("key", "before")
    other = held(file)
    run: dict[str, Operation] = {
        "set": lambda storage: storage.set("key", "after"),
        "set_many": lambda storage: storage.set_many({"key": "after", "other": 1}),
        "update": lambda storage: storage.update("key", lambda _: "after"),
        "clear": lambda storage: storage.clear(),
        "sweep": lambda storage: storage.sweep(),
    }
    task = asyncio.ensure_future(run[operation](storage))

    async def waits() -> bool:
        return writer_of(storage)._is_working

    await eventually(waits)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    other.close()
    await storage.set("last", 1)

    expected = {"clear": None, "sweep": "before"}.get(operation, "after")
    assert expected == await storage.get("key")


async def test_a_caller_that_is_cancelled_before_the_loop_turns_changes_nothing_for_others(
    open_storage: OpenStorage, url: str
) -> None:
    storage = await open_storage(url)
    tasks = [asyncio.create_task(storage.set(f"{number}", number)) for number in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [True, False] * 5 == [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes]
    assert {"1", "3", "5", "7", "9"} <= await storage.has_many("0123456789")


# Event loops


def test_event_loops_may_come_one_after_the_other(url: str) -> None:
    storage = SqlStorage[int](url, timeout_ms=PATIENT_MS)

    async def count() -> None:
        await asyncio.gather(*(storage.update("count", lambda value: value + 1, default=0) for _ in range(5)))

    for _ in range(3):
        asyncio.run(count())

    assert 15 == asyncio.run(storage.get("count"))
    asyncio.run(storage.close())


@pytest.mark.parametrize("ending", ["close", "go on"])
def test_what_a_loop_left_behind_is_done_in_the_next_one(url: str, ending: str) -> None:
    storage = SqlStorage[int](url, timeout_ms=PATIENT_MS)
    first = asyncio.new_event_loop()
    writing = first.create_task(storage.set("left", 1))
    # The task runs until it waits, and the loop ends in the same turn, before the writer has its own.
    first.call_soon(first.stop)
    first.run_forever()
    if ending == "close":
        first.close()
    asyncio.run(storage.set("next", 2))

    assert {"left": 1, "next": 2} == asyncio.run(storage.get_many(["left", "next"]))
    if ending == "go on":
        assert 0 < first.run_until_complete(writing)
        first.close()
    else:
        writing._log_destroy_pending = False  # type: ignore[attr-defined]
    asyncio.run(storage.close())
    del writing
    gc.collect()


def test_a_loop_that_is_gone_takes_nothing_along_that_the_thread_has(file_url: str, file: FilePath) -> None:
    storage = SqlStorage[int](file_url, timeout_ms=PATIENT_MS)
    other = held(file)

    async def begin() -> None:
        task = asyncio.create_task(storage.set("key", 1))

        async def waits() -> bool:
            return writer_of(storage)._is_working

        await eventually(waits)
        assert not task.done()

    asyncio.run(begin())
    other.close()
    asyncio.run(storage.close())

    again = SqlStorage[int](file_url)
    assert 1 == asyncio.run(again.get("key"))
    asyncio.run(again.close())


# The end


async def test_closing_ends_all_threads(open_storage: OpenStorage, url: str) -> None:
    before = threads()
    storage = await open_storage(url, sweep_interval_ms=60_000)
    await asyncio.gather(*(storage.set(f"{number}", number) for number in range(10)))
    await asyncio.gather(*(storage.get(f"{number}") for number in range(10)))
    thread = writer_of(storage)._thread
    assert thread is not None
    await storage.close()
    await asyncio.to_thread(thread.join, PATIENT_MS / 1_000)

    assert before == threads()


async def test_closing_writes_what_is_waiting(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    writing = [asyncio.create_task(storage.set(f"{number}", number)) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.gather(storage.close(), storage.close())
    await asyncio.gather(*writing)

    again = await open_storage(url)
    assert 20 == len([key async for key in again.keys()])


async def test_who_gives_up_closing_may_try_again(
    open_storage: OpenStorage, file_url: str, file: FilePath
) -> None:
    storage = await open_storage(file_url)
    slow(storage)
    other = held(file)
    writing = asyncio.create_task(storage.set("key", 1))

    async def waits() -> bool:
        return writer_of(storage)._is_working

    await eventually(waits)
    closing = asyncio.create_task(storage.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    other.close()
    await storage.close()

    assert 0 < await writing
    with pytest.raises(StoreError, match="closed; make a new one"):
        await storage.set("key", 2)


# Sweeping


async def test_what_is_past_its_deadline_is_removed_by_itself(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url, sweep_interval_ms=1)
    await storage.set_many({f"{number}": number for number in range(1_500)}, ttl_ms=1)
    await storage.set_many({"stays": 1})
    await storage.set("lives", 2, ttl_ms=1_000_000)
    database = database_of(storage)

    async def is_swept() -> bool:
        return len(database.look([f"{number}" for number in range(1_500)])) == 0

    await eventually(is_swept)
    assert {"stays": 1, "lives": 2} == await storage.get_many(["stays", "lives"])


async def test_without_an_interval_nothing_is_removed_by_itself(open_storage: OpenStorage, url: str) -> None:
    at_us = [1_700_000_000_000_000]
    storage = await open_storage(url, clock=lambda: at_us[0])
    await storage.set_many({f"{number}": number for number in range(2_500)}, ttl_ms=1)
    at_us[0] += 1_000_000
    backend = backend_of(storage)

    assert 2_500 == len(await backend.expired())
    assert 1_200 == len(await backend.sweep(limit=1_200))
    assert 1_300 == await storage.sweep()
    assert 0 == await storage.sweep()


async def test_a_sweep_that_others_are_in_the_way_of_comes_later(
    open_storage: OpenStorage, file_url: str, file: FilePath, caplog: pytest.LogCaptureFixture
) -> None:
    storage = await open_storage(file_url)
    await storage.set("key", 1, ttl_ms=1)
    other = held(file)
    swept: list[Session] = []

    def sweep(session: Session) -> bool:
        swept.append(session)
        return False

    writer_of(storage)._idle(sweep)
    assert not swept
    other.close()
    writer_of(storage)._idle(sweep)

    assert 1 == len(swept)
    assert not caplog.records


async def test_a_sweep_that_fails_is_told_and_tried_again(
    open_storage: OpenStorage, file_url: str, file: FilePath, caplog: pytest.LogCaptureFixture
) -> None:
    storage = await open_storage(file_url, sweep_interval_ms=20)
    await storage.set("key", 1, ttl_ms=1)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("ALTER TABLE eliza_state_kv RENAME TO away")

    async def is_told() -> bool:
        return any("could not be swept" in record.message for record in caplog.records)

    with caplog.at_level(logging.WARNING):
        await eventually(is_told)
    other.execute("ALTER TABLE away RENAME TO eliza_state_kv")
    other.close()

    async def is_swept() -> bool:
        return "key" not in database_of(storage).look(["key"])

    await eventually(is_swept)
