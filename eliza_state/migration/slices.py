"""Looking at the snapshots of one scope as today's code would use them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from eliza_state.collector import collector_paused
from eliza_state.diff import diff, render
from eliza_state.errors import StateError
from eliza_state.journal.contract import Journal
from eliza_state.journal.lineage import stretches
from eliza_state.migration.report import Fault
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.recovery import Recovered, fetching, is_usable, recover
from eliza_state.slice_migration import Use, migrate_slice, use_of
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.snapshots import ChunkMissing, ScopeSnapshot, SliceSnapshot, restore_slice
from eliza_state.tree import Tree


class StoredSlice(NamedTuple):
    """One slice of a usable snapshot, and what becomes of it."""

    path: Path
    snapshot: ScopeSnapshot
    stored: SliceSnapshot
    module: StateModule[Any]
    use: Use


class Look(NamedTuple):
    """What the snapshots of one scope hold; `unusable` counts those that cannot be used at all."""

    slices: tuple[StoredSlice, ...]
    unusable: int
    is_outdated: bool


class SliceExaminer:
    """Look at stored slices in a reader's thread; nothing is changed, and nothing set aside."""

    def __init__(self, tree: Tree, journal: Journal, snapshots: SnapshotStore) -> None:
        self._tree = tree
        self._journal = journal
        self._snapshots = snapshots

    def look(self, path: Path) -> Look:
        """Return what a scope's snapshots hold for the modules of today."""
        modules = self._modules(path)
        unusable: list[StateError] = []
        if not modules:
            return Look((), 0, False)
        found = self._snapshots.load(path, report=unusable.append, with_aside=True)
        head, erased_at = self._journal.head(), self._journal.erased_at(path)
        usable = [
            snapshot
            for snapshot in found
            if snapshot.position >= erased_at
            and is_usable(self._journal, snapshot, until=head, lose=unusable.append)
        ]
        slices = tuple(one for snapshot in usable for one in self._slices(path, snapshot, modules))
        way = tuple(stretches(self._journal, path, until=head))
        # Those of what a restore has undone are of no use for the present.
        current = tuple(
            one for one in slices if any(stretch.reaches(one.snapshot.position) for stretch in way)
        )
        return Look(slices, len(unusable), bool(usable) and _is_outdated(current, modules))

    def _modules(self, path: Path) -> dict[str, StateModule[Any]]:
        modules = self._tree.modules(self._tree.hierarchy.level(path))
        return {name: module for name, module in modules.items() if not module.volatile}

    def _slices(
        self, path: Path, snapshot: ScopeSnapshot, modules: Mapping[str, StateModule[Any]]
    ) -> list[StoredSlice]:
        return [
            StoredSlice(path, snapshot, stored, module, self._use(snapshot, stored, module))
            for stored in snapshot.slices
            if (module := modules.get(stored.module)) is not None
        ]

    def _use(self, snapshot: ScopeSnapshot, stored: SliceSnapshot, module: StateModule[Any]) -> Use:
        return use_of(stored, module, handled=self._tree.handled(stored.module), events=snapshot.events)

    def check(self, found: StoredSlice) -> Fault | None:
        """Compare a stored slice, migrated if it is to be, with the fold; return what is wrong, if anything.

        A slice of which a chunk is missing is not to be used, which is no fault of the migration's.
        """
        path, position = found.path, found.snapshot.position
        try:
            with collector_paused():
                state = self._state(found)
            folded = self._folded(path, position).slices[found.stored.module]
            reason = render(diff(folded, state))
        except ChunkMissing:
            return None
        except StateError as error:
            reason = str(error)
        if not reason:
            return None
        stored = found.stored
        return Fault(
            module=stored.module, version=stored.module_version, path=path, position=position, reason=reason
        )

    def _state(self, found: StoredSlice) -> Any:
        """Return the state that a stored slice stands for, its chunks not loaded unless it is migrated."""
        path, codec = found.path, self._tree.codec
        fetch = fetching(self._snapshots, path, found=Recovered({}), lose=lambda _: None)
        if found.use is Use.MIGRATED:
            return migrate_slice(found.module, found.stored, fetch, codec=codec)
        place = f"{self._journal.epoch}{path.encode()}"
        return restore_slice(found.module, found.stored.body, fetch, place=place, codec=codec)

    def _folded(self, path: Path, position: int) -> Recovered:
        # What cannot be folded was told when the records were read.
        fold = partial(recover, self._tree, self._journal, path, until=position)
        return fold(snapshots=None, report=lambda _: None)


def _is_outdated(slices: tuple[StoredSlice, ...], modules: Mapping[str, StateModule[Any]]) -> bool:
    """Tell whether today's code wants another snapshot of a scope than is there, and newer code has none."""
    current = {one.stored.module for one in slices if one.use is Use.AS_IT_IS}
    is_left = any(one.use is Use.LEFT for one in slices)
    return not is_left and not modules.keys() <= current
