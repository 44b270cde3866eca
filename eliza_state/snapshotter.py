"""When a scope's snapshot is due, and how it is taken: off the dispatch path."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from eliza_state.errors import StateError
from eliza_state.journal.contract import Journal
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems
from eliza_state.reading import Reading
from eliza_state.scopes import LiveScope, Scopes
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.snapshots import ChunkMissing, Dump, ScopeSnapshot, SliceSnapshot, dump_slice
from eliza_state.tree import EventVersion, Tree

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


class ScopeState(NamedTuple):
    """The slices of a scope at the position of its last record, and the events that they are made of.

    `own_events` are those of the records addressed to the scope; see `Recovered`.
    """

    path: Path
    slices: Mapping[str, Any]
    position: int
    events: frozenset[EventVersion]
    own_events: frozenset[EventVersion]


class _Taken(NamedTuple):
    """A scope as its snapshot finds it; in `buffered` mode it is past what is written a moment later."""

    state: ScopeState
    ended: bool
    tail: int
    tail_bytes: int


class _Stored(NamedTuple):
    """What a snapshot has written: the bodies of its slices, and the chunks that were not stored before."""

    body_bytes: int
    chunk_bytes: int


def dump_scope(
    tree: Tree, journal: Journal, state: ScopeState, *, again: bool
) -> tuple[ScopeSnapshot, list[Dump]]:
    """Write the slices of a scope down; `again` with chunks that were stored before.

    Raises `StateError` for a state that cannot be written.
    """
    path, slices, position = state.path, state.slices, state.position
    last = next(journal.read(Path(), after=position - 1, until=position), None)
    if last is None:
        raise StateError(f"the record at position {position} is gone")
    stored: list[SliceSnapshot] = []
    dumps: list[Dump] = []
    for name, module in _to_store(tree, tree.hierarchy.level(path), state.events).items():
        if name in slices:  # else it was registered just now
            place = journal.epoch + path.encode()
            dump = dump_slice(module, slices[name], place=place, again=again, codec=tree.codec)
            seen = (dict(tree.handled(name)), module.since_position)
            stored.append(SliceSnapshot(name, module.version, dump.body, dump.named, *seen))
            dumps.append(dump)
    events = (state.events, state.own_events)
    return ScopeSnapshot(position, last.key, last.writer, tuple(stored), *events), dumps


def _to_store(tree: Tree, level: str, events: Iterable[EventVersion]) -> dict[str, StateModule[Any]]:
    """Return the modules of a level whose slices have folded all these events that they handle.

    One that had to leave out a record of a newer schema version is not to be mistaken for the whole.
    """
    return {
        name: module
        for name, module in tree.modules(level).items()
        if not module.volatile and _is_whole(tree, name, events)
    }


def _is_whole(tree: Tree, name: str, events: Iterable[EventVersion]) -> bool:
    handled = tree.handled(name)
    return all(version <= handled.get(event, version) for event, version in events)


class Snapshotter:
    """Take snapshots of scopes whose tail has outgrown a fraction of the last one."""

    def __init__(
        self,
        tree: Tree,
        journal: Journal,
        *,
        scopes: Scopes,
        snapshots: SnapshotStore,
        reading: Reading,
        problems: Problems,
    ) -> None:
        self._tree = tree
        self._scopes = scopes
        self._journal = journal
        self._snapshots = snapshots
        self._reading = reading
        self._problems = problems
        self._tasks: set[asyncio.Task[bool]] = set()

    def look_at(self, touched: Iterable[LiveScope], *, written: int) -> None:
        """Start a snapshot of each touched scope, or one above it, where one is due.

        `written` is the last durable position.
        """
        for scope in {above for leaf in touched for above in leaf.chain}:
            is_worth_a_look = scope.tail >= MIN_TAIL or scope.ended or scope.is_migrated
            if is_worth_a_look and self._is_due(scope) and scope.position <= written:
                self._start(scope)

    def _is_stored(self, scope: LiveScope) -> bool:
        return bool(_to_store(self._tree, scope.level, scope.events))

    def _is_due(self, scope: LiveScope) -> bool:
        if scope.snapshotting or not self._is_stored(scope):
            return False
        if scope.is_migrated:
            return True
        if scope.ended:
            # Its last one. Where it has been taken before, the archive is to have the whole.
            return scope.tail >= MIN_CLOSING_TAIL or (scope.tail > 0 and scope.snapshot_bytes > 0)
        return scope.tail_bytes * TAIL_FRACTION >= scope.snapshot_bytes

    async def take(self, scope: LiveScope) -> bool:
        """Take a snapshot of a scope now, whatever its tail; tell whether it is stored.

        It is not where one is being taken already, where nothing of the scope is to be stored, and where that
        fails, which is reported.
        """
        if scope.snapshotting or not self._is_stored(scope):
            return False
        return await self._start(scope)

    def _start(self, scope: LiveScope) -> asyncio.Task[bool]:
        scope.snapshotting = True
        sizes = (scope.tail, scope.tail_bytes)
        events = (frozenset(scope.events), frozenset(scope.own_events))
        state = ScopeState(scope.path, dict(scope.published), scope.position, *events)
        taken = _Taken(state, scope.ended, *sizes)
        task = asyncio.get_running_loop().create_task(self._take(scope, taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self, scope: LiveScope, taken: _Taken) -> bool:
        grown_bytes = taken.tail_bytes
        try:
            try:
                stored = await self._store(scope, taken)
            except ChunkMissing:
                # What an older snapshot had stored is gone with it; write all chunks this time.
                stored = await self._store(scope, taken, again=True)
        except StateError as error:
            self._problems.report(Problem("snapshot", f"no snapshot was taken: {error}", scope.path, error))
        else:
            if stored is not None:
                # Of many records little may be left, as of those that are counted.
                growth = stored.body_bytes + stored.chunk_bytes - scope.snapshot_bytes
                grown_bytes = min(grown_bytes, growth)
            scope.snapshot_bytes = 0 if stored is None else stored.body_bytes
            return True
        finally:
            # Also after a failure: the next attempt waits until the tail has grown again.
            scope.tail -= taken.tail
            self._scopes.settle(scope, tail_bytes=taken.tail_bytes, grown_bytes=grown_bytes)
            scope.snapshotting = scope.is_migrated = False
        return False

    async def _store(self, scope: LiveScope, taken: _Taken, *, again: bool = False) -> _Stored | None:
        written = partial(dump_scope, self._tree, self._journal, taken.state, again=again)
        snapshot, dumps = await self._reading.run(written)
        chunks = {digest: content for dump in dumps for digest, content in dump.chunks.items()}
        await self._snapshots.save(scope.path, snapshot, chunks=chunks, ended=taken.ended)
        if not await self._reading.run(partial(self._is_kept, scope.path, snapshot.position)):
            return None
        for dump in dumps:
            dump.confirm()
        return _Stored(sum(len(dump.body) for dump in dumps), sum(map(len, chunks.values())))

    def _is_kept(self, path: Path, position: int) -> bool:
        """Take a snapshot back that holds what was erased meanwhile; tell whether it may stay.

        Whoever erased it may have looked for snapshots before this one was saved.
        """
        erased_at = self._journal.erased_at(path)
        if erased_at > position:
            self._snapshots.remove(path, before=erased_at)
        return erased_at <= position

    async def close(self, scopes: Iterable[LiveScope]) -> None:
        """Take the snapshots that make the next opening quick, and wait for all under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for scope in scopes:
            is_wanted = scope.tail >= MIN_CLOSING_TAIL or scope.is_migrated
            if is_wanted and not scope.pending and self._is_stored(scope):
                self._start(scope)
        await asyncio.gather(*self._tasks, return_exceptions=True)
