"""A store on PostgreSQL, by one process and by several, against what one would write by hand.

The server is started here, waits for the disk as it comes, and has no other clients.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import make_url

from benchmarks.dispatching import dispatched, worked
from benchmarks.grouping import grouped
from benchmarks.harness import Row, compare
from benchmarks.places import disk_folder
from benchmarks.storing.servers import postgres_on_disk
from benchmarks.talk import TEXT, Said, TalkModule
from eliza_state import StateManager
from tests.servers import Administrator

ALONE_EVENTS = 300
TASKS = 32
TASK_EVENTS = 60
PROCESSES = 4
PATIENCE_S = 60

TABLE = """
CREATE TABLE message (
    position bigint PRIMARY KEY, id bytea NOT NULL, path text NOT NULL, version bigint NOT NULL,
    event text NOT NULL, payload bytea NOT NULL, recorded_at bigint NOT NULL
);
CREATE UNIQUE INDEX message_version ON message (path, version);
CREATE UNIQUE INDEX message_id ON message (path, id);
"""
INSERT = "INSERT INTO message VALUES (%s, %s, %s, %s, %s, %s, %s)"
INSERT_MANY = (
    "INSERT INTO message SELECT * FROM unnest("
    "%s::bigint[], %s::bytea[], %s::text[], %s::bigint[], %s::text[], %s::bytea[], %s::bigint[])"
)
PATH = "agent:a/room:r/conversation:c"


def rows() -> list[Row]:
    """Measure all of this file."""
    with disk_folder() as folder, postgres_on_disk(folder) as server, Administrator(server) as administrator:

        def in_database(measure: Callable[[str], float]) -> Callable[[], float]:
            def measured() -> float:
                url = administrator.create()
                try:
                    return measure(url)
                finally:
                    administrator.drop(url)

            return measured

        return [
            compare(
                "PostgreSQL, one task",
                ours=in_database(lambda url: dispatched(url, tasks=1, events=ALONE_EVENTS)),
                other=in_database(alone_by_hand),
                other_name="psycopg, INSERT and commit",
                unit="µs",
                bound=1.5,
            ),
            compare(
                f"PostgreSQL, {TASKS} tasks",
                ours=in_database(lambda url: dispatched(url, tasks=TASKS, events=TASK_EVENTS)),
                other=in_database(group_by_hand),
                other_name="a writer thread, one multi-row INSERT a commit",
                unit="µs",
                bound=1.43,
            ),
            compare(
                f"PostgreSQL, {PROCESSES} processes on conversations of their own",
                ours=in_database(lambda url: shared(url, processes=PROCESSES)),
                other=in_database(lambda url: shared(url, processes=1)),
                other_name="one process",
                unit="µs",
                bound=1.0,
            ),
        ]


def shared(url: str, *, processes: int) -> float:
    """Return the microseconds an event takes when so many processes have as many tasks each."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes + 1)
    started = [
        context.Process(target=share, args=(url, f"c{number}", barrier)) for number in range(processes)
    ]
    for process in started:
        process.start()
    barrier.wait(PATIENCE_S)
    begun = time.perf_counter()
    barrier.wait(PATIENCE_S)
    taken = time.perf_counter() - begun
    for process in started:
        process.join()
    return taken / (processes * TASKS * TASK_EVENTS) * 1e6


def share(url: str, name: str, barrier: Any) -> None:
    """Do one process's part, which begins and ends with the others."""

    async def run() -> None:
        async with StateManager.open(url, modules=[TalkModule()], snapshots=False) as manager:
            await worked(manager, name, tasks=TASKS, events=TASK_EVENTS, ready=barrier.wait)
            barrier.wait(PATIENCE_S)

    asyncio.run(run())


@contextmanager
def _connection(url: str) -> Generator[psycopg.Connection[Any]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        connection.adapters.register_dumper(list, ListBinaryDumper)
        connection.execute(TABLE)
        connection.commit()
        yield connection


def _row(position: int, payload: bytes) -> tuple[Any, ...]:
    return position, uuid.uuid4().bytes, PATH, position, "said", payload, time.time_ns() // 1_000


def alone_by_hand(url: str) -> float:
    """Return the microseconds of an INSERT with its own commit."""
    encode = msgspec.json.Encoder().encode
    with _connection(url) as connection:
        started = time.perf_counter()
        for number in range(ALONE_EVENTS):
            payload = encode(Said(id=f"0-{number}", user="ada", text=TEXT))
            connection.execute(INSERT, _row(number, payload), prepare=True)
            connection.commit()
        return (time.perf_counter() - started) / ALONE_EVENTS * 1e6


def group_by_hand(url: str) -> float:
    """Return the microseconds an event takes when tasks share the commits of a writer thread."""
    positions = itertools.count()
    with _connection(url) as connection:

        def write(payloads: list[bytes]) -> None:
            rows = [_row(next(positions), payload) for payload in payloads]
            columns = [list(column) for column in zip(*rows, strict=True)]
            connection.execute(INSERT_MANY, columns, prepare=True)
            connection.commit()

        return grouped(write, tasks=TASKS, events=TASK_EVENTS)
