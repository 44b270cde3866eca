"""What the archive's passes work with."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import attrs

from eliza_state.archive.pacing import Pace
from eliza_state.dispatcher import Dispatcher
from eliza_state.errors import Busy, StateError, StoreError
from eliza_state.heads import Heads
from eliza_state.journal.contract import Journal
from eliza_state.journal.writer import Writer
from eliza_state.path import Path
from eliza_state.problems import Problems
from eliza_state.reading import Reading
from eliza_state.scopes import Scopes
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.snapshotter import Snapshotter
from eliza_state.tree import Tree

if TYPE_CHECKING:
    from eliza_state.journal.archive.archive import JournalArchive

T = TypeVar("T")

STEP_S: Final = 0.003
"""How long a transaction of a pass takes, about."""

_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.02


class Working(Protocol):
    """Says what still works on the records of a scope."""

    def __call__(self, path: Path, position: int) -> str:
        """Return what works on its records up to a position, in words; empty where nothing does."""
        ...


@attrs.frozen(kw_only=True)
class ArchiveParts:
    """The parts of a manager that the archive needs; `upkeep` is held by who moves or erases records."""

    tree: Tree
    journal: Journal
    reading: Reading
    scopes: Scopes
    heads: Heads
    dispatcher: Dispatcher
    problems: Problems
    working: Callable[[], Awaitable[Working]]
    writer: Writer | None
    snapshots: SnapshotStore | None
    snapshotter: Snapshotter | None
    is_buffered: bool
    upkeep: asyncio.Lock

    @property
    def archive(self) -> JournalArchive:
        """The archive of the journal; `StateError` for one in memory."""
        if not self.journal.durable:
            raise StateError("a store in memory has no archive; open one in a file or on a server")
        # Imported by now: it is the one that is open.
        from eliza_state.journal.sql import SqlJournal  # noqa: PLC0415

        assert isinstance(self.journal, SqlJournal)
        return self.journal.archive

    def check_writable(self) -> None:
        """Raise `StateError` for a store in memory, `StoreError` for one that is only read."""
        if self.archive.segments.folder is None:
            self.archive.segments.path("")  # which says that there is none
        if self.writer is None:
            raise StoreError("the store is open for reading only; open it for writing to use its archive")

    async def write(self, work: Callable[[], T]) -> T:
        """Do something in the journal's writing thread."""
        assert self.writer is not None
        return await self.writer.run(work)

    def pace(self) -> Pace:
        """Return what gives dispatches room."""
        return Pace(lambda: self.heads.applied)

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Keep all others from moving records, or erasing them.

        Raises `Busy` where another process does for longer than ten seconds.
        """
        async with self.upkeep:
            lock = await self._locked()
            try:
                yield
            finally:
                lock.__exit__(None, None, None)

    async def _locked(self) -> contextlib.AbstractContextManager[None]:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            lock = self.archive.locked()
            try:
                await self.reading.run(lock.__enter__)
            except Busy:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                return lock

    def note(self, path: Path, *, archived: bool) -> None:
        """Have the live scopes at and below a path take no events, or take them again."""
        self.scopes.note_archived(path, archived=archived)


async def until_done(step: Callable[[], bool], parts: ArchiveParts, pace: Pace) -> None:
    """Repeat a step of writing until it says that nothing is left, with room for dispatches between."""
    while await parts.write(step):
        await pace.rest()


def for_a_while(step: Callable[..., bool]) -> Callable[[], bool]:
    """Return a step that takes about as long as a transaction of a pass is to take."""
    return partial(step, for_s=STEP_S)
