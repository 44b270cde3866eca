"""A look back: all scopes as they were at one position, to be read and not to be written."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, overload

import attrs

from eliza_state.debugger.comparing import SnapshotDiff, diff
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.snapshot import StateSnapshot
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.scope import StateTree

S = TypeVar("S")


@attrs.frozen
class Past:
    """A store as it was once `position` was taken: every scope at that one cut, by today's code.

    Volatile slices, which no record tells of, are as they begin. Made by `Debugger.at`; it stays true
    whatever comes after it, and lasts as long as its manager. `path` is the scope that it was made for, where
    its methods begin if they are not told another.
    """

    position: int
    path: Path
    recorded_at: datetime.datetime | None
    _looking: Looking = attrs.field(repr=False, eq=False)

    @overload
    async def state(self, path: Path | str | None, module: type[StateModule[S]]) -> S: ...
    @overload
    async def state(self, path: Path | str | None, module: str) -> Any: ...
    @overload
    async def state(self, path: Path | str | None = None) -> Mapping[str, Any]: ...
    async def state(self, path: Path | str | None = None, module: Any = None) -> Any:
        """Return the state that a module's slice had at a scope, or all slices of the scope by name.

        A scope that no event had reached yet has the initial states. Raises `RegistrationError` for a module
        that is not registered at the scope's level.
        """
        found = self._path(path)
        moment = await self._looking.moment(found, self.position)
        if module is None:
            return dict(moment.slices)
        return moment.slices[self._looking.slice_name(module, found)]

    async def tree(self, path: Path | str | None = None, *, depth: int | None = None) -> StateTree:
        """Return the states of a scope and of those below it that had records, `depth` levels down."""
        return await self._looking.states(self._path(path), depth, self.position)

    async def snapshot(self, path: Path | str | None = None, *, depth: int | None = None) -> StateSnapshot:
        """Return the same as `tree` as a snapshot, to be compared with others."""
        return await self._looking.snapshot(await self.tree(path, depth=depth), self.position)

    async def diff(
        self, other: Past | StateSnapshot | None = None, *, depth: int | None = None
    ) -> SnapshotDiff:
        """Return what differs from here to another past or a snapshot, of this scope and those below it.

        Without one it is compared with the state as it is now.
        """
        if other is None:
            other = attrs.evolve(self, position=await self._looking.last())
        if isinstance(other, Past):
            other = await other.snapshot(self.path, depth=depth)
        return diff(await self.snapshot(depth=depth), other)

    def _path(self, path: Path | str | None) -> Path:
        return self.path if path is None else self._looking.path_of(path)
