"""When a scope's snapshot is due, and how it is taken: off the dispatch path."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from eliza_state.errors import StateError
from eliza_state.journal.contract import ChunkMissing, Journal, SliceSnapshot
from eliza_state.journal.writer import Writer
from eliza_state.problems import Problem, Problems
from eliza_state.reading import Reading
from eliza_state.scopes import LiveScope
from eliza_state.snapshots import Dump, dump_slice
from eliza_state.tree import Tree

MIN_TAIL: Final = 512
"""Records since the last snapshot below which none is taken."""

TAIL_FRACTION: Final = 8
"""A snapshot is due when the records since the last one weigh more than this part of it, one eighth.

Full chunks are stored once, so a snapshot costs what is new plus a table of contents; taking them at a
fraction of growth makes the cost of an event independent of the size of the state.
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

    def look_at(self, chain: Iterable[LiveScope], *, written: int) -> None:
        """Start a snapshot of each scope of a chain where one is due; `written` is what is durable."""
        for scope in chain:
            if scope.tail >= MIN_TAIL and self._is_due(scope) and scope.position <= written:
                scope.snapshotting = True
                task = asyncio.get_running_loop().create_task(self._take(scope))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _is_due(self, scope: LiveScope) -> bool:
        return not scope.snapshotting and scope.tail_bytes * TAIL_FRACTION > scope.snapshot_bytes

    async def _take(self, scope: LiveScope) -> None:
        slices, position, version, key = dict(scope.published), scope.position, scope.version, scope.last_key
        tail, tail_bytes = scope.tail, scope.tail_bytes
        try:
            store = partial(self._store, scope, slices, position=position, version=version, key=key)
            try:
                size_bytes = await store()
            except ChunkMissing:
                # What an older snapshot had stored is gone with it; write all chunks this time.
                size_bytes = await store(again=True)
        except StateError as error:
            self._problems.report(Problem("snapshot", f"no snapshot was taken: {error}", scope.path, error))
        else:
            scope.snapshot_bytes = size_bytes
        finally:
            # Also after a failure: the next attempt waits until the tail has grown again.
            scope.tail -= tail
            scope.tail_bytes -= tail_bytes
            scope.snapshotting = False

    async def _store(
        self,
        scope: LiveScope,
        slices: dict[str, Any],
        *,
        position: int,
        version: int,
        key: bytes,
        again: bool = False,
    ) -> int:
        place = self._journal.epoch + scope.path.encode()
        modules = {
            name: module for name, module in self._tree.modules(scope.level).items() if not module.volatile
        }

        def dump() -> dict[str, Dump]:
            return {
                name: dump_slice(module, slices[name], place=place, again=again)
                for name, module in modules.items()
            }

        dumps = await self._reading.run(dump)
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
        return sum(dumped.size_bytes for dumped in dumps.values())

    async def close(self) -> None:
        """Wait for the snapshots under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
