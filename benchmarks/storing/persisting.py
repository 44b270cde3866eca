"""Writing from many tasks to memory and a database, as durable on both sides as the database can make it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

import psycopg
from sqlalchemy import make_url

from benchmarks.harness import Row, compare
from benchmarks.places import disk_folder
from benchmarks.storing.by_hand import BatchingWriter, Rows, postgres_upserts, sqlite_upserts
from benchmarks.storing.servers import postgres_on_disk
from benchmarks.storing.sides import SESSION, TASKS, entered
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.sql import SqlBackend

Set = Callable[[str, Any], Awaitable[Any]]

WRITES: Final = 50
KEYS: Final = [[f"session:{task}:{number}" for number in range(WRITES)] for task in range(TASKS)]
RUNS: Final = 11
BOUND: Final = 1.43
"""At least 70 % of the other side's writes in the same time."""


def rows() -> list[Row]:
    """Measure all of this file."""
    with disk_folder() as folder:
        upserts = sqlite_upserts(f"{folder}/by-hand.db")
        home = f"sqlite:///{folder}/home.db"
        sqlite = _row("SQLite, WAL with synchronous=FULL", home, upserts, "sqlite3, batched upserts")
        with postgres_on_disk(folder) as url:
            upserts = postgres_upserts(make_url(url).set(drivername="postgresql").render_as_string())
            _check_durable(upserts[0])
            postgres = _row("PostgreSQL, fsync=on", url, upserts, "psycopg, batched upserts")
        return [sqlite, postgres]


def _row(what: str, url: str, upserts: tuple[Any, Callable[[Rows], None]], other_name: str) -> Row:
    connection, write = upserts
    with contextlib.closing(connection), entered(_opened(url, write)) as (run, (ours, other)):
        row = compare(
            f"persistent write from {TASKS} tasks, memory and {what}",
            ours=lambda: run(_write_all(ours)),
            other=lambda: run(_write_all(other)),
            other_name=other_name,
            unit="µs",
            bound=BOUND,
            runs=RUNS,
        )
        count = connection.execute("SELECT count(*) FROM session").fetchone()[0]
        assert count == TASKS * WRITES
        return row


@contextlib.asynccontextmanager
async def _opened(url: str, write: Callable[[Rows], None]) -> AsyncGenerator[tuple[Set, Set]]:
    writer = BatchingWriter(write)
    async with contextlib.aclosing(writer), LayeredStore[Any](SqlBackend(url)) as store:
        yield store.set, writer.set


async def _write_all(set_: Set) -> float:
    """Return the microseconds that a write takes while all tasks write one value after the other."""

    async def work(keys: list[str]) -> None:
        for number, key in enumerate(keys):
            await set_(key, {**SESSION, "counter": number})

    started = time.perf_counter()
    await asyncio.gather(*(work(keys) for keys in KEYS))
    return (time.perf_counter() - started) / (TASKS * WRITES) * 1e6


def _check_durable(connection: psycopg.Connection) -> None:
    for setting in ("fsync", "synchronous_commit"):
        (value,) = connection.execute(f"SHOW {setting}").fetchone() or ("",)
        assert value == "on"
