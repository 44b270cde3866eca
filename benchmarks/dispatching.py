"""Dispatch in memory and durable, against what one would write by hand and what others have written."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import attrs
import msgspec

from benchmarks import in_memory
from benchmarks.harness import Row, Skipped, apart, compare
from benchmarks.talk import TEXT, Said, Talk, TalkModule
from eliza_state import StateManager

MEMORY_EVENTS = 20_000
ALONE_EVENTS = 300
TASKS = 32
TASK_EVENTS = 60


def rows(*, quick: bool = False) -> list[Row | Skipped]:
    """Measure all of this file, and other packages' stores in memory."""
    return [*by_hand(), *in_memory.rows(memory, runs=3 if quick else 7)]


def by_hand() -> list[Row]:
    """Measure against what one would write by hand."""
    return [
        compare(
            "dispatch in memory, one module, one subscriber",
            ours=memory,
            other=memory_by_hand,
            other_name="attrs.evolve and a list of callables",
            unit="µs",
            bound=3.0,
            runs=7,
        ),
        compare(
            "durable dispatch, one task",
            ours=lambda: durable(tasks=1, events=ALONE_EVENTS),
            other=alone_by_hand,
            other_name="sqlite3, INSERT and commit",
            unit="µs",
            bound=1.5,
            runs=7,
        ),
        compare(
            f"durable dispatch, {TASKS} tasks",
            ours=lambda: durable(tasks=TASKS, events=TASK_EVENTS),
            other=group_by_hand,
            other_name="sqlite3, group commit in a thread",
            unit="µs",
            bound=1.5,
            runs=7,
        ),
    ]


def memory() -> float:
    """Return the microseconds a dispatch takes in memory, of the processor's time since nothing waits."""
    events = [Said(id="m", user="ada", text=TEXT) for _ in range(MEMORY_EVENTS)]

    async def run() -> float:
        async with StateManager.open("memory://", modules=[TalkModule()]) as manager:
            manager.subscribe(lambda _change: None)
            talk = manager.agent("a").room("r").conversation("c")
            await talk.state()
            with apart():
                started = time.process_time()
                for said in events:
                    await talk.dispatch(said)
                return time.process_time() - started

    return asyncio.run(run()) / MEMORY_EVENTS * 1e6


def memory_by_hand() -> float:
    """Return the microseconds the same takes as a loop over a reducer and a list of callables."""
    events = [Said(id="m", user="ada", text=TEXT) for _ in range(MEMORY_EVENTS)]
    receivers: list[Callable[[Any], None]] = [lambda _change: None]

    def reduce(state: Talk, said: Said) -> Talk:
        return attrs.evolve(state, count=state.count + 1, last=said.text)

    state = Talk()
    with apart():
        started = time.process_time()
        for said in events:
            state = reduce(state, said)
            for receive in receivers:
                receive(state)
        return (time.process_time() - started) / MEMORY_EVENTS * 1e6


def durable(*, tasks: int, events: int) -> float:
    """Return the microseconds an event takes with so many tasks that dispatch one after the other."""

    async def run(url: str) -> float:
        async with StateManager.open(url, modules=[TalkModule()]) as manager:
            talk = manager.agent("a").room("r").conversation("c")

            async def work(task: int, count: int) -> None:
                for number in range(count):
                    await talk.dispatch(Said(id=f"{task}-{number}", user="ada", text=TEXT))

            await work(0, 10)
            started = time.perf_counter()
            await asyncio.gather(*(work(task, events) for task in range(tasks)))
            return time.perf_counter() - started

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(f"sqlite:///{folder}/state.db")) / (tasks * events) * 1e6


def _open(folder: str) -> sqlite3.Connection:
    connection = sqlite3.connect(FilePath(folder) / "hand.db", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    # What anybody needs who wants to find a message again, refuse it the second time, and fold a room.
    connection.execute(
        "CREATE TABLE message (position INTEGER PRIMARY KEY, id BLOB NOT NULL, path TEXT NOT NULL,"
        " version INTEGER NOT NULL, event TEXT NOT NULL, payload BLOB NOT NULL, recorded_at INTEGER NOT NULL)"
    )
    connection.execute("CREATE UNIQUE INDEX message_version ON message (path, version)")
    connection.execute("CREATE UNIQUE INDEX message_id ON message (path, id)")
    return connection


INSERT = "INSERT INTO message (id, path, version, event, payload, recorded_at) VALUES (?, ?, ?, ?, ?, ?)"
PATH = "agent:a/room:r/conversation:c"


def _row(version: int, payload: bytes) -> tuple[bytes, str, int, str, bytes, int]:
    return uuid.uuid4().bytes, PATH, version, "said", payload, time.time_ns() // 1_000


def alone_by_hand() -> float:
    """Return the microseconds of an INSERT with its own commit."""
    encode = msgspec.json.Encoder().encode
    with tempfile.TemporaryDirectory() as folder:
        connection = _open(folder)
        started = time.perf_counter()
        for number in range(ALONE_EVENTS):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(INSERT, _row(number, encode(Said(id=f"0-{number}", user="ada", text=TEXT))))
            connection.execute("COMMIT")
        taken = time.perf_counter() - started
        connection.close()
    return taken / ALONE_EVENTS * 1e6


def group_by_hand() -> float:
    """Return the microseconds an event takes when tasks share the commits of a writer thread."""
    encode = msgspec.json.Encoder().encode
    total = TASKS * TASK_EVENTS

    async def run(connection: sqlite3.Connection) -> float:
        loop = asyncio.get_running_loop()
        jobs: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = queue.SimpleQueue()
        version = 0

        def wake(futures: list[asyncio.Future[None]]) -> None:
            for future in futures:
                future.set_result(None)

        def write() -> None:
            nonlocal version
            while (entry := jobs.get()) is not None:
                batch = [entry]
                while not jobs.empty() and (further := jobs.get()) is not None:
                    batch.append(further)
                rows = [_row(version + number, payload) for number, (payload, _) in enumerate(batch)]
                version += len(rows)
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(INSERT, rows)
                connection.execute("COMMIT")
                loop.call_soon_threadsafe(wake, [future for _, future in batch])

        async def work(task: int) -> None:
            for number in range(TASK_EVENTS):
                future: asyncio.Future[None] = loop.create_future()
                jobs.put((encode(Said(id=f"{task}-{number}", user="ada", text=TEXT)), future))
                await future

        thread = threading.Thread(target=write)
        thread.start()
        started = time.perf_counter()
        await asyncio.gather(*(work(task) for task in range(TASKS)))
        taken = time.perf_counter() - started
        jobs.put(None)
        thread.join()
        return taken

    with tempfile.TemporaryDirectory() as folder:
        connection = _open(folder)
        taken = asyncio.run(run(connection))
        connection.close()
    return taken / total * 1e6
