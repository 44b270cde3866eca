"""What a key with a time to live costs in memory, however many there are: to set, to evict, to expire."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Awaitable
from typing import Final

import attrs

from benchmarks.harness import Row
from benchmarks.storing.sides import keys
from eliza_state.storage import LruMemoryStorage
from eliza_state.testing import ManualClock

FEW: Final = 10_000
COUNTS: Final = (100_000, 1_000_000)
LONGEST_MS: Final = 600_000
RUNS: Final = 3
# One pass over few keys is over before the machine has got used to it.
PASSES_OVER_FEW: Final = 5


@attrs.frozen
class Costs:
    """Microseconds a key."""

    set: float
    evict: float
    expire: float


def rows() -> list[Row]:
    """Measure all of this file."""
    names = keys(_with_others(max(COUNTS)))
    # Deadlines in no order: the keys of a second lie anywhere in memory.
    draw = random.Random(7)
    lives_ms = [draw.randint(1_000, LONGEST_MS) for _ in names]
    gc.freeze()  # these lists are no matter of the storage's, and a collection would go through them
    found = [row for count in COUNTS for row in _compared(names, lives_ms, count)]
    gc.unfreeze()
    return found


def _compared(names: list[str], lives_ms: list[int], count: int) -> list[Row]:
    def costs(count: int) -> Costs:
        return asyncio.run(_costs(names[: _with_others(count)], lives_ms, count))

    costs(FEW)
    pairs = [(costs(count), _medians([costs(FEW) for _ in range(PASSES_OVER_FEW)])) for _ in range(RUNS)]

    def row(kind: str, what: str) -> Row:
        many = [getattr(one, kind) for one, _ in pairs]
        few = [getattr(other, kind) for _, other in pairs]
        return Row(f"{what}, {count:,} of them in memory", "µs", many, few, f"with {FEW:,} of them", 2.0)

    return [
        row("set", "a key set for a time"),
        row("evict", "a key set in place of the least recently used"),
        row("expire", "a key past its deadline swept"),
    ]


def _with_others(count: int) -> int:
    """Return how many keys there are with those that take others' places, which are fewer."""
    return count + count // 4


def _medians(costs: list[Costs]) -> Costs:
    columns = zip(*map(attrs.astuple, costs), strict=True)
    return Costs(*map(statistics.median, columns))


async def _costs(names: list[str], lives_ms: list[int], count: int) -> Costs:
    """Set so many keys, set others in the place of some, and let time pass until all are past it."""
    clock = ManualClock()
    storage = LruMemoryStorage[int](max_entries=count, clock=clock)
    others = len(names) - count
    gc.collect()

    async def set_these(start: int, stop: int) -> None:
        for number in range(start, stop):
            await storage.set(names[number], number, ttl_ms=lives_ms[number])

    setting = await _taken(set_these(0, count))
    evicting = await _taken(set_these(count, len(names)))
    assert storage.evicted == others
    clock.advance(ms=LONGEST_MS + 2_000)
    expiring = await _taken(storage.sweep())
    assert storage.size == 0
    await storage.close()
    return Costs(setting / count * 1e6, evicting / others * 1e6, expiring / count * 1e6)


async def _taken(work: Awaitable[object]) -> float:
    # The processor's time: nothing here waits, and in the seconds that a million keys take others run too.
    started = time.process_time()
    await work
    return time.process_time() - started
