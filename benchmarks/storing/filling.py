"""What keys really take when a storage in memory was given a bound, and what it thinks they take."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

import attrs
import psutil

from benchmarks.dispatching import TEXT
from benchmarks.harness import Row
from benchmarks.storing.sides import SESSION, TTL_MS
from eliza_state.storage import LruMemoryStorage

MIB: Final = 1024 * 1024
BOUND: Final = 128 * MIB

COUNTS: Final = {"texts": 1_000_000, "dicts": 300_000, "tuples of 30 numbers": 300_000}
"""How many keys are set, by what they hold; about 200,000 of them find room."""
_VALUES: Final[dict[str, Callable[[int], Any]]] = {
    "texts": lambda number: f"{number} {TEXT}",
    "dicts": lambda number: {**SESSION, "counter": number},
    "tuples of 30 numbers": lambda number: tuple(range(number, number + 30)),
}


@attrs.frozen
class Taken:
    """The memory of a process that a storage takes, what the storage thinks it takes, and its keys."""

    resident_mib: float
    estimated_mib: float
    kept: int


def rows() -> list[Row]:
    """Measure all of this file."""
    return [_row(kind) for kind in COUNTS]


def _row(kind: str) -> Row:
    # In a process of its own: the memory of a process tells only before it has held and freed anything else.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        taken = processes.submit(fill, kind).result()
    what = f"memory with {kind}, {COUNTS[kind]:,} set for a time"
    bound = f"the bound; {taken.kept:,} find room, by its own estimate {taken.estimated_mib:.0f} MiB"
    return Row(what, "MiB", [taken.resident_mib], [BOUND / MIB], bound, 1.0)


def fill(kind: str) -> Taken:
    """Fill a storage with more than finds room in it."""
    return asyncio.run(_fill(_VALUES[kind], COUNTS[kind]))


async def _fill(value: Callable[[int], Any], count: int) -> Taken:
    process = psutil.Process()
    async with LruMemoryStorage[Any](max_bytes=BOUND) as storage:
        gc.collect()
        before = process.memory_info().rss
        for number in range(count):
            await storage.set(f"session:{number}", value(number), ttl_ms=TTL_MS)
        gc.collect()
        resident = process.memory_info().rss - before
        return Taken(resident / MIB, storage.size_bytes / MIB, storage.size)
