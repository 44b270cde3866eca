"""The final states of scopes that go into the archive, and what in them holds a scope back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from eliza_state.archive.errors import ArchiveBlocked
from eliza_state.archived_snapshot import pack_state
from eliza_state.journal.contract import Journal
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.reading import Reading
from eliza_state.recovery import Recovered
from eliza_state.scopes import Scopes
from eliza_state.snapshotter import ScopeState, dump_scope
from eliza_state.tree import Tree

MIN_RECORDS: Final = 64
"""From how many records on a scope below the archived one has its final state kept too: fewer are folded."""


class FinalStates:
    """Read the states of scopes as of now, in a reader's thread, and write them down."""

    def __init__(self, tree: Tree, journal: Journal, reading: Reading) -> None:
        self._tree = tree
        self._journal = journal
        self._reading = reading

    def of(self, path: Path, reached: Counter[Path]) -> dict[str, bytes]:
        """Return the final states to keep of a scope and those below it, by the text of their paths.

        `reached` counts the records at and below each. Raises `StateError` for a state that cannot be
        written.
        """
        return {
            scope.encode(): state
            for scope, count in reached.items()
            if (scope == path or count >= MIN_RECORDS) and (state := self._packed(scope)) is not None
        }

    def _packed(self, path: Path) -> bytes | None:
        found = self._recovered(path)
        events = (frozenset(found.events), frozenset(found.own_events))
        state = ScopeState(path, found.slices, found.position, *events)
        snapshot, dumps = dump_scope(self._tree, self._journal, state, again=True)
        if not snapshot.slices:
            return None
        return pack_state(
            snapshot, {digest: content for dump in dumps for digest, content in dump.chunks.items()}
        )

    def _recovered(self, path: Path) -> Recovered:
        return self._reading.recover_here(path, self._journal.head())

    # What holds a scope back

    def check(self, path: Path) -> None:
        """Raise `ArchiveBlocked` if a stored slice of a scope, or of one below it, holds it back."""
        for scope in self._with_holders(path):
            _check(scope, self._holders(scope, volatile=False), self._recovered(scope).slices)

    def check_live(self, path: Path, scopes: Scopes) -> None:
        """Raise `ArchiveBlocked` if a volatile slice of a live scope, or of one below it, holds it back."""
        for live in scopes:
            if live.path == path or live.path.is_below(path):
                _check(live.path, self._holders(live.path, volatile=True), live.published)

    def _holders(self, path: Path, *, volatile: bool) -> dict[str, StateModule[Any]]:
        """Return the modules of a scope that may hold it back."""
        modules = self._tree.modules(self._tree.hierarchy.level(path)).items()
        return {
            name: module for name, module in modules if _may_block(module) and module.volatile is volatile
        }

    def _with_holders(self, path: Path) -> Iterator[Path]:
        """Yield the scopes at and below a path whose modules may hold them back."""
        if self._holders(path, volatile=False):
            yield path
        hierarchy, own = self._tree.hierarchy, self._tree.hierarchy.level(path)
        below = [level for level in hierarchy.levels if own in hierarchy.chain(level)[:-1]]
        if any(_may_block(module) for level in below for module in self._tree.modules(level).values()):
            for child in self._journal.children(path):
                yield from self._with_holders(child)


def _may_block(module: StateModule[Any]) -> bool:
    return type(module).blocks_archive is not StateModule.blocks_archive


def _check(path: Path, modules: Mapping[str, StateModule[Any]], slices: Mapping[str, Any]) -> None:
    for name, module in modules.items():
        if name in slices and module.blocks_archive(slices[name]):
            raise ArchiveBlocked(path.encode(), reason=f"module {name!r} holds it back", module=name)
