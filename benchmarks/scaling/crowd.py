"""Many conversations under a bound on the live ones: does a dispatch cost the same, and what is held?

    python -m benchmarks.scaling crowd [--conversations N] [--max-scopes N] [--max-scope-bytes N]

The conversations are small and are stored in a SQLite file of the temporary folder, removed in the end.
After each tenth of them a few events are dispatched one by one and durably: to a conversation that is in
memory, to new ones, and to old ones, chosen at random, most of which have to be read first.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import attrs
import psutil

from benchmarks.harness import Row
from benchmarks.talk import TEXT, Said, TalkModule
from eliza_state import Dispatch, Limits, Path, StateManager, StateModule, evolve, reduces

CONVERSATIONS: Final = 1_000_000
SUITE_CONVERSATIONS: Final = 100_000
MESSAGES: Final = 2
ROOMS: Final = 100
AGENTS: Final = 10
SAMPLE: Final = 300
STEPS: Final = 10
MAX_SCOPES: Final = 10_000
MAX_SCOPE_BYTES: Final = 256_000_000
_BATCH: Final = 500


@attrs.frozen
class Heard:
    """What an agent counts of all its rooms."""

    count: int = 0


class HeardModule(StateModule[Heard]):
    """Count what is said below an agent: a state that every event changes and none enlarges."""

    name = "heard"
    level = "agent"

    @reduces(Said)
    def said(self, state: Heard, _event: Said) -> Heard:
        """Count."""
        return evolve(state, count=state.count + 1)


@attrs.frozen(kw_only=True)
class Point:
    """What was measured at a number of conversations: times in milliseconds, sizes in bytes.

    `warm`, `first` and `cold` are times of single dispatches; `load_s` is what it took to get here from the
    point before.
    """

    conversations: int
    load_s: float
    warm: Sequence[float]
    first: Sequence[float]
    cold: Sequence[float]
    children_ms: float
    resident_bytes: int
    live_scopes: int
    estimated_bytes: int
    file_bytes: int


def path_of(number: int) -> Path:
    """Return the path of a conversation; neighbours lie in different rooms."""
    room = number % ROOMS
    steps = (("agent", f"a{room % AGENTS}"), ("room", f"r{room}"), ("conversation", f"c{number}"))
    return Path(steps)


def said(number: int) -> Said:
    """Return an event of about 150 bytes."""
    return Said(id=f"m{number}", user="ada", text=TEXT)


async def fill(manager: StateManager, numbers: range) -> None:
    """Make conversations of a few messages each, in large transactions."""
    for first in range(numbers.start, numbers.stop, _BATCH):
        batch = range(first, min(first + _BATCH, numbers.stop))
        await manager.dispatch_all(
            [Dispatch(said(message), path_of(number)) for number in batch for message in range(MESSAGES)]
        )


async def timed(work: Callable[[int], Awaitable[object]], numbers: Sequence[int]) -> list[float]:
    """Return how many milliseconds it takes for each number, one after the other."""
    taken: list[float] = []
    for number in numbers:
        started = time.perf_counter()
        await work(number)
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


async def grow(
    database: str, conversations: int, *, limits: Limits, tell: Callable[[Point], None]
) -> list[Point]:
    """Fill a store and return what was measured after each tenth, of which `tell` is told at once."""
    points: list[Point] = []
    modules: list[StateModule[Any]] = [HeardModule(), TalkModule()]
    async with StateManager.open(f"sqlite:///{database}", modules=modules, limits=limits) as manager:
        stride = conversations // STEPS
        for start in range(0, stride * STEPS, stride):
            begun = time.perf_counter()
            await fill(manager, range(start, start + stride))
            points.append(await _point(manager, start + stride, time.perf_counter() - begun, database))
            tell(points[-1])
    return points


async def _point(manager: StateManager, count: int, load_s: float, database: str) -> Point:
    async def dispatch(number: int) -> None:
        await manager.at(path_of(number)).dispatch(said(MESSAGES))

    chance = random.Random(count)
    room = path_of(0).parent
    assert room is not None
    scopes = manager.core.scopes
    warm = await timed(dispatch, [count - 1] * SAMPLE)
    # New ones have numbers beyond all that are ever filled in.
    first = await timed(dispatch, range(10**9 + count, 10**9 + count + SAMPLE))
    cold = await timed(dispatch, chance.sample(range(count), SAMPLE))
    (children_ms,) = await timed(lambda _: manager.at(room).children(), [0])
    gc.collect()
    return Point(
        conversations=count,
        load_s=load_s,
        warm=warm,
        first=first,
        cold=cold,
        children_ms=children_ms,
        resident_bytes=int(psutil.Process().memory_info().rss),
        live_scopes=len(scopes),
        estimated_bytes=scopes.size_bytes,
        file_bytes=_size_of(database),
    )


def _size_of(database: str) -> int:
    return os.path.getsize(database)


def measured(conversations: int, *, limits: Limits, tell: Callable[[Point], None]) -> list[Point]:
    """Return what `grow` measures, in a file that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="crowd-") as folder:
        return asyncio.run(grow(f"{folder}/state.db", conversations, limits=limits, tell=tell))


def rows() -> list[Row]:
    """Compare the last tenth of a smaller crowd with the first one."""
    points = measured(SUITE_CONVERSATIONS, limits=Limits(max_scopes=MAX_SCOPES), tell=lambda _point: None)
    early, late = points[0], points[-1]

    def row(name: str, unit: str, ours: Sequence[float], other: Sequence[float], bound: float) -> Row:
        with_name = f"{name}, {late.conversations:,} conversations"
        return Row(with_name, unit, ours, other, f"at {early.conversations:,}", bound)

    return [
        row("dispatch to one in memory", "ms", [_p(late.warm, 50)], [_p(early.warm, 50)], 1.5),
        row("dispatch to a new one", "ms", [_p(late.first, 50)], [_p(early.first, 50)], 1.5),
        row("dispatch to one that has to be read", "ms", [_p(late.cold, 50)], [_p(early.cold, 50)], 1.5),
        row("memory of the process", "bytes", [late.resident_bytes], [early.resident_bytes], 1.5),
    ]


def _p(times: Sequence[float], percent: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]


HEADINGS: Final = (
    "conversations   load s   warm p50/p99 ms   new p50/p99 ms   cold p50/p99 ms   children ms   RSS MB"
    "   live   estimate MB   file MB"
)


def line(point: Point) -> str:
    """Return a point for people."""
    pairs = [f"{_p(times, 50):.2f}/{_p(times, 99):.2f}" for times in (point.warm, point.first, point.cold)]
    sizes = (point.resident_bytes, point.estimated_bytes, point.file_bytes)
    resident, estimated, file = (f"{size / 1e6:,.1f}" for size in sizes)
    return (
        f"{point.conversations:>13,}{point.load_s:>9.1f}{pairs[0]:>18}{pairs[1]:>17}{pairs[2]:>18}"
        f"{point.children_ms:>14.1f}{resident:>9}{point.live_scopes:>7,}{estimated:>14}{file:>10}"
    )
