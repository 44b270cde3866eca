"""When a scope's snapshot is due, and how it is taken: off the dispatch path."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from eliza_state.errors import StateError
from eliza_state.journal.contract import Journal
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems
from eliza_state.reading import Reading
from eliza_state.scopes import LiveScope
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.snapshots import ChunkMissing, Dump, ScopeSnapshot, SliceSnapshot, dump_slice
from eliza_state.tree import Tree

MIN_TAIL: Final = 512
"""Records since the last snapshot below which none is taken."""

MIN_CLOSING_TAIL: Final = 64
"""Records since the last snapshot from which one is taken when the scope ends or the manager is closed."""

TAIL_FRACTION: Final = 2
"""A snapshot is due when the records since the last one weigh this part, one half, of what it rewrites.

Full chunks are stored once, so what a snapshot rewrites is its body: the state without them. Taken at a
fraction of that, snapshots make the cost of an event independent of the size of the state, and the tail
that opening a scope has to fold stays short however long the history is.
"""


class _Taken(NamedTuple):
    """A scope as its snapshot finds it; in `buffered` mode it is past what is written a moment later."""

    slices: dict[str, Any]
    position: int
    ended: bool
    tail: int
    tail_bytes: int


class Snapshotter:
    """Take snapshots of scopes whose tail has outgrown a fraction of the last one."""

    def __init__(
        self, tree: Tree, journal: Journal, *, snapshots: SnapshotStore, reading: Reading, problems: Problems
    ) -> None:
        self._tree = tree
        self._journal = journal
        self._snapshots = snapshots
        self._reading = reading
        self._problems = problems
        self._tasks: set[asyncio.Task[None]] = set()

    def look_at(self, touched: Iterable[LiveScope], *, written: int) -> None:
        """Start a snapshot of each touched scope, or one above it, where one is due.

        `written` is the last durable position.
        """
        for scope in {above for leaf in touched for above in leaf.chain}:
            is_worth_a_look = scope.tail >= MIN_TAIL or scope.ended
            if is_worth_a_look and self._is_due(scope) and scope.position <= written:
                self._start(scope)

    def _is_stored(self, scope: LiveScope) -> bool:
        return any(not module.volatile for module in self._tree.modules(scope.level).values())

    def _is_due(self, scope: LiveScope) -> bool:
        if scope.snapshotting or not self._is_stored(scope):
            return False
        if scope.ended:
            # Its last one. Where it has been taken before, the archive is to have the whole.
            return scope.tail >= MIN_CLOSING_TAIL or (scope.tail > 0 and scope.snapshot_bytes > 0)
        return scope.tail_bytes * TAIL_FRACTION >= scope.snapshot_bytes

    def _start(self, scope: LiveScope) -> None:
        scope.snapshotting = True
        taken = _Taken(dict(scope.published), scope.position, scope.ended, scope.tail, scope.tail_bytes)
        task = asyncio.get_running_loop().create_task(self._take(scope, taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, scope: LiveScope, taken: _Taken) -> None:
        try:
            try:
                rewritten_bytes = await self._store(scope, taken)
            except ChunkMissing:
                # What an older snapshot had stored is gone with it; write all chunks this time.
                rewritten_bytes = await self._store(scope, taken, again=True)
        except StateError as error:
            self._problems.report(Problem("snapshot", f"no snapshot was taken: {error}", scope.path, error))
        else:
            scope.snapshot_bytes = rewritten_bytes
        finally:
            # Also after a failure: the next attempt waits until the tail has grown again.
            scope.tail -= taken.tail
            scope.tail_bytes -= taken.tail_bytes
            scope.loaded_bytes += taken.tail_bytes
            scope.snapshotting = False

    async def _store(self, scope: LiveScope, taken: _Taken, *, again: bool = False) -> int:
        snapshot, dumps = await self._reading.run(partial(self._dump, scope, taken, again=again))
        chunks = {digest: content for dump in dumps for digest, content in dump.chunks.items()}
        await self._snapshots.save(scope.path, snapshot, chunks=chunks, ended=taken.ended)
        for dump in dumps:
            dump.confirm()
        return sum(len(dump.body) for dump in dumps)

    def _dump(self, scope: LiveScope, taken: _Taken, *, again: bool) -> tuple[ScopeSnapshot, list[Dump]]:
        """Write the slices down, in a reader's thread."""
        position = taken.position
        last = next(self._journal.read(Path(), after=position - 1, until=position), None)
        if last is None:
            raise StateError(f"the record at position {position} is gone")
        slices: list[SliceSnapshot] = []
        dumps: list[Dump] = []
        for name, module in self._tree.modules(scope.level).items():
            if not module.volatile and name in taken.slices:  # else it was registered just now
                place = self._journal.epoch + scope.path.encode()
                dump = dump_slice(module, taken.slices[name], place=place, again=again)
                slices.append(SliceSnapshot(name, module.version, dump.body, dump.named))
                dumps.append(dump)
        return ScopeSnapshot(position, last.key, last.writer, tuple(slices)), dumps

    async def close(self, scopes: Iterable[LiveScope]) -> None:
        """Take the snapshots that make the next opening quick, and wait for all under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for scope in scopes:
            if scope.tail >= MIN_CLOSING_TAIL and not scope.pending and self._is_stored(scope):
                self._start(scope)
        await asyncio.gather(*self._tasks, return_exceptions=True)
