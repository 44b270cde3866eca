"""Synchronising two replicas: what differs goes over, against everything; late arrivals, against all anew."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path as FilePath
from typing import Any

import attrs

from benchmarks.harness import Row, compare, figure
from benchmarks.talk import TEXT
from eliza_modules import ConversationModule, MessageReceived
from eliza_state import StateManager
from eliza_state.path import Path
from eliza_state.synchronizer import ReplicaLog, SyncReport, synchronize

RECORDS = 10_000
DIFFERENT = 100
LATE = 1_000
TALKS = 100
SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US


def rows() -> list[Row]:
    """Measure all of this file, on stores that are made once and copied for each run."""
    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(FilePath(folder))
        asyncio.run(stores.make())
        return [*_exchanging(stores), *_merging(stores)]


def _exchanging(stores: Stores) -> Iterator[Row]:
    what = f"{RECORDS:,} records each that differ in {DIFFERENT}"
    yield compare(
        f"synchronising two replicas of {what}",
        ours=lambda: stores.timed(lambda: stores.exchange("laptop", "phone")),
        other=lambda: stores.timed(lambda: stores.exchange("laptop", "empty")),
        other_name="sending everything",
        unit="ms",
        bound=0.25,
    )
    yield compare(
        f"bytes between two replicas of {what}",
        ours=lambda: stores.sent("laptop", "phone"),
        other=lambda: stores.sent("laptop", "empty"),
        other_name="sending everything",
        unit="kB",
        bound=0.02,
        runs=1,
    )
    yield figure(
        f"finding out that two replicas of {RECORDS:,} records are equal",
        ours=lambda: stores.timed(lambda: stores.exchange("laptop", "copy")),
        unit="ms",
        bound=200.0,
    )


def _merging(stores: Stores) -> Iterator[Row]:
    yield compare(
        f"merging {LATE:,} late arrivals below {RECORDS // 2:,} records, and all states",
        ours=lambda: stores.timed(lambda: stores.merge("laptop-used"), prepare=stores.arrive_late),
        other=lambda: stores.timed(lambda: stores.merge("empty-used"), prepare=stores.arrive_all),
        other_name=f"merging all {RECORDS + LATE:,} from nothing, and all states",
        unit="ms",
        bound=1.0,
    )


@attrs.frozen
class Stores:
    """The stores in a folder: `laptop` and `phone` differ in a few records, `tablet` was away for long."""

    folder: FilePath

    def url(self, name: str) -> str:
        """Return the URL of a store."""
        return f"sqlite:///{self.folder}/{name}.db"

    async def make(self) -> None:
        """Make them, each of the same beginning."""
        half, rest = RECORDS // 2, RECORDS // 2 - DIFFERENT // 2
        await self._write("laptop", range(half), at_s=0)
        await synchronize(self.url("laptop"), self.url("tablet"), create=True)
        await self._write("laptop", range(half, half + rest), at_s=LATE + half)
        await synchronize(self.url("laptop"), self.url("phone"), create=True)
        await self._write("laptop", range(RECORDS, RECORDS + DIFFERENT // 2), at_s=3 * RECORDS)
        await self._write("phone", range(2 * RECORDS, 2 * RECORDS + DIFFERENT // 2), at_s=3 * RECORDS)
        await self._write("tablet", range(3 * RECORDS, 3 * RECORDS + LATE), at_s=half)

    async def _write(self, name: str, numbers: range, *, at_s: int) -> None:
        clock = itertools.count(START_US + at_s * SECOND_US, SECOND_US)
        async with self._opened(name, clock=lambda: next(clock)) as manager:
            for start in range(numbers.start, numbers.stop, 50):
                some = range(start, min(start + 50, numbers.stop))
                await manager.dispatch_all([(_message(number), _talk(number)) for number in some])

    def _opened(self, name: str, **options: Any) -> Any:
        # Without snapshots: all states are folded from the records, on both sides.
        return StateManager.open(self.url(name), modules=[ConversationModule()], snapshots=False, **options)

    def _copy(self, name: str, to: str) -> None:
        for file in self.folder.glob(f"{to}.db*"):
            file.unlink()
        for file in self.folder.glob(f"{name}.db*"):
            if not file.name.endswith(".lock"):
                shutil.copy(file, self.folder / file.name.replace(name, to, 1))

    def timed(
        self, work: Callable[[], Coroutine[Any, Any, Any]], *, prepare: Callable[[], None] | None = None
    ) -> float:
        """Return the milliseconds of work; what was done for the last one is made undone before."""
        (prepare or self._anew)()
        started = time.perf_counter()
        asyncio.run(work())
        return (time.perf_counter() - started) * 1e3

    def _anew(self) -> None:
        for name in ("laptop", "phone"):
            self._copy(name, f"{name}-used")
        self._copy("laptop", "copy-used")
        self._copy("none", "empty-used")

    async def exchange(self, name: str, other: str) -> SyncReport:
        """Synchronise two stores."""
        return await synchronize(self.url(f"{name}-used"), self.url(f"{other}-used"), create=True)

    def sent(self, name: str, other: str) -> float:
        """Return how many kilobytes two stores send each other, their summaries included."""
        self._anew()
        summaries = sum(self._summary_bytes(f"{each}-used") for each in (name, other))
        report = asyncio.run(self.exchange(name, other))
        return (summaries + report.first.size_bytes + report.second.size_bytes) / 1e3

    def _summary_bytes(self, name: str) -> int:
        with ReplicaLog(self.url(name), create=True) as log:
            return len(log.summary().encode())

    def arrive_late(self) -> None:
        """Let the laptop have what the tablet wrote while it was away, still to be merged."""
        self._anew()
        self._receive("tablet", "laptop-used")

    def arrive_all(self) -> None:
        """Let a new store have all of the same, still to be merged."""
        self._copy("laptop", "laptop-used")
        self._copy("none", "empty-used")
        self._receive("tablet", "laptop-used")
        with ReplicaLog(self.url("laptop-used")) as log:
            log.merge()
        self._receive("laptop-used", "empty-used")

    def _receive(self, sender: str, receiver: str) -> None:
        with (
            ReplicaLog(self.url(sender)) as source,
            ReplicaLog(self.url(receiver), create=True) as target,
        ):
            for batch in source.lacking(target.summary()):
                target.receive(batch)

    async def merge(self, name: str) -> None:
        """Merge what waits in a store, and fold the states of all scopes."""
        with ReplicaLog(self.url(name)) as log:
            log.merge()
        async with self._opened(name) as manager:
            await manager.state()
            assert await manager.position() > RECORDS


def _message(number: int) -> MessageReceived:
    return MessageReceived(id=f"m{number}", user="ada", text=TEXT)


def _talk(number: int) -> Path:
    return Path().child("agent", "eliza").child("room", "general").child("conversation", f"c{number % TALKS}")
