"""The scopes that are in memory: loaded on first touch, evicted when idle."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

import attrs

from eliza_state.errors import StoreError
from eliza_state.lifecycle import Phase, Step, advance
from eliza_state.path import Path
from eliza_state.recovery import Recovered
from eliza_state.tree import EventVersion, Plan, Tree


@attrs.define(eq=False)
class LiveScope:
    """One scope in memory.

    `published` are the slices that the journal has; `head` those that dispatches under way see. `heads`
    are the heads of the chain from the root down to this scope, which is what a reduction reads. `ended`
    tells whether an event ended the scope, `ending` whether one is on its way, `archived` whether it is in
    the archive, as far as is known here. `pending` counts records on their way to the journal that are
    addressed here or below (`own_pending`: here), `children` the scopes right below that are in memory.
    `tail` counts the records since the last snapshot, `loaded_bytes`
    is the size of what came from snapshots or is in one by now. A scope is `lost` once a
    chunk of its snapshot could not be had: it is to be read anew. `is_migrated` asks for a snapshot by
    today's code. `events` are the names and schema versions of its records, `own_events` those of the ones
    addressed to it, and `newer` is one among these that this code does not know yet.
    """

    path: Path
    level: str
    plans: dict[type, Plan]
    chain: tuple[LiveScope, ...]
    published: dict[str, Any]
    head: dict[str, Any]
    heads: tuple[dict[str, Any], ...]
    version: int = 0
    head_version: int = 0
    position: int = 0
    last_activity_us: int = 0
    phase: Phase = Phase.INITIALIZED
    ended: bool = False
    ending: bool = False
    archived: bool = False
    pending: int = 0
    own_pending: int = 0
    children: int = 0
    held: int = 0
    tail: int = 0
    tail_bytes: int = 0
    snapshot_bytes: int = 0
    loaded_bytes: int = 0
    snapshotting: bool = False
    in_memory: bool = True
    used: bool = True
    lost: bool = False
    is_migrated: bool = False
    events: set[EventVersion] = attrs.Factory(set[EventVersion])
    own_events: set[EventVersion] = attrs.Factory(set[EventVersion])
    newer: EventVersion | None = None

    @property
    def size_bytes(self) -> int:
        """An estimate of what the scope holds, from the size of its records, snapshots and chunks as text."""
        return self.tail_bytes + self.loaded_bytes

    def take(self, step: Step) -> None:
        """Go on to the next phase of the scope's life."""
        self.phase = advance(self.phase, step)

    def reset_head(self) -> None:
        """Forget what dispatches under way had made of the scope."""
        self.head.clear()
        self.head.update(self.published)
        self.head_version = self.version
        self.ending = self.ended


@attrs.define
class _Loading:
    """A scope being read; `outdated` once a record that concerns it came from elsewhere meanwhile.

    `waiting` counts those who wait for it: once read, the `scope` is held until each has got it.
    """

    task: asyncio.Task[None]
    outdated: bool = False
    waiting: int = 0
    scope: LiveScope | None = None


Recover = Callable[[Path], Awaitable[Recovered]]
"""Read the state of a scope as far as this process has followed the journal."""


class Scopes:
    """Hold the live scopes.

    `max_scopes` and `max_bytes` bound what idle scopes may occupy; scopes with records under way, with live
    scopes below them or with volatile state stay. Who goes first is found by the clock algorithm (Corbato,
    "A Paging Experiment with the Multics System", 1968): whoever touches a scope marks it as `used`, which
    costs next to nothing, and a look for room passes a marked one over once.
    """

    def __init__(self, tree: Tree, recover: Recover, *, max_scopes: int, max_bytes: int) -> None:
        self._tree = tree
        self._recover = recover
        self._max_scopes = max_scopes
        self._max_bytes = max_bytes
        self._live: OrderedDict[Path, LiveScope] = OrderedDict()
        self._loading: dict[Path, _Loading] = {}
        self.size_bytes = 0
        self.find = self._live.get
        self.observers: list[Callable[[LiveScope], None]] = []
        """Called with each scope that was loaded, read anew or dropped."""
        self.outdating: list[Callable[[Path], None]] = []
        """Called with the path of each record from elsewhere, before it is folded."""

    @property
    def max_scopes(self) -> int:
        """How many scopes idle ones may fill up to."""
        return self._max_scopes

    @property
    def max_bytes(self) -> int:
        """How many bytes idle scopes may fill up to."""
        return self._max_bytes

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[LiveScope]:
        return iter(tuple(self._live.values()))

    def live_chain(self, path: Path) -> list[LiveScope]:
        """Return the live scopes from the root down to `path`, as far as they are in memory."""
        chain: list[LiveScope] = []
        for above in path.chain():
            scope = self._live.get(above)
            if scope is None:
                break
            chain.append(scope)
        return chain

    async def load(self, path: Path) -> LiveScope:
        """Return the live scope of a path, read first where needed, together with those above it.

        A caller that is cancelled leaves the reading to the others who wait for it.
        """
        while True:
            scope = self._live.get(path)
            if scope is not None:
                scope.used = True
                await self._find_again(scope)
                if scope.in_memory:
                    return scope
                continue
            loading = self._loading.get(path)
            if loading is None:
                loading = self._loading[path] = _Loading(asyncio.create_task(self._load(path)))
            loading.waiting += 1
            try:
                await asyncio.shield(loading.task)
            finally:
                loading.waiting -= 1
                if loading.scope is not None:
                    loading.scope.held -= 1

    async def _load(self, path: Path) -> None:
        parent: LiveScope | None = None
        try:
            if path.parent is not None:
                parent = await self.load(path.parent)
                parent.held += 1
            while True:
                loading = self._loading[path]
                loading.outdated = False
                recovered = await self._recover(path)
                if not loading.outdated:
                    loading.scope = self._add(path, parent, recovered)
                    loading.scope.held = loading.waiting
                    return
        finally:
            if parent is not None:
                parent.held -= 1
            del self._loading[path]

    def _add(self, path: Path, parent: LiveScope | None, recovered: Recovered) -> LiveScope:
        head = dict(recovered.slices)
        above, heads = ((), ()) if parent is None else (parent.chain, parent.heads)
        scope = LiveScope(
            path=path,
            level=(level := self._tree.hierarchy.level(path)),
            plans=self._tree.plans[level],
            chain=(),
            published=recovered.slices,
            head=head,
            heads=(*heads, head),
            version=recovered.version,
            head_version=recovered.version,
            position=recovered.position,
            last_activity_us=recovered.last_activity_us,
            tail=recovered.tail,
            tail_bytes=recovered.tail_bytes,
            snapshot_bytes=recovered.snapshot_bytes,
            loaded_bytes=recovered.snapshot_bytes + recovered.loaded_bytes,
            is_migrated=recovered.is_migrated,
            archived=recovered.archived,
        )
        self._take_events(scope, recovered)
        scope.chain = (*above, scope)
        scope.take(Step.LOAD)
        if recovered.ended:
            scope.ended = scope.ending = True
            scope.take(Step.END)
        if parent is not None:
            parent.children += 1
        self._live[path] = scope
        self.size_bytes += scope.size_bytes
        if self.crowded:
            # Later, so that whoever waits for this scope gets to use it first.
            asyncio.get_running_loop().call_soon(self.evict)
        self._follow(scope, recovered)
        self._tell(scope)
        return scope

    def _take_events(self, scope: LiveScope, recovered: Recovered) -> None:
        scope.events |= recovered.events
        scope.own_events |= recovered.own_events
        self.look_for_newer(scope)

    def look_for_newer(self, scope: LiveScope) -> None:
        """See whether one of a scope's own records is of a schema version that this code does not know."""
        scope.newer = self._tree.newest_unknown(scope.own_events)

    def _follow(self, scope: LiveScope, recovered: Recovered) -> None:
        recovered.on_loaded = partial(self._grow, scope)
        recovered.on_lost = partial(setattr, scope, "lost", True)

    async def _find_again(self, scope: LiveScope) -> None:
        """Read a lost scope, and lost ones above it, anew from the records."""
        for above in scope.chain:
            while above.lost:
                if above.pending:
                    raise StoreError(f"{above.path.encode()!r} is being read anew; try again in a moment")
                position = above.position
                recovered = await self._recover(above.path)
                if above.lost and position == above.position and not above.pending:
                    self._replace(above, recovered)

    def replace(self, scope: LiveScope, recovered: Recovered) -> list[tuple[str, Any, Any]]:
        """Give a scope the state that was read anew; return what is different: slice, before, after."""
        before = dict(scope.published)
        self._replace(scope, recovered)
        self.size_bytes -= scope.size_bytes
        scope.tail, scope.tail_bytes = recovered.tail, recovered.tail_bytes
        scope.snapshot_bytes = scope.loaded_bytes = recovered.snapshot_bytes
        self.size_bytes += scope.size_bytes
        return [
            (name, before[name], after)
            for name, after in scope.published.items()
            if _differs(before[name], after)
        ]

    def _replace(self, scope: LiveScope, recovered: Recovered) -> None:
        for name, module in self._tree.modules(scope.level).items():
            if not module.volatile:
                scope.published[name] = recovered.slices[name]
        scope.reset_head()
        scope.lost = False
        # What a restore has undone is not in the state any more.
        scope.events.clear()
        scope.own_events.clear()
        self._take_events(scope, recovered)
        self._follow(scope, recovered)
        self._tell(scope)

    def _tell(self, scope: LiveScope) -> None:
        for observer in self.observers:
            observer(scope)

    def _grow(self, scope: LiveScope, size_bytes: int) -> None:
        """Count a chunk that somebody, in any thread, has touched; who has to go is seen at the next load."""
        if scope.in_memory:
            scope.loaded_bytes += size_bytes
            self.size_bytes += size_bytes

    def settle(self, scope: LiveScope, *, tail_bytes: int, grown_bytes: int) -> None:
        """Count records of so many bytes, which a snapshot covers now, as what they added to the state."""
        before = scope.size_bytes
        scope.tail_bytes -= tail_bytes
        scope.loaded_bytes = max(scope.loaded_bytes + grown_bytes, 0)
        if scope.in_memory:
            self.size_bytes += scope.size_bytes - before

    def note_archived(self, path: Path, *, archived: bool) -> None:
        """Note of the live scopes at and below a path whether they are in the archive."""
        scope = self._live.get(path)
        if scope is None:
            return  # then none below it is live
        below = [each for each in self._live.values() if scope in each.chain] if scope.children else [scope]
        for each in below:
            each.archived = archived

    def outdate(self, path: Path) -> None:
        """Say that a record from elsewhere reached `path`: what is being read of its chain is read again."""
        for above in path.chain() if self._loading else ():
            if above in self._loading:
                self._loading[above].outdated = True
        for observer in self.outdating:
            observer(path)

    @contextlib.asynccontextmanager
    async def held(self, paths: Iterable[Path]) -> AsyncGenerator[dict[Path, LiveScope]]:
        """Load scopes and keep them in memory while the block runs."""
        held: dict[Path, LiveScope] = {}
        try:
            for path in paths:
                if path not in held:
                    held[path] = await self.load(path)
                    held[path].held += 1
            yield held
        finally:
            for scope in held.values():
                scope.held -= 1

    async def reload_slices(self) -> None:
        """Give every live scope the slices of modules that were registered since; nothing is under way."""
        for loading in self._loading.values():
            loading.outdated = True
        for scope in tuple(self._live.values()):
            missing = self._tree.modules(scope.level).keys() - scope.published.keys()
            if missing:
                recovered = await self._recover(scope.path)
                for name in missing:
                    scope.published[name] = scope.head[name] = recovered.slices[name]
                self._take_events(scope, recovered)

    @property
    def crowded(self) -> bool:
        """Tell whether the bounds are passed."""
        return len(self._live) > self._max_scopes or self.size_bytes > self._max_bytes

    def evict(self) -> None:
        """Drop idle scopes that were not used of late, until a tenth of the bounds is free again.

        Freeing some at a time makes the look for idle ones cost a few steps a scope dropped.
        """
        if not self.crowded:
            return
        spare_scopes, spare_bytes = self._max_scopes * 9 // 10, self._max_bytes * 9 // 10
        for scope in (*self._live.values(), *self._live.values()):
            if len(self._live) <= spare_scopes and self.size_bytes <= spare_bytes:
                return
            if scope.used:
                scope.used = False
                self._live.move_to_end(scope.path)
            elif scope.in_memory and self._is_idle(scope):
                self._drop(scope)

    def _is_idle(self, scope: LiveScope) -> bool:
        """Tell whether nothing would be lost or missed without the scope; the root always stays."""
        if not scope.path.steps or scope.children or scope.pending or scope.held:
            return False
        modules = self._tree.modules(scope.level).items()
        # Volatile state is nowhere else.
        return all(
            scope.published[name] == module.initial_state() for name, module in modules if module.volatile
        )

    def close(self) -> None:
        """Let go of all scopes; whoever comes for one has it read anew, which a closed store refuses."""
        for scope in self._live.values():
            scope.in_memory = False
        self._live.clear()

    def _drop(self, scope: LiveScope) -> None:
        del self._live[scope.path]
        self.size_bytes -= scope.size_bytes
        scope.take(Step.UNLOAD)
        scope.in_memory = False
        scope.chain[-2].children -= 1
        self._tell(scope)


def _differs(before: Any, after: Any) -> bool:
    try:
        return bool(before != after)
    except Exception:  # noqa: BLE001  # the comparison is foreign code, and may touch a chunk that is gone
        return True
