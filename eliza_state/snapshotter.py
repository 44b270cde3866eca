"""When a scope's snapshot is due, and how it is taken: off the dispatch path."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from eliza_state.errors import StateError
from eliza_state.journal.contract import ChunkMissing, Journal, SliceSnapshot
from eliza_state.journal.writer import Writer
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems
from eliza_state.reading import Reading
from eliza_state.scopes import LiveScope
from eliza_state.snapshots import Dump, dump_slice
from eliza_state.tree import Tree

MIN_TAIL: Final = 512
"""Records since the last snapshot below which none is taken."""

MIN_CLOSING_TAIL: Final = 64
"""Records since the last snapshot from which one is taken when the manager is closed."""

TAIL_FRACTION: Final = 2
"""A snapshot is due when the records since the last one weigh this part, one half, of what it rewrites.

Full chunks are stored once, so what a snapshot rewrites is its body: the state without them. Taken at a
fraction of that, snapshots make the cost of an event independent of the size of the state, and the tail
that opening a scope has to fold stays short however long the history is.
"""


class Snapshotter:
    """Take snapshots of scopes whose tail has outgrown a fraction of the last one."""

    def __init__(
        self, tree: Tree, journal: Journal, *, writer: Writer, reading: Reading, problems: Problems
    ) -> None:
        self._tree = tree
        self._journal = journal
        self._writer = writer
        self._reading = reading
        self._problems = problems
        self._tasks: set[asyncio.Task[None]] = set()

    def look_at(self, touched: Iterable[LiveScope], *, written: int) -> None:
        """Start a snapshot of each touched scope, or one above it, where one is due.

        `written` is the last durable position.
        """
        for scope in {above for leaf in touched for above in leaf.chain}:
            if scope.tail >= MIN_TAIL and self._is_due(scope) and scope.position <= written:
                self._start(scope)

    def _start(self, scope: LiveScope) -> None:
        scope.snapshotting = True
        task = asyncio.get_running_loop().create_task(self._take(scope))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_due(self, scope: LiveScope) -> bool:
        stored = any(not module.volatile for module in self._tree.modules(scope.level).values())
        return stored and not scope.snapshotting and scope.tail_bytes * TAIL_FRACTION >= scope.snapshot_bytes

    async def _take(self, scope: LiveScope) -> None:
        slices, position, version = dict(scope.published), scope.position, scope.version
        tail, tail_bytes = scope.tail, scope.tail_bytes
        try:
            store = partial(self._store, scope, slices, position=position, version=version)
            try:
                rewritten_bytes = await store()
            except ChunkMissing:
                # What an older snapshot had stored is gone with it; write all chunks this time.
                rewritten_bytes = await store(again=True)
        except StateError as error:
            self._problems.report(Problem("snapshot", f"no snapshot was taken: {error}", scope.path, error))
        else:
            scope.snapshot_bytes = rewritten_bytes
        finally:
            # Also after a failure: the next attempt waits until the tail has grown again.
            scope.tail -= tail
            scope.tail_bytes -= tail_bytes
            scope.loaded_bytes += tail_bytes
            scope.snapshotting = False

    async def _store(
        self,
        scope: LiveScope,
        slices: dict[str, Any],
        *,
        position: int,
        version: int,
        again: bool = False,
    ) -> int:
        place = self._journal.epoch + scope.path.encode()
        modules = {
            name: module for name, module in self._tree.modules(scope.level).items() if not module.volatile
        }

        def dump() -> tuple[bytes, dict[str, Dump]]:
            last = next(self._journal.read(Path(), after=position - 1, until=position), None)
            if last is None:
                raise StateError(f"the record at position {position} is gone")
            return last.key, {
                name: dump_slice(module, slices[name], place=place, again=again)
                for name, module in modules.items()
            }

        key, dumps = await self._reading.run(dump)
        snapshots = [
            SliceSnapshot(
                name,
                modules[name].version,
                position,
                version,
                key,
                self._journal.epoch,
                dumped.body,
                dumped.named,
            )
            for name, dumped in dumps.items()
        ]
        chunks = {digest: content for dumped in dumps.values() for digest, content in dumped.chunks.items()}
        await self._writer.run(
            lambda: self._journal.save_snapshot(scope.path, snapshots, chunks=chunks.items())
        )
        for dumped in dumps.values():
            dumped.confirm()
        return sum(len(dumped.body) for dumped in dumps.values())

    async def close(self, scopes: Iterable[LiveScope]) -> None:
        """Take the snapshots that make the next opening quick, and wait for all under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for scope in scopes:
            if scope.tail >= MIN_CLOSING_TAIL and not scope.pending:
                self._start(scope)
        await asyncio.gather(*self._tasks, return_exceptions=True)
