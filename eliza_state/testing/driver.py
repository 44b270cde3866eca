"""Modules without a store: given these events, this state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeVar, overload

from eliza_state.change import SliceChange
from eliza_state.checking import ImpureReducer, check_reducers
from eliza_state.errors import ScopeArchived
from eliza_state.module import Composition, StateModule
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path
from eliza_state.snapshots import dump_slice, restore_slice
from eliza_state.tree import Tree

S = TypeVar("S")

Facts: TypeAlias = Iterable[tuple[Any, Path | str]]
"""Events with the paths they are addressed to, as `StateManager.dispatch_all` takes them."""


class TreeDriver:
    """Dispatch events over scopes that live in a dict: modules under test, with nothing around them.

    An event takes the way it takes through a store: written as JSON and read back, root first along the
    chain, refused by the addressed scope alone. So what passes here fits a store. With `checked`, a reducer
    that changes its state or its event, or gives another result when it is run again, is a `ReducerError`.
    Raises `RegistrationError` for modules that cannot work together.
    """

    def __init__(
        self,
        *modules: StateModule[Any] | Composition,
        hierarchy: Hierarchy = DEFAULT_HIERARCHY,
        checked: bool = False,
    ) -> None:
        self.tree = Tree(modules, hierarchy=hierarchy)
        if checked:
            check_reducers(self.tree, _refuse)
        self._scopes: dict[Path, dict[str, Any]] = {}
        self._versions: dict[Path, int] = {}
        self._ended: set[Path] = set()

    @property
    def paths(self) -> list[Path]:
        """The scopes that events have reached, and those above them, in the order of their first event."""
        return list(self._scopes)

    def send(self, to: Path | str, *events: Any) -> list[SliceChange]:
        """Dispatch events to a scope, one after the other; return the slices that changed, root first.

        Raises what a dispatch raises: `UnknownTransition`, `InvalidEvent`, `Rejected`, `ReducerError`,
        `ScopeArchived`. The event that is refused has changed nothing; those before it have.
        """
        path = self._path(to)
        changes: list[SliceChange] = []
        for event in events:
            changes += self._send(path, event)
        return changes

    def _send(self, path: Path, event: Any) -> list[SliceChange]:
        plan = self.tree.plan(type(event), self.tree.hierarchy.level(path))
        if not plan.steps:
            raise self.tree.unknown(plan.event.name, path)
        ended = next((above for above in path.chain() if above in self._ended), None)
        if ended is not None:
            raise ScopeArchived(ended.encode())
        codec = self.tree.codec
        stored = codec.decode(plan.event, codec.encode(event), schema_version=plan.event.version)
        chain = list(path.chain())
        found = [self._slices(scope) for scope in chain]
        transitions = self.tree.reduce(plan, found, stored, path)
        self._scopes.update(zip(chain, found, strict=True))
        self._versions[path] = self._versions.get(path, 0) + plan.stored
        if plan.stored and plan.event.ends_scope:
            self._ended.add(path)
        changes: list[SliceChange] = []
        for depth, name, before, after in transitions:
            found[depth][name] = after
            changes.append(SliceChange(chain[depth], name, before, after))
        return changes

    def given(self, module: str | type[StateModule[S]], state: S, *, of: Path | str = "") -> None:
        """Put a state where events would have brought it: the slice of a module, at a scope.

        A scope that has ended goes on from there, as one that is restored does.
        """
        path = self._path(of)
        self._ended.discard(path)
        name = self.tree.slice_name(module, level=self.tree.hierarchy.level(path))
        for scope in path.chain():
            self._scopes[scope] = self._slices(scope)
        self._scopes[path][name] = state

    @overload
    def state(self, module: type[StateModule[S]], *, of: Path | str = ...) -> S: ...
    @overload
    def state(self, module: str, *, of: Path | str = ...) -> Any: ...
    def state(self, module: Any, *, of: Path | str = "") -> Any:
        """Return the state of a module's slice of a scope: initial, if no event has reached it."""
        path = self._path(of)
        name = self.tree.slice_name(module, level=self.tree.hierarchy.level(path))
        return self._slices(path)[name]

    def slices(self, of: Path | str = "") -> Mapping[str, Any]:
        """Return all slices of a scope by name."""
        return dict(self._slices(self._path(of)))

    def version(self, of: Path | str) -> int:
        """Return how many stored events were addressed to a scope."""
        return self._versions.get(self._path(of), 0)

    def restored(self, module: type[StateModule[S]], *, of: Path | str = "") -> S:
        """Return a slice as it comes back from a snapshot; it should equal the state.

        Raises `StateError` for a state that cannot be written or read.
        """
        path = self._path(of)
        name = self.tree.slice_name(module, level=self.tree.hierarchy.level(path))
        member = self.tree.modules(self.tree.hierarchy.level(path))[name]
        dump = dump_slice(member, self._slices(path)[name], place=path.encode())
        restored: S = restore_slice(member, dump.body, lambda _: dump.chunks, place="")
        return restored

    def _path(self, to: Path | str) -> Path:
        return self.tree.hierarchy.check(Path.decode(to) if isinstance(to, str) else to)

    def _slices(self, path: Path) -> dict[str, Any]:
        found = self._scopes.get(path)
        return self.tree.initial(self.tree.hierarchy.level(path)) if found is None else found


def _refuse(fault: ImpureReducer) -> None:
    raise fault


def fold(
    modules: Iterable[StateModule[Any] | Composition],
    events: Facts,
    *,
    hierarchy: Hierarchy = DEFAULT_HIERARCHY,
) -> dict[Path, Mapping[str, Any]]:
    """Return the slices of every scope that the events reach, by path and name.

    Raises what a dispatch raises; see `TreeDriver.send`.
    """
    driver = TreeDriver(*modules, hierarchy=hierarchy)
    for event, path in events:
        driver.send(path, event)
    return {path: driver.slices(path) for path in driver.paths}
