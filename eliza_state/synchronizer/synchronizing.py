"""Making two replicas equal: two stores, or a store and a file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar

import attrs

from eliza_serializers import Seal
from eliza_state.clock import now_us
from eliza_state.codec import codec_of
from eliza_state.files import StrPath
from eliza_state.manager import StateManager
from eliza_state.module import Composition, StateModule
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path
from eliza_state.synchronizer.conflicts import Conflict
from eliza_state.synchronizer.exchange import Delivery, Exchange
from eliza_state.synchronizer.merging import Merged
from eliza_state.synchronizer.messages import NOTHING
from eliza_state.synchronizer.replica_file import ReplicaFile
from eliza_state.synchronizer.replica_log import ReplicaLog
from eliza_state.synchronizer.slice_conflicts import (
    MOST_SLICES,
    SliceState,
    concurrent_slices,
    conflict,
    read_slices,
)
from eliza_state.synchronizer.stamps import MAX_DRIFT_MS
from eliza_state.tree import Tree

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class SideReport:
    """What came to one of the two, which is called `name`.

    `records` came from the other, in `size_bytes` of text. Of them `ahead` are left for later, being from too
    far in the future. `damaged` is the position of a record here that is damaged: neither it nor what comes
    after it went over. `merged` is what that did to the store; `None` for a file, which is not `is_stored`
    where it still holds something to be taken in later.
    """

    name: str
    records: int
    size_bytes: int
    ahead: int
    damaged: int | None
    merged: Merged | None
    is_stored: bool


@attrs.frozen(kw_only=True)
class SyncReport:
    """What a synchronisation did, or would do in a dry run.

    `concurrent` counts the slices that both have changed without knowing of each other; `conflicts` tells of
    the first twenty of them where the two differed.
    """

    first: SideReport
    second: SideReport
    concurrent: int
    conflicts: tuple[Conflict, ...]
    is_dry_run: bool

    @property
    def is_whole(self) -> bool:
        """Whether both hold the same now, as far as records go."""
        return not any(side.ahead or side.damaged is not None for side in (self.first, self.second))


async def synchronize(  # noqa: PLR0913  # keyword-only; what two stores are opened with
    first: StrPath,
    second: StrPath,
    *,
    modules: Iterable[StateModule[Any] | Composition] = (),
    hierarchy: Hierarchy = DEFAULT_HIERARCHY,
    secret_keys: Seal | None = None,
    clock: Callable[[], int] = now_us,
    max_drift_ms: int = MAX_DRIFT_MS,
    join: bool = False,
    create: bool = False,
    dry_run: bool = False,
) -> SyncReport:
    """Make two replicas hold the same records in the same order, and tell what that took.

    Each is the URL of a store, which no manager may have open, or the name of a file, one of the two at most;
    a file is made if it is not there, a store with `create`. Only what one lacks goes over. Late arrivals
    change the positions and versions of the records behind them. It may be cut off anywhere, and is then made
    whole by the next time. With `modules`, the slices that both have changed are compared. What is further
    than `max_drift_ms` ahead of `clock` is left. `join` takes two stores without a common record for replicas
    of one. With `dry_run` nothing is stored.
    Raises `Unrelated`, `Diverged`, `NotAReplica`, and `StoreError` for a store that cannot be had; neither of
    the two has changed then in what it shows.
    """
    members = tuple(modules)
    run = _Run(
        Tree(members, hierarchy=hierarchy, codec=codec_of(secret_keys)),
        modules=members,
        keys=secret_keys,
        open_log=partial(
            ReplicaLog,
            hierarchy=hierarchy,
            max_drift_ms=max_drift_ms,
            clock=clock,
            create=create,
            dry_run=dry_run,
        ),
        dry_run=dry_run,
    )
    return await run.synchronize(first, second, join=join)


class _Run:
    """One synchronisation: the logs in a thread of their own, which holds their locks."""

    def __init__(
        self,
        tree: Tree,
        *,
        modules: tuple[Any, ...],
        keys: Seal | None,
        open_log: Callable[[str], ReplicaLog],
        dry_run: bool,
    ) -> None:
        self._tree = tree
        self._modules = modules
        self._keys = keys
        self._open_log = open_log
        self._dry_run = dry_run
        self._thread = ThreadPoolExecutor(1, "eliza-state-synchronizer")

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def synchronize(self, first: StrPath, second: StrPath, *, join: bool) -> SyncReport:
        exchange = Exchange(first, second, open_log=self._open_log, dry_run=self._dry_run)
        try:
            try:
                await self._do(exchange.open)
                await self._do(partial(exchange.bring, join=join))
                slices = self._concurrent(exchange)
                before = await self._before(exchange, slices[:MOST_SLICES])
                await self._do(exchange.merge)
                merged = await self._after(exchange, slices[:MOST_SLICES])
            finally:
                # Behind what is under way in the thread, should the caller have been cancelled.
                await asyncio.shield(self._do(exchange.close))
        finally:
            self._thread.shutdown(wait=False)
        found = [
            conflict(path, name, local, remote, result)
            for (path, name), local, remote, result in zip(slices, *before, merged, strict=False)
        ]
        return SyncReport(
            first=_side(*exchange.sides),
            second=_side(*exchange.sides[::-1]),
            concurrent=len(slices),
            conflicts=tuple(one for one in found if one is not None),
            is_dry_run=self._dry_run,
        )

    def _concurrent(self, exchange: Exchange) -> list[tuple[Path, str]]:
        first, second = (side.sent.touched for side in exchange.sides)
        return concurrent_slices(self._tree, first, second)

    async def _before(self, exchange: Exchange, slices: list[tuple[Path, str]]) -> list[list[SliceState]]:
        if not slices:
            return [[], []]
        return [await self._read(side, slices) for side in exchange.sides]

    async def _after(self, exchange: Exchange, slices: list[tuple[Path, str]]) -> list[SliceState | None]:
        if self._dry_run or not slices:
            return [None] * len(slices)
        store = next(side for side in exchange.sides if isinstance(side.peer, ReplicaLog))
        return [*await self._read(store, slices)]

    async def _read(self, side: Delivery, slices: list[tuple[Path, str]]) -> list[SliceState]:
        async with AsyncExitStack() as stack:
            url = side.name
            if isinstance(side.peer, ReplicaFile):
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="eliza-state-"))
                url = f"sqlite:///{folder}/replica.db"
                await self._do(partial(_unfold, side.peer, url, self._tree.hierarchy))
            manager = await stack.enter_async_context(
                StateManager.open(
                    url,
                    modules=self._modules,
                    hierarchy=self._tree.hierarchy,
                    secret_keys=self._keys,
                    read_only=True,
                )
            )
            return await read_slices(manager, slices)


def _unfold(file: ReplicaFile, url: str, hierarchy: Hierarchy) -> None:
    """Make a store of a file."""
    # What lies in the future is shown as the file has it.
    with ReplicaLog(url, hierarchy=hierarchy, create=True, max_drift_ms=2**62) as log:
        for batch in file.lacking(NOTHING):
            log.receive(batch)
        log.merge()


def _side(side: Delivery, other: Delivery) -> SideReport:
    return SideReport(
        name=side.name,
        records=side.sent.records,
        size_bytes=side.sent.size_bytes,
        ahead=side.ahead,
        damaged=other.sent.damaged,
        merged=side.merged,
        is_stored=side.is_stored,
    )
