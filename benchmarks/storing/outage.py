"""Dispatching while the cache of the snapshots swallows everything: who dispatches should hardly notice.

Until the cache is left alone, each task waits for it once: 0.5 % of what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Any, Final

from benchmarks.harness import Row, compare
from benchmarks.places import disk_folder
from benchmarks.storing.sides import entered
from benchmarks.talk import TEXT, Said, TalkModule
from eliza_state import StateManager
from eliza_state.limits import Limits
from eliza_state.testing import FaultProxy
from tests.servers import RedisServer

TALKS: Final = 100
TAIL: Final = 64
"""How many events a conversation has: as many as make a snapshot worth while."""
TASKS: Final = 4
DISPATCHES: Final = 1_000
RUNS: Final = 5
BOUND: Final = 2.0
SHOWN: Final = {
    "to conversations in memory": Limits(),
    "to conversations that are opened for it": Limits(max_scopes=16),
}


def rows() -> list[Row]:
    """Measure all of this file."""
    with disk_folder() as folder, RedisServer() as server:
        url = f"sqlite:///{folder}/state.db"
        home = f"sqlite:///{folder}/snapshots.db"
        asyncio.run(_fill(url, home))
        return [_row(server, url, home, shown) for shown in SHOWN]


def _row(server: RedisServer, url: str, home: str, shown: str) -> Row:
    with entered(_opened(server, url, home, SHOWN[shown])) as (run, (ours, other)):
        return compare(
            f"p99 of durable dispatches from {TASKS} tasks {shown}, Redis swallows everything",
            ours=lambda: run(ours()),
            other=lambda: run(other()),
            other_name="the same without Redis",
            unit="µs",
            bound=BOUND,
            runs=RUNS,
        )


async def _fill(url: str, home: str) -> None:
    async with StateManager.open(url, modules=[TalkModule()], snapshots=[home]) as manager:
        for number in range(TALKS):
            talk = manager.agent("a").room("r").conversation(str(number))
            await manager.dispatch_all(
                (Said(id=f"filled-{at}", user="ada", text=TEXT), talk.path) for at in range(TAIL)
            )


P99 = Callable[[], Coroutine[Any, Any, float]]


@contextlib.asynccontextmanager
async def _opened(
    server: RedisServer, url: str, home: str, limits: Limits
) -> AsyncGenerator[tuple[P99, P99]]:
    async with FaultProxy(*server.address) as proxy:
        measured = partial(_p99, url, limits=limits, proxy=proxy)
        yield partial(measured, [f"redis://{proxy.address}/0", home]), partial(measured, [home])


async def _p99(url: str, layers: list[str], *, limits: Limits, proxy: FaultProxy) -> float:
    """Return the 99th percentile of the microseconds of a dispatch, from when the cache falls silent."""
    took: list[float] = []
    async with StateManager.open(url, modules=[TalkModule()], snapshots=layers, limits=limits) as manager:

        async def work(task: int, count: int) -> None:
            for at in range(count):
                talk = manager.agent("a").room("r").conversation(str((task + TASKS * at) % TALKS))
                started = time.perf_counter()
                await talk.dispatch(Said(id=f"{started}", user="ada", text=TEXT))
                took.append(time.perf_counter() - started)

        await asyncio.gather(*(work(task, TALKS // 4) for task in range(TASKS)))
        took.clear()
        proxy.black_hole()
        try:
            await asyncio.gather(*(work(task, DISPATCHES // TASKS) for task in range(TASKS)))
        finally:
            proxy.heal()
    return statistics.quantiles(took, n=100)[-1] * 1e6
