"""The state of scopes at one position, held as it is: states are immutable, so nothing is copied."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, overload

import attrs

from eliza_state.debugger.documents import document
from eliza_state.errors import StateError
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.scope import StateTree

S = TypeVar("S")

Initial: TypeAlias = Callable[[str], Any]
"""Give the state that a slice begins with, by its name; `MISSING` for one of no module."""


@attrs.frozen
class ScopeState:
    """One scope of a snapshot.

    `slices` maps the names of its modules to their states, by which alone it is compared; `version` counts
    the records addressed to it, `position` is that of the last record at or below it.
    """

    level: str = attrs.field(eq=False)
    version: int = attrs.field(eq=False)
    position: int = attrs.field(eq=False)
    slices: Mapping[str, Any] = attrs.field(repr=lambda slices: f"<{', '.join(slices) or 'none'}>")

    def head(self) -> dict[str, Any]:
        """Return what the JSON form has of the scope besides its states."""
        return {"level": self.level, "version": self.version, "position": self.position}


@attrs.frozen
class SnapshotMetadata:
    """The figures of a snapshot.

    `modules` are the versions of the modules by slice name, `versions` those of the scopes; `records` counts
    the records addressed to the scopes in the snapshot.
    """

    modules: Mapping[str, int]
    scopes: int
    records: int
    versions: Mapping[Path, int]


@attrs.frozen(repr=False)
class StateSnapshot:
    """The state of one scope, a subtree or everything, at one position of the journal.

    `scopes` are the scopes with records, parents first, and the one that was asked for; `recorded_at` is when
    the journal took the record at the position, in UTC, `None` at position 0. Two snapshots are equal when
    they hold equal states at equal paths, whenever they were taken. `initial` gives the state that a slice
    begins with, by its name, where that is known.
    """

    position: int = attrs.field(eq=False)
    recorded_at: datetime.datetime | None = attrs.field(eq=False)
    scopes: Mapping[Path, ScopeState]
    modules: Mapping[str, int] = attrs.field(eq=False)
    initial: Initial | None = attrs.field(default=None, eq=False)

    def __repr__(self) -> str:
        """Name the scopes, not their states: those can be long."""
        first = ", ".join(repr(path.encode()) for path, _ in zip(self.scopes, range(3), strict=False))
        more = f", … {len(self.scopes) - 3} more" if len(self.scopes) > 3 else ""
        return f"StateSnapshot(position={self.position}, scopes: {first}{more})"

    @property
    def metadata(self) -> SnapshotMetadata:
        """The figures: versions of modules and scopes, and how many scopes and records there are."""
        versions = {path: scope.version for path, scope in self.scopes.items()}
        return SnapshotMetadata(self.modules, len(self.scopes), sum(versions.values()), versions)

    @overload
    def state(self, path: Path | str, module: type[StateModule[S]]) -> S: ...
    @overload
    def state(self, path: Path | str, module: str) -> Any: ...
    @overload
    def state(self, path: Path | str) -> Mapping[str, Any]: ...
    def state(self, path: Path | str, module: Any = None) -> Any:
        """Return the state of a module's slice at a scope, or all its slices by name.

        Raises `StateError`, naming what is there, for a scope or a slice that the snapshot does not hold.
        """
        wanted = Path.decode(path) if isinstance(path, str) else path
        scope = self.scopes.get(wanted)
        if scope is None:
            raise StateError(f"the snapshot has no scope {wanted.encode()!r}; {self._near(wanted)}")
        if module is None:
            return dict(scope.slices)
        name = module if isinstance(module, str) else module.name
        if name not in scope.slices:
            known = ", ".join(scope.slices) or "none"
            raise StateError(f"no slice {name!r} at {wanted.encode()!r}; there: {known}")
        return scope.slices[name]

    def _near(self, path: Path) -> str:
        known = [found.encode() for found in self.scopes][:2_000]
        near = difflib.get_close_matches(path.encode(), known, n=3, cutoff=0.5) or known[:3]
        return f"it has {', '.join(map(repr, near))}"

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as plain JSON data, secrets masked; see `eliza_state.debugger.documents`.

        An object with `position`, `recorded_at` (ISO 8601 or null), `modules` and `scopes`: by path their
        `level`, `version`, `position` and `slices`.
        """
        scopes = {path.encode(): scope_document(scope) for path, scope in self.scopes.items()}
        return {**self.head(), "scopes": scopes}

    def head(self) -> dict[str, Any]:
        """Return what the JSON form has of the snapshot besides its scopes."""
        recorded_at = None if self.recorded_at is None else self.recorded_at.isoformat()
        return {"position": self.position, "recorded_at": recorded_at, "modules": dict(self.modules)}


def scope_document(scope: ScopeState) -> dict[str, Any]:
    """Return one scope of a snapshot as plain JSON data."""
    return {**scope.head(), "slices": {name: document(state) for name, state in scope.slices.items()}}


def snapshot_of(
    tree: StateTree,
    *,
    position: int,
    recorded_at: datetime.datetime | None,
    modules: Mapping[str, int],
    initial: Initial,
) -> StateSnapshot:
    """Return what a tree of states, read at `position`, holds as a snapshot."""
    scopes = {
        found.path: ScopeState(found.level, found.version, found.position, MappingProxyType(found.slices))
        for found in _all(tree)
    }
    return StateSnapshot(position, recorded_at, MappingProxyType(scopes), modules, initial)


def _all(tree: StateTree) -> Iterator[StateTree]:
    yield tree
    for child in tree.children:
        yield from _all(child)
