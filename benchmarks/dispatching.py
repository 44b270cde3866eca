"""Dispatch in memory and durable, against what one would write by hand and what others have written."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import attrs
import msgspec

from benchmarks import in_memory
from benchmarks.grouping import grouped
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
    with tempfile.TemporaryDirectory() as folder:
        return dispatched(f"sqlite:///{folder}/state.db", tasks=tasks, events=events)


def dispatched(url: str, *, tasks: int, events: int) -> float:
    """Return the microseconds an event takes in a store, with so many tasks."""

    async def run() -> float:
        async with StateManager.open(url, modules=[TalkModule()]) as manager:
            return await worked(manager, "c", tasks=tasks, events=events)

    return asyncio.run(run()) / (tasks * events) * 1e6


async def worked(
    manager: StateManager,
    name: str,
    *,
    tasks: int,
    events: int,
    ready: Callable[[], object] = lambda: None,
) -> float:
    """Return the seconds that tasks take to dispatch so many events each, one after the other.

    Before that some are dispatched, and `ready` is called.
    """
    talk = manager.agent("a").room("r").conversation(name)

    async def work(task: int, count: int) -> None:
        for number in range(count):
            await talk.dispatch(Said(id=f"{task}-{number}", user="ada", text=TEXT))

    await work(0, 10)
    ready()
    started = time.perf_counter()
    await asyncio.gather(*(work(task, events) for task in range(tasks)))
    return time.perf_counter() - started


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
    versions = itertools.count()
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(_open(folder)) as connection:

        def write(payloads: list[bytes]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, [_row(next(versions), payload) for payload in payloads])
            connection.execute("COMMIT")

        return grouped(write, tasks=TASKS, events=TASK_EVENTS)
