"""Erasing: the content of records goes for good, and with it what was made of it; their place stays.

A transaction takes the content of some records and says so on the journal (`eliza_state.event.ScopeErased`):
wherever it is cut off, what is gone is told, and what is not told is there. From then on no snapshot from
before that is used, by anybody; removing them, and what files still hold, comes last and can be repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import attrs

from eliza_state.change import Record
from eliza_state.decoding import read_event
from eliza_state.dispatcher import Dispatcher
from eliza_state.errors import StateError, StoreError
from eliza_state.event import FRAMEWORK_EVENTS
from eliza_state.journal.contract import Erasure, Journal
from eliza_state.journal.writer import Writer
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems
from eliza_state.reading import Reading
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.tree import Tree

T = TypeVar("T")

Where: TypeAlias = Callable[[Any], bool]
"""Tell of an event whether its content is to go."""

_Run: TypeAlias = Callable[[Callable[[], bool]], Awaitable[bool]]

# Positions, and names that the application has given: the followers' place is no content of anybody's.
_KEPT: Final = frozenset({*FRAMEWORK_EVENTS, "follower_advanced", "follower_forgotten"})
# Other processes wait for one of these at most: some tens of milliseconds.
_BATCH_RECORDS: Final = 500
_BATCH_BYTES: Final = 4_000_000
# How long those who read files are waited for, and how long between looks.
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.02


def is_erasable(record: Record) -> bool:
    """Tell whether a record has content that an erasure takes, if `where` does not spare it."""
    return not record.is_erased and record.event not in _KEPT


@attrs.frozen(kw_only=True)
class Erased:
    """What an erasure took.

    `records` lost their content, `size_bytes` in all (0 in memory), addressed to `scopes`; `position` is the
    journal's last one now. `unreadable` counts those that were left because nobody could read them to judge
    them. `remains` says, where something still holds what was erased, what it is and why.
    """

    records: int
    scopes: int
    size_bytes: int
    position: int
    unreadable: int = 0
    remains: tuple[str, ...] = ()


@attrs.define
class _Tally:
    """What was erased so far."""

    records: int = 0
    size_bytes: int = 0
    unreadable: int = 0
    paths: set[Path] = attrs.Factory(set[Path])


@attrs.define
class _Batch:
    """Records that are to lose their content together, and how far the journal was read for them."""

    positions: list[int] = attrs.Factory(list[int])
    size_bytes: int = 0
    unreadable: int = 0
    read_until: int = 0
    is_last: bool = False


class Indexes(Protocol):
    """What indexes may hold of what was erased."""

    def forget(self, erasures: Sequence[Erasure]) -> bool:
        """Remove what was made of erased records, and tell whether it is gone from the files as well."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function where indexes are worked on."""
        ...


class Eraser:
    """Erase the content of records, one erasure after the other, shielded from the callers' cancellation.

    `take_in` takes in what is new on the journal, while dispatches wait, and returns the last position;
    `upkeep` is held by who moves or erases records.
    """

    def __init__(  # noqa: PLR0913  # keyword-only; all that may hold what is erased
        self,
        tree: Tree,
        journal: Journal,
        *,
        dispatcher: Dispatcher,
        reading: Reading,
        writer: Writer | None,
        snapshots: SnapshotStore | None,
        indexes: Indexes,
        problems: Problems,
        take_in: Callable[[], Awaitable[int]],
        upkeep: asyncio.Lock,
    ) -> None:
        self._tree = tree
        self._journal = journal
        self._dispatcher = dispatcher
        self._reading = reading
        self._writer = writer
        self._snapshots = snapshots
        self._indexes = indexes
        self._problems = problems
        self._take_in = take_in
        self._upkeep = upkeep
        self._tasks: set[asyncio.Task[Any]] = set()

    async def erase(self, path: Path, *, until: int | None, where: Where | None) -> Erased:
        """Erase content at and below a path; see `Scope.erase`."""
        return await asyncio.shield(self._start(self._erase(path, until, where)))

    async def resume(self) -> None:
        """Begin to remove what an erasure that was cut off has left elsewhere, if one was."""
        if self._writer is None or self._snapshots is None:
            return
        if await self._reading.run(self._journal.unsettled_erasures):
            self._start(self._clean_alone())

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever wanted to know has asked

    async def close(self) -> None:
        """Wait for erasures that go on."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _erase(self, path: Path, until: int | None, where: Where | None) -> Erased:
        if self._journal.durable and self._writer is None:
            raise StoreError("the store is open for reading only; open it for writing to erase")
        async with self._upkeep:
            return await self._erase_alone(path, until, where)

    async def _erase_alone(self, path: Path, until: int | None, where: Where | None) -> Erased:
        tally = _Tally()
        async with self._dispatcher.paused():
            last = await self._take_in()
            if until is not None and not (type(until) is int and 0 <= until <= last):
                raise StateError(f"a position from 0 to {last}, the last one, is wanted, got {until!r}")
            try:
                await self._wipe(path, last if until is None else until, where, tally)
            finally:
                last = await self._take_in()
        remains = await self._clean()
        return Erased(
            records=tally.records,
            scopes=len(tally.paths),
            size_bytes=tally.size_bytes,
            position=last,
            unreadable=tally.unreadable,
            remains=tuple(remains),
        )

    # The journal

    async def _wipe(self, path: Path, until: int, where: Where | None, tally: _Tally) -> None:
        batch = _Batch()
        while not batch.is_last:
            batch = await self._reading.run(partial(self._select, path, batch.read_until, until, where))
            tally.unreadable += batch.unreadable
            if batch.positions:
                wiped = await self._write(partial(self._journal.erase, batch.positions, until=until))
                tally.records += wiped.records
                tally.size_bytes += wiped.size_bytes
                tally.paths.update(wiped.paths)

    def _select(self, path: Path, after: int, until: int, where: Where | None) -> _Batch:
        """Choose the next records that are to lose their content; in a reader's thread."""
        batch = _Batch()
        for record in self._journal.read(path, after=after, until=until):
            batch.read_until = record.position
            if self._is_wanted(record, where, batch):
                batch.positions.append(record.position)
                batch.size_bytes += len(record.content) if isinstance(record.content, bytes) else 0
            if len(batch.positions) >= _BATCH_RECORDS or batch.size_bytes >= _BATCH_BYTES:
                return batch
        batch.is_last = True
        return batch

    def _is_wanted(self, record: Record, where: Where | None, batch: _Batch) -> bool:
        if not is_erasable(record):
            return False
        if where is None:
            return True
        event = read_event(self._tree, record, lambda _problem: None)
        if event is None:
            batch.unreadable += 1
            return False
        try:
            return bool(where(event))
        except Exception as error:
            raise StateError(f"`where` failed on {record!r}: {error!r}; it was not erased") from error

    async def _write(self, work: Callable[[], T]) -> T:
        return work() if self._writer is None else await self._writer.run(work)

    # What lies elsewhere

    async def _clean_alone(self) -> None:
        async with self._upkeep:
            await self._clean()

    async def _clean(self) -> list[str]:
        """Remove what else holds what was ever erased, and return what could not be removed."""
        remains: list[str] = []
        for place, clean in (
            ("indexes", self._clean_indexes),
            ("journal", self._clean_journal),
            ("snapshots", self._clean_snapshots),
        ):
            try:
                await clean()
            except StoreError as error:
                remains.append(f"{place}: {error}")
                message = f"what was erased is still there, and is removed by the next erasure: {error}"
                kind = "index" if place == "indexes" else place.removesuffix("s")
                self._problems.report(Problem(kind, message, error=error))
        return remains

    async def _clean_indexes(self) -> None:
        # Before the snapshots, which settle the erasures.
        erasures = await self._reading.run(self._journal.unsettled_erasures)
        if erasures and not await self._is_expunged(
            partial(self._indexes.forget, erasures), self._indexes.run
        ):
            raise StoreError("the indexes are being read by somebody")

    async def _clean_snapshots(self) -> None:
        if self._snapshots is None:
            return
        erasures = await self._reading.run(self._journal.unsettled_erasures)
        await self._reading.run(partial(self._remove, self._snapshots, erasures))
        if not await self._is_expunged(self._snapshots.expunge, self._reading.run):
            raise StoreError("the log beside their database is being read by somebody")
        if erasures:
            await self._write(partial(self._journal.settle_erasures, erasures))

    def _remove(self, snapshots: SnapshotStore, erasures: Sequence[Erasure]) -> None:
        for path, position in erasures:
            snapshots.remove(path, before=position)

    async def _clean_journal(self) -> None:
        if not await self._is_expunged(self._journal.expunge, self._write):
            raise StoreError("the log beside the database is being read by somebody")

    async def _is_expunged(self, expunge: Callable[[], bool], run: _Run) -> bool:
        """Have files cut down, and tell whether they are; those who read them are waited for a while."""
        deadline = time.monotonic() + _PATIENCE_S
        while not await run(expunge):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_PAUSE_S)
        return True
