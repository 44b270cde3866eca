"""A store that is open and used, and gives way while it is synchronised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self

from eliza_serializers import Seal
from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.files import StrPath
from eliza_state.limits import DEFAULT_LIMITS, Limits
from eliza_state.manager import StateManager
from eliza_state.module import Composition, StateModule
from eliza_state.opening import Opening
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy
from eliza_state.plugins import PluginPlace
from eliza_state.snapshot_source import SnapshotPlace
from eliza_state.synchronizer.stamps import MAX_DRIFT_MS
from eliza_state.synchronizer.synchronizing import SyncReport, synchronize


class Replica:
    """A store with a manager that is closed while records of another replica come in, and opened anew after.

    Made by `open`; belongs to the event loop it was opened in. `manager` is the one that is open; handles and
    subscriptions of the one before end with it, as the positions that they know do.
    """

    def __init__(self, url: str, *, start: Callable[[], Opening[StateManager]], **options: Any) -> None:
        """Keep what it takes to open the manager; users call `open`."""
        self.url = url
        self._start = start
        self._options = options
        self._manager: StateManager | None = None
        self._turn = asyncio.Lock()

    @classmethod
    def open(  # noqa: PLR0913  # keyword-only; what a manager is opened with
        cls,
        url: str,
        *,
        modules: Iterable[StateModule[Any] | Composition] = (),
        hierarchy: Hierarchy = DEFAULT_HIERARCHY,
        snapshots: SnapshotPlace = True,
        plugins: PluginPlace = None,
        secret_keys: Seal | None = None,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], int] = now_us,
        max_drift_ms: int = MAX_DRIFT_MS,
    ) -> Opening[Self]:
        """Open a store as a replica, to be awaited or entered; the options are those of `StateManager.open`.

        `url` is that of a SQLite file, made if it is not there. What is further than `max_drift_ms` ahead of
        `clock` is not taken in. Raises what `StateManager.open` does.
        """
        members = tuple(modules)
        shared: dict[str, Any] = {"hierarchy": hierarchy, "secret_keys": secret_keys, "clock": clock}

        def start() -> Opening[StateManager]:
            return StateManager.open(
                url, modules=members, snapshots=snapshots, plugins=plugins, limits=limits, **shared
            )

        async def opening() -> Self:
            replica = cls(url, start=start, modules=members, max_drift_ms=max_drift_ms, **shared)
            replica._manager = await start()
            return replica

        return Opening(opening)

    @property
    def manager(self) -> StateManager:
        """The open manager; `StoreError` while the store is synchronised, and once the replica is closed."""
        if self._manager is None:
            raise StoreError("the replica is being synchronised, or closed; there is no manager now")
        return self._manager

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[str]:
        """Close the manager, yield the URL of the store, for a `ReplicaLog`, and open a manager anew.

        One pause at a time; a second caller waits.
        """
        async with self._turn:
            manager, self._manager = self.manager, None
            try:
                await manager.close()
                yield self.url
            finally:
                self._manager = await self._start()

    async def sync(self, other: StrPath, *, join: bool = False, create: bool = False) -> SyncReport:
        """Make this and another replica equal: see `synchronize`, which tells what it raises, too.

        `other` is the URL of a store that nobody has open, or the name of a file.
        """
        async with self.paused() as url:
            return await synchronize(url, other, join=join, create=create, **self._options)

    async def close(self) -> None:
        """Close the manager, once a synchronisation that goes on is done; closing twice does nothing."""
        async with self._turn:
            manager, self._manager = self._manager, None
            if manager is not None:
                await manager.close()
