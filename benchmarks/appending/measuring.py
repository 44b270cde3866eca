"""Measuring pairs of sides, each on a new store of its own, and what a message takes on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import attrs

from benchmarks.appending.ours import OURS
from benchmarks.appending.sides import Append, Side, Store
from benchmarks.harness import Row, apart, compare
from benchmarks.storing.sides import entered

TASKS: Final = 32
RUNS: Final = 5
GROWTH: Final = 10
"""A conversation grows by at most a tenth while it is measured (and by one message in any case)."""

OURS_LEAST: Final = 100
"""How many messages each of our tasks appends at least: a few of them are too soon over to be measured."""


@attrs.frozen
class Load:
    """What is appended in each run: so many messages by each of `tasks`, to conversations with `history`.

    One task takes its conversations in turn, several have one each. `place` says in a row's name where the
    store is; `base` is the folder for it, and `url` gives a new PostgreSQL database where that is the store.
    One task takes as many conversations as are named, or enough for none to grow too much.
    """

    history: int
    appends: int
    place: str
    base: Path | None
    tasks: int = 1
    runs: int = RUNS
    url: Callable[[], contextlib.AbstractContextManager[str]] | None = None
    conversations: int | None = None

    @property
    def name(self) -> str:
        """What is measured, for people."""
        who = "1 task" if self.tasks == 1 else f"{self.tasks} tasks"
        return f"append to {self.history:,}, {who}, {self.place}"

    @property
    def talks(self) -> int:
        """How many conversations it takes."""
        if self.tasks > 1:
            return self.tasks
        if self.conversations is not None:
            return self.conversations
        return math.ceil(self.appends * (self.runs + 1) / max(1, self.history // GROWTH))


def pair(load: Load, other: Side, *, bound: float | None) -> Row:
    """Measure our side and another in turn."""
    ours_load = attrs.evolve(load, appends=max(load.appends, OURS_LEAST))
    with side(ours_load, OURS) as ours, side(load, other) as theirs, apart():
        row = compare(
            load.name,
            ours=ours,
            other=theirs,
            other_name=other.name,
            unit="µs",
            bound=bound,
            runs=load.runs,
        )
    return attrs.evolve(row, note=other.note)


@contextlib.contextmanager
def side(load: Load, chosen: Side) -> Generator[Callable[[], float]]:
    """Open a side and yield what measures it: the microseconds a message takes, all the waiting included."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=load.base)))
        url = stack.enter_context(load.url()) if load.url else ""
        store = Store(folder, load.talks, load.history, tasks=load.tasks, url=url)
        run, append = stack.enter_context(entered(chosen.opened(store)))
        run(_give_threads(load.tasks))
        numbers = iter(range(load.history, load.history + 10**9))
        yield lambda: run(_appended(append, load, numbers=numbers))


async def _give_threads(count: int) -> None:
    # Without it a loop has a few more threads than the machine has processors, and tasks would wait for one.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max(count, 2)))


async def _appended(append: Append, load: Load, *, numbers: Iterator[int]) -> float:
    talks = load.talks

    async def work(task: int) -> None:
        for _ in range(load.appends):
            number = next(numbers)
            await append(task if load.tasks > 1 else number % talks, number)

    started = time.perf_counter()
    await asyncio.gather(*map(work, range(load.tasks)))
    return (time.perf_counter() - started) / (load.appends * load.tasks) * 1e6


def bytes_a_message(chosen: Side, *, count: int, base: Path) -> float:
    """Return what a message takes on the disk when so many were appended to one conversation, one by one.

    All files count, with what SQLite's write-ahead log holds written to the database.
    """

    async def append_all(append: Append) -> None:
        for number in range(1, count):
            await append(0, number)

    with tempfile.TemporaryDirectory(dir=base) as name:
        folder = Path(name)
        with entered(chosen.opened(Store(folder, talks=1, history=1))) as (run, append):
            run(append_all(append))
        for path in folder.iterdir():
            _check_point(path)
        return sum(path.stat().st_size for path in folder.iterdir()) / count


def _check_point(path: Path) -> None:
    if path.suffix.endswith(("-wal", "-shm")):
        return
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
