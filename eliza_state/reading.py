"""Reads that may wait for the disk, off the event loop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from eliza_state.change import Record
from eliza_state.errors import StoreError
from eliza_state.journal.contract import Journal
from eliza_state.path import Path
from eliza_state.problems import Problems
from eliza_state.recovery import Recovered, recover
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.tree import Tree

T = TypeVar("T")

_THREADS = 2


class Reading:
    """Read a journal in a few threads of its own, or at once where the journal is in memory."""

    def __init__(
        self, tree: Tree, journal: Journal, *, snapshots: SnapshotStore | None, problems: Problems
    ) -> None:
        self._tree = tree
        self._journal = journal
        self.snapshots = snapshots
        self._problems = problems
        self._threads = ThreadPoolExecutor(_THREADS, "eliza-state-reader") if journal.durable else None
        self._closed = False

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function that reads and return what it returns or raises; `StoreError` once closed."""
        if self._closed:
            raise StoreError("the manager is closed; open the store anew")
        if self._threads is None:
            return function()
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def recover(self, path: Path, *, until: int) -> Recovered:
        """Return the state of a scope at a position; without a thread for a local one nobody wrote to."""
        if not self._closed and self._journal.is_local and not self._journal.knows(path):
            return Recovered(self._tree.initial(self._tree.hierarchy.level(path)))
        return await self.run(partial(self.recover_here, path, until))

    def recover_here(self, path: Path, until: int) -> Recovered:
        """Return what `recover` does, read in the caller's thread."""
        if not self._journal.knows(path):  # which on a server spares the questions after it
            return Recovered(self._tree.initial(self._tree.hierarchy.level(path)))
        return recover(
            self._tree,
            self._journal,
            path,
            until=until,
            snapshots=self.snapshots,
            report=self._problems.report,
        )

    async def records(
        self, path: Path, *, after: int, until: int | None, newest_first: bool, limit: int | None
    ) -> list[Record]:
        """Return the records addressed to a scope or below it with `after < position <= until`."""

        def read() -> list[Record]:
            found = self._journal.read(path, after=after, until=until, newest_first=newest_first)
            return list(itertools.islice(found, limit))

        return await self.run(read)

    async def children(self, path: Path) -> list[Path]:
        """Return the scopes right below a path that have records at or below them, oldest first."""
        return await self.run(lambda: self._journal.children(path))

    def close(self) -> None:
        """End the threads; reads under way are waited for."""
        self._closed = True
        if self._threads is not None:
            self._threads.shutdown()
