"""From what `StateManager.open` is given to what is open of a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from typing import Any, Generic, Protocol, TypeVar

import attrs

from eliza_state.archive import OnDispatch
from eliza_state.feed.source import FeedSource
from eliza_state.journal.claims import Claims
from eliza_state.journal.contract import Journal
from eliza_state.journal.source import JournalSource
from eliza_state.limits import Limits
from eliza_state.plugins.source import PluginSource
from eliza_state.snapshot_source import SnapshotSource
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.tree import Tree


@attrs.frozen(kw_only=True)
class Sources:
    """Where the parts of a store lie, and how it is to be used; nothing is open yet."""

    tree: Tree
    journal: JournalSource
    snapshots: SnapshotSource
    plugins: PluginSource
    feed: FeedSource
    limits: Limits
    archived: OnDispatch


@attrs.frozen(kw_only=True)
class Resources:
    """What is open of a store, until `closing` is closed.

    `applied` is the last position of the journal when it was opened. `is_unsafe` tells that the store's
    files may be written by others in spite of the lease.
    """

    journal: Journal
    applied: int
    snapshots: SnapshotStore | None
    claims: Claims
    is_unsafe: bool
    closing: AsyncExitStack


async def opened(sources: Sources) -> Resources:
    """Open what lies in these places; `StoreError` if it cannot be opened or is held by others.

    Snapshots are opened by themselves, since a store is of use without them.
    """
    async with AsyncExitStack() as closing:
        lease = sources.journal.lease()
        if lease is not None:
            closing.callback(lease.release)
        journal = await asyncio.to_thread(sources.journal.journal)
        closing.callback(journal.close)
        snapshots = None
        if sources.snapshots.is_any:
            snapshots = SnapshotStore(sources.snapshots, epoch=journal.epoch)
            closing.push_async_callback(snapshots.close)
        return Resources(
            journal=journal,
            applied=await asyncio.to_thread(journal.head),
            snapshots=snapshots,
            claims=sources.journal.claims(journal.writer),
            is_unsafe=lease is not None and lease.is_unsafe,
            closing=closing.pop_all(),
        )


class Closable(Protocol):
    """What can be closed, and waited for."""

    async def close(self) -> None:
        """Release what is held."""


M = TypeVar("M", bound=Closable)


class Opening(Generic[M]):
    """A manager about to be opened: await it, or enter it as an asynchronous context."""

    def __init__(self, start: Callable[[], Awaitable[M]]) -> None:
        self._start = start
        self._manager: M | None = None

    def __await__(self) -> Generator[Any, None, M]:
        return self._start().__await__()

    async def __aenter__(self) -> M:
        self._manager = await self._start()
        return self._manager

    async def __aexit__(self, *_: object) -> None:
        assert self._manager is not None
        await self._manager.close()
