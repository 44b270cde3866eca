"""Measure what `get` and `set` take on each backend, and what Redis in front of a database costs or saves.

    python -m benchmarks.choosing

The figures of docs/storages/choosing.md. Valkey and PostgreSQL are started as the tests start them: they keep
their data in memory where they can, so their figures hold no wait for a disk. Where a program is missing, its
lines are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.table import Table

from benchmarks.harness import Row, compare
from eliza_state.storage import LruMemoryStorage, MemoryStorage, Storage
from eliza_state.storage.disk import ArchiveStorage, FileStorage
from eliza_state.storage.layered import LayeredStore, MemoryLimits
from eliza_state.storage.redis import RedisStorage
from eliza_state.storage.redis.storage import RedisBackend
from eliza_state.storage.sql import SqlBackend, SqlStorage
from tests.servers import PostgresServer, RedisServer, Unavailable

VALUE: Final = {"user": "ada", "text": "x" * 150, "tags": ["a", "b"], "count": 7}
KEYS: Final = 1_000
SAMPLES: Final = 1_000
RUNS: Final = 5
NO_MEMORY: Final = MemoryLimits(max_entries=0)

Open: TypeAlias = Callable[[], Storage[Any]]
Operation: TypeAlias = Callable[[Storage[Any], int], Awaitable[Any]]


def get(storage: Storage[Any], number: int) -> Awaitable[Any]:
    """Read one of the keys."""
    return storage.get(f"k{number % KEYS}")


def set_(storage: Storage[Any], number: int) -> Awaitable[Any]:
    """Write one of the keys."""
    return storage.set(f"k{number % KEYS}", VALUE)


def set_32(storage: Storage[Any], number: int) -> Awaitable[Any]:
    """Write 32 keys at once, each by a call of its own."""
    return asyncio.gather(*(storage.set(f"k{(number * 32 + at) % KEYS}", VALUE) for at in range(32)))


def microseconds(open_: Open, operation: Operation, *, samples: int = SAMPLES) -> float:
    """Return the median of what an operation takes, one after the other, on a storage with its keys in it."""

    async def run() -> float:
        async with open_() as storage:
            await storage.set_many({f"k{number}": VALUE for number in range(KEYS)})
            taken: list[float] = []
            for number in range(samples):
                started = time.perf_counter()
                await operation(storage, number)
                taken.append(time.perf_counter() - started)
            return statistics.median(taken) * 1e6

    return asyncio.run(run())


def quietest(opened: dict[str, Open]) -> dict[str, list[float]]:
    """Return the least of the medians of several runs for each storage: `get`, `set`, and each of 32 sets.

    The runs of one storage lie apart, so that what else the machine does meanwhile does not hit all of them.
    """
    found: dict[str, list[float]] = {name: [math.inf] * 3 for name in opened}
    for _ in range(RUNS):
        for name, open_ in opened.items():
            taken = [
                microseconds(open_, get),
                microseconds(open_, set_),
                microseconds(open_, set_32, samples=SAMPLES // 10) / 32,
            ]
            found[name] = list(map(min, found[name], taken))
    return found


def backends(folder: str, redis: RedisServer | None, postgres: str | None) -> dict[str, Open]:
    """Return how each backend is opened, by what the table calls it."""
    found: dict[str, Open] = {
        "memory": MemoryStorage[Any],
        "LRU memory": lambda: LruMemoryStorage[Any](max_entries=10 * KEYS),
        "file, written 1 s later": lambda: FileStorage[Any](f"{folder}/late.json"),
        "file, flush_interval_ms=0": lambda: FileStorage[Any](f"{folder}/now.json", flush_interval_ms=0),
        "SQLite, FULL": lambda: SqlStorage[Any](f"sqlite:///{folder}/full.db"),
        "SQLite, NORMAL": lambda: SqlStorage[Any](f"sqlite:///{folder}/normal.db", synchronous="NORMAL"),
        "archive": lambda: ArchiveStorage[Any](f"{folder}/archive"),
        "layered: memory, SQLite": lambda: LayeredStore[Any](SqlBackend(f"sqlite:///{folder}/layered.db")),
    }
    if postgres is not None:
        found["PostgreSQL"] = lambda: SqlStorage[Any](postgres, table="alone")
    if redis is not None:
        found["Valkey"] = lambda: RedisStorage[Any](redis.url)
    return found


def in_front(folder: str, redis: RedisServer, postgres: str | None) -> Iterator[Row]:
    """Compare a database with Redis in front of it to the database alone, the memory in front left out."""
    homes = {"a local SQLite": f"sqlite:///{folder}/home.db"}
    if postgres is not None:
        homes["a local PostgreSQL"] = postgres
    for name, url in homes.items():

        def alone(url: str = url) -> Storage[Any]:
            return LayeredStore[Any](SqlBackend(url), memory=NO_MEMORY)

        def behind(url: str = url) -> Storage[Any]:
            return LayeredStore[Any](RedisBackend(redis.url), SqlBackend(url), memory=NO_MEMORY)

        for verb, operation in (("get", get), ("set", set_)):
            yield compare(
                f"{verb}, Redis in front of {name}",
                ours=lambda operation=operation: microseconds(behind, operation),
                other=lambda operation=operation: microseconds(alone, operation),
                other_name="without it",
                unit="µs",
                bound=1.0,
                runs=RUNS,
            )


def servers(stack: contextlib.ExitStack) -> tuple[RedisServer | None, str | None]:
    """Start what there are programs for."""
    redis = postgres = None
    with contextlib.suppress(Unavailable):
        redis = stack.enter_context(RedisServer())
    with contextlib.suppress(Unavailable):
        postgres = stack.enter_context(PostgresServer()).url
    return redis, postgres


def main() -> None:
    """Print the tables."""
    console = Console(width=132)
    console.print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()} on"
        f" {platform.machine()}; medians of {SAMPLES} calls in µs, in the quietest of {RUNS} runs"
    )
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="."))
        redis, postgres = servers(stack)
        shown = Table("backend", "get", "set", "each of 32 sets at once")
        for name, taken in quietest(backends(folder, redis, postgres)).items():
            shown.add_row(name, *(f"{figure:,.1f}" for figure in taken))
        console.print(shown)
        if redis is None:
            return
        compared = Table("what", "with", "without", "ratio: least, median, most")
        for row in in_front(folder, redis, postgres):
            ours, other = min(row.ours), min(row.other)
            ratios = (min(row.ratios), statistics.median(row.ratios), max(row.ratios))
            compared.add_row(row.name, f"{ours:,.1f}", f"{other:,.1f}", "  ".join(f"{r:.2f}" for r in ratios))
        console.print(compared)


if __name__ == "__main__":
    main()
