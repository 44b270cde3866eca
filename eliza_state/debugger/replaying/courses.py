"""One course of a history: the states of the scopes that its records reach, folded as recovery folds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import attrs

from eliza_state.change import Record
from eliza_state.debugger.folding import Folding, Moment
from eliza_state.debugger.replaying.returns import Returns
from eliza_state.debugger.snapshot import ScopeState
from eliza_state.errors import StateError
from eliza_state.event import RESTORE
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems
from eliza_state.recovery import reduce_slice
from eliza_state.tree import Tree

Place: TypeAlias = tuple[Path, str]
"""A slice: the scope, and the name of its module."""


class Taken(NamedTuple):
    """What a record did to one slice, and by which module."""

    before: Any
    after: Any
    module: StateModule[Any]


_NOTHING: Final[Mapping[Place, Taken]] = MappingProxyType({})


@attrs.define
class _Scope:
    slices: dict[str, Any]
    version: int
    position: int


class Course:
    """Fold records into the scopes at and below one.

    `start` gives the state of a scope at a position before them; `report` is told of reducers that refuse or
    fail. `returns` says where restores lead.
    """

    def __init__(
        self,
        tree: Tree,
        below: Path,
        *,
        start: Callable[[Path, int], Moment],
        report: Callable[[Problem], None],
        returns: Returns,
    ) -> None:
        self.tree = tree
        self._start = start
        self._report = report
        self._returns = returns
        self._kept: dict[tuple[Path, int], Mapping[str, Any]] = {}
        self._depth = len(below.steps)
        self._folding = Folding(tree, problems=Problems())
        self._scopes: dict[Path, _Scope] = {}

    def slices(self, path: Path) -> dict[str, Any]:
        """Return the slices of a scope as they are now."""
        return self._scope(path).slices

    def take(self, record: Record, event: Any, known: Mapping[Place, Taken] = _NOTHING) -> dict[Place, Taken]:
        """Fold a record and return what it did; `event` is `None` where it cannot be had.

        `known` is what the same event did on another course: a slice that was the same object there, under
        the same module, is not reduced again.
        """
        taken: dict[Place, Taken] = {}
        stages = self._folding.stages(record) if event is not None else {}
        for depth, path in enumerate(_chain(record.path)[self._depth :], self._depth):
            scope = self._scope(path)
            scope.position = record.position
            scope.version += path == record.path
            if record.event == RESTORE and path == record.path:
                taken = self._restore(record, scope)
            for stage in stages.get(depth, ()):
                if stage.name not in scope.slices or record.position <= stage.module.since_position:
                    continue
                before = scope.slices[stage.name]
                told = known.get((path, stage.name))
                if told is not None and told.before is before and told.module is stage.module:
                    after = told.after
                else:
                    after = reduce_slice(stage, before, event, record=record, report=self._report)
                scope.slices[stage.name] = after
                taken[path, stage.name] = Taken(before, after, stage.module)
        return taken

    def keep(self, position: int) -> None:
        """Keep what restores will want of the states after the record at a position."""
        for path in self._returns.kept.get(position, ()):
            self._kept[path, position] = dict(self.slices(path))

    def _restore(self, record: Record, scope: _Scope) -> dict[Place, Taken]:
        """Give a scope the state that a restore leads to on this course."""
        past = self._past(record)
        modules = self.tree.modules(self.tree.hierarchy.level(record.path))
        taken: dict[Place, Taken] = {}
        for name, module in modules.items():
            is_concerned = not module.volatile and module.restorable and name in scope.slices
            if past is not None and is_concerned and record.position > module.since_position:
                taken[record.path, name] = Taken(scope.slices[name], past[name], module)
                scope.slices[name] = past[name]
        return taken

    def _past(self, record: Record) -> Mapping[str, Any] | None:
        target = self._returns.targets.get(record.position)
        if target is None:
            return None
        if target < self._returns.first:
            return self._start(record.path, target).slices
        kept = self._kept.get((record.path, target))
        if kept is None:
            message = f"record {record.position} restores what comes after it there; it is left out"
            self._report(Problem("record", message, record.path))
        return kept

    def states(self, paths: Mapping[Path, object]) -> dict[Path, ScopeState]:
        """Return the scopes of these paths as they are now."""
        found = {path: self._scope(path) for path in paths}
        level = self.tree.hierarchy.level
        return {
            path: ScopeState(level(path), scope.version, scope.position, MappingProxyType(scope.slices))
            for path, scope in found.items()
        }

    @property
    def paths(self) -> Mapping[Path, object]:
        """The scopes that records have reached, parents first."""
        return self._scopes

    def _scope(self, path: Path) -> _Scope:
        scope = self._scopes.get(path)
        if scope is None:
            start = self._start(path, self._returns.first - 1)
            scope = self._scopes[path] = _Scope(dict(start.slices), start.version, start.position)
        return scope


@lru_cache(maxsize=4_096)
def _chain(path: Path) -> tuple[Path, ...]:
    return tuple(path.chain())


def check_takes_over(old: Tree, new: Tree, *, first: int) -> None:
    """Raise `StateError` if a changed module would have to go on from a state of another shape."""
    if first == 1:
        return
    for level in old.hierarchy.levels:
        for name, module in new.modules(level).items():
            before = old.modules(level).get(name)
            if before is not None and before.version != module.version:
                raise StateError(
                    f"the changed module {name!r} is of version {module.version}, the states before position"
                    f" {first} of version {before.version}: replay from the first record on"
                )


def start_of(old: Tree, new: Tree, path: Path, moment: Moment, *, first: int) -> Moment:
    """Return the state in which a scope begins under changed modules, from that under the present ones."""
    level = old.hierarchy.level(path)
    before = old.modules(level)
    slices: dict[str, Any] = {}
    for name, module in new.modules(level).items():
        is_changed = before.get(name) is not module
        if is_changed and (first == 1 or name not in before):
            slices[name] = module.initial_state()
        else:
            slices[name] = moment.slices[name]
    return moment._replace(slices=slices)
