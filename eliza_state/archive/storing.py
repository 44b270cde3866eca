"""One pass that moves scopes into the archive, in small steps between which dispatches go on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs

from eliza_state.archive.errors import ArchiveBlocked
from eliza_state.archive.outcomes import Archived, Refused
from eliza_state.archive.parts import ArchiveParts, Working, for_a_while, until_done
from eliza_state.archive.states import FinalStates
from eliza_state.errors import StateError, StoreError
from eliza_state.journal.archive.erasing import Erasing
from eliza_state.journal.archive.storing import SEGMENT_BYTES, Moving, Storing
from eliza_state.path import Path
from eliza_state.problems import Problem

_TRIES: Final = 3
_NAMED_AT_ONCE: Final = 10


@attrs.define
class StorePass:
    """Move scopes while all others are kept from it; `lenient` goes on after one that is refused."""

    parts: ArchiveParts
    working: Working
    lenient: bool
    _states: FinalStates = attrs.field(init=False)
    _storing: Storing = attrs.field(init=False)
    _moved: list[Moving] = attrs.Factory(list[Moving])
    _refused: list[Refused] = attrs.Factory(list[Refused])

    def __attrs_post_init__(self) -> None:
        parts = self.parts
        self._states = FinalStates(parts.tree, parts.journal, parts.reading)
        self._storing = Storing(parts.archive)

    @property
    def is_stopped(self) -> bool:
        """Tell whether a scope was refused that ends the pass."""
        return bool(self._refused) and not self.lenient

    async def sweep(self) -> None:
        """Remove the segments that no row names."""
        await self.parts.reading.run(Erasing(self.parts.archive).sweep)

    async def run(self, paths: Sequence[Path]) -> int:
        """Move scopes as long as they fill one segment, and return how many of them are done with."""
        await self.parts.reading.run(self._storing.check_is_no_replica)
        left: Sequence[Path] = paths
        done = 0
        for _ in range(_TRIES):
            packed, count = await self._pack(left)
            done = done or count
            left = [moving.path for moving in await self._name(packed)]
            if not left:
                break
        for path in left:
            self._refused.append(
                Refused(path, ArchiveBlocked(path.encode(), reason="events keep coming to it"))
            )
        await until_done(for_a_while(self._storing.clear), self.parts, self.parts.pace())
        await self._remove_snapshots()
        return done

    async def _pack(self, paths: Sequence[Path]) -> tuple[list[Moving], int]:
        """Write blocks of scopes, and return them with the number of scopes that were looked at."""
        pace = self.parts.pace()
        packed: list[Moving] = []
        looked_at = 0
        for path in paths:
            if self.is_stopped or self._storing.open_bytes >= SEGMENT_BYTES // 2:
                break
            looked_at += 1
            try:
                moving = await self._packed(path)
            except StateError as error:
                self._refused.append(Refused(path, error))
            else:
                packed += [] if moving is None else [moving]
            await pace.rest()
        await self.parts.reading.run(self._storing.finish)
        return packed, looked_at

    async def _packed(self, path: Path) -> Moving | None:
        """Pack a scope; `None` if there is nothing to move. Raises what holds it back."""
        parts = self.parts
        position = await parts.reading.run(partial(parts.archive.last_movable, path))
        if not position:
            return None
        self._states.check_live(path, parts.scopes)
        reason = self.working(path, position)
        if reason:
            raise ArchiveBlocked(path.encode(), reason=reason)
        return await parts.reading.run(partial(self._pack_here, path))

    def _pack_here(self, path: Path) -> Moving | None:
        self._states.check(path)
        return self._storing.add(path, self._states.of)

    async def _name(self, packed: Sequence[Moving]) -> list[Moving]:
        """Name what is written, a few scopes at a time, and return what records have reached meanwhile."""
        pace = self.parts.pace()
        left: list[Moving] = []
        for start in range(0, len(packed), _NAMED_AT_ONCE):
            some = packed[start : start + _NAMED_AT_ONCE]
            overtaken = await self._name_some(some)
            left += overtaken
            named = [moving for moving in some if moving not in overtaken]
            self._moved += named
            await pace.rest()
        return left

    async def _name_some(self, some: Sequence[Moving]) -> list[Moving]:
        if not self.parts.is_buffered:
            return self._noted(some, await self.parts.write(partial(self._storing.name, some)))
        async with self.parts.dispatcher.paused():  # what was announced is written, and nothing is meanwhile
            return self._noted(some, await self.parts.write(partial(self._storing.name, some)))

    def _noted(self, some: Sequence[Moving], left: list[Moving]) -> list[Moving]:
        for moving in some:
            if moving not in left:
                self.parts.note(moving.path, archived=True)
        return left

    async def _remove_snapshots(self) -> None:
        """Remove the snapshots whose states are in the archive now; what stays is of no harm."""
        snapshots = self.parts.snapshots
        if snapshots is None:
            return
        pace = self.parts.pace()
        for moving in self._moved:
            for path in moving.stated:
                remove = partial(snapshots.remove, path, before=moving.blocks[-1].row.last_position + 1)
                try:
                    await self.parts.reading.run(remove)
                except StoreError as error:
                    message = f"a snapshot of what is archived could not be removed: {error}"
                    self.parts.problems.report(Problem("snapshot", message, path, error))
                await pace.rest()

    def outcome(self) -> Archived:
        """Return what came of it so far."""
        return Archived(
            paths=tuple(moving.path for moving in self._moved),
            records=sum(moving.records for moving in self._moved),
            scopes=sum(moving.scopes for moving in self._moved),
            bytes_before=sum(moving.content_bytes for moving in self._moved),
            bytes_after=sum(moving.size_bytes for moving in self._moved),
            refused=tuple(self._refused),
        )
