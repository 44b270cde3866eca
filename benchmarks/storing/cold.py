"""Reading what is in a SQLite file on this machine, one key at a time, in no order.

The operating system has the file in its memory, so that nobody waits for the disk.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Measure, Row, compare, figure
from benchmarks.peers import peer
from benchmarks.places import disk_folder
from benchmarks.storing.sides import SESSION, TTL_MS, Get, Run, entered, keys, read_all
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.sql import SqlBackend, SqlStorage

KEYS: Final = keys(20_000)
READS: Final = 500
RUNS: Final = 15
BY_HAND: Final = "sqlite3 and json.loads in the calling thread"
AIOSQLITE: Final = "aiosqlite and json.loads"
SELECT: Final = "SELECT value FROM session WHERE key = ?"


def rows() -> list[Row]:
    """Measure all of this file."""
    with disk_folder() as folder, entered(_opened(folder)) as (run, (sides, store)):
        here = {name: _reading(run, store, get, time.process_time) for name, get in sides.items()}
        # There a thread answers while the event loop waits.
        there = {name: _reading(run, store, get, time.perf_counter) for name, get in sides.items()}
        return [
            _absolute("SqlStorage", here),
            _absolute("LayeredStore", here),
            _row("SqlStorage", BY_HAND, here, bound=3.0),
            _row("SqlStorage", AIOSQLITE, there, bound=1.0),
        ]


def _reading(run: Run, store: LayeredStore[Any], get: Get, clock: Callable[[], float]) -> Measure:
    draw = random.Random(7)

    def taken() -> float:
        run(store.forget())
        return run(read_all(get, draw.sample(KEYS, READS), clock=clock))

    return taken


def _absolute(ours: str, measures: dict[str, Measure]) -> Row:
    name = f"cold read of a dict from SQLite, {ours}"
    return figure(name, ours=measures[ours], unit="µs", bound=10.0, runs=RUNS)


def _row(ours: str, other: str, measures: dict[str, Measure], *, bound: float) -> Row:
    return compare(
        f"cold read of a dict from SQLite, {ours}",
        ours=measures[ours],
        other=measures[other],
        other_name=other,
        unit="µs",
        bound=bound,
        runs=RUNS,
    )


@contextlib.asynccontextmanager
async def _opened(folder: Path) -> AsyncGenerator[tuple[dict[str, Get], LayeredStore[Any]]]:
    async with contextlib.AsyncExitStack() as stack:
        storage = await stack.enter_async_context(SqlStorage[Any](f"sqlite:///{folder}/state.db"))
        store = LayeredStore[Any](SqlBackend(f"sqlite:///{folder}/layered.db"))
        await stack.enter_async_context(store)
        for each in (storage, store):
            await each.set_many(dict.fromkeys(KEYS, SESSION), ttl_ms=TTL_MS)
        path = f"{folder}/by-hand.db"
        reader = stack.enter_context(contextlib.closing(sqlite3.connect(path)))
        _fill_by_hand(reader)
        connection = await stack.enter_async_context(peer("aiosqlite").connect(path))

        async def get_here(key: str) -> Any:
            return json.loads(reader.execute(SELECT, (key,)).fetchone()[0])

        async def get_there(key: str) -> Any:
            async with connection.execute(SELECT, (key,)) as cursor:
                return json.loads((await cursor.fetchone())[0])

        sides = {"SqlStorage": storage.get, "LayeredStore": store.get}
        yield {**sides, BY_HAND: get_here, AIOSQLITE: get_there}, store


def _fill_by_hand(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE session (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    value = json.dumps(SESSION).encode()
    connection.executemany("INSERT INTO session VALUES (?, ?)", [(key, value) for key in KEYS])
    connection.commit()
