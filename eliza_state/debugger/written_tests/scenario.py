"""What a written test tells: the states before, the events, the states after, as a test driver has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from eliza_serializers.serializer import UNTYPED
from eliza_state import diff as structural
from eliza_state.change import Record
from eliza_state.debugger.folding import Folding
from eliza_state.debugger.history import History
from eliza_state.debugger.masking import masked, read_masked
from eliza_state.debugger.ranges import Range
from eliza_state.errors import InvalidEvent, Rejected, StateError
from eliza_state.event import RESTORE
from eliza_state.module import Composition, StateModule
from eliza_state.path import Path
from eliza_state.problems import Problems
from eliza_state.testing import TreeDriver
from eliza_state.tree import Tree


@attrs.frozen
class Slice:
    """The state of a module's slice at a scope."""

    path: Path
    name: str
    module: StateModule[Any]
    state: Any


@attrs.frozen
class Step:
    """A record of the range: with its event or, where the test leaves it out, why it does.

    One that restored its scope has no event but the slices that it gave back, as they were at `target`.
    """

    record: Record
    event: Any = None
    left_out: str = ""
    restored: tuple[Slice, ...] = ()
    target: int = 0


@attrs.frozen
class Scenario:
    """Given these states, when these events come, then these states; of these modules."""

    records: Range
    modules: Mapping[str, StateModule[Any]]
    given: tuple[Slice, ...]
    steps: tuple[Step, ...]
    then: tuple[Slice, ...]


class Staging:
    """Make a scenario of records, and try it out; used where the history may be."""

    def __init__(self, history: History, records: Range, *, names: frozenset[str] | None) -> None:
        self._history = history
        self._tree: Tree = history.tree
        self._records = records
        self._names = names
        self._depth = len(records.path.steps)
        self._folding = Folding(self._tree, problems=Problems())
        self._is_masked = False

    def scenario(self, found: Iterable[Record]) -> Scenario:
        """Return what the records tell of the modules that they reach.

        Raises `StateError` for records that reach none, and where a driver comes to other states than the
        fold, so that no test could be true.
        """
        steps = [self._step(record) for record in found]
        modules = self._modules(steps)
        if not modules:
            raise StateError("the records reach no module there; a test would have nothing to look at")
        scopes = self._scopes(steps, modules)
        given = self._states(scopes, self._records.first - 1)
        driver = TreeDriver(*_registered(modules), hierarchy=self._tree.hierarchy)
        for one in given:
            driver.given(one.name, one.state, of=one.path)
        done = tuple(
            self._restored(driver, step.record, modules, names=scopes.get(step.record.path, ()))
            if step.record.event == RESTORE
            else self._sent(driver, step, modules)
            for step in steps
        )
        then = tuple(
            Slice(path, name, modules[name], driver.state(name, of=path))
            for path, names in scopes.items()
            for name in names
        )
        self._check(then)
        return Scenario(self._records, modules, given, done, then)

    def _step(self, record: Record) -> Step:
        kind = self._tree.event_type(record.event)
        if record.is_erased or kind is None:
            return Step(record, left_out="it was erased" if record.is_erased else "nobody knows its event")
        payload, secrets = masked(record.payload)
        self._is_masked = self._is_masked or secrets > 0

        def read(text: bytes) -> Any:
            return self._tree.codec.decode(kind, text, schema_version=record.schema_version)

        try:
            return Step(record, read_masked(read, payload) if secrets else read(payload))
        except InvalidEvent as error:
            return Step(record, left_out=f"it cannot be read: {error}")

    def _modules(self, steps: Iterable[Step]) -> dict[str, StateModule[Any]]:
        """Return the modules at and below the scope that the events reach, by slice name."""
        found: dict[str, StateModule[Any]] = {}
        for step in steps:
            for depth, stages in self._folding.stages(step.record).items() if step.event is not None else ():
                for stage in stages if depth >= self._depth else ():
                    if self._names is None or stage.name in self._names:
                        found[stage.name] = stage.module
        return found

    def _scopes(self, steps: Iterable[Step], modules: Mapping[str, Any]) -> dict[Path, list[str]]:
        """Return the slices, by scope, that the events reach."""
        found: dict[Path, list[str]] = {}
        for step in steps:
            if step.event is None:
                continue
            for depth, path in enumerate(step.record.path.chain()):
                for stage in self._folding.stages(step.record).get(depth, ()) if depth >= self._depth else ():
                    names = found.setdefault(path, [])
                    if stage.name in modules and stage.name not in names:
                        names.append(stage.name)
        return {path: found[path] for path in sorted(found, key=lambda path: len(path.steps)) if found[path]}

    def _states(self, scopes: Mapping[Path, list[str]], position: int) -> tuple[Slice, ...]:
        """Return those slices that are not as they begin, at a position."""
        states: list[Slice] = []
        for path, names in scopes.items() if position else ():
            slices = self._history.at(path, position).slices
            modules = self._tree.modules(self._tree.hierarchy.level(path))
            states += [
                Slice(path, name, modules[name], self._hidden(modules[name], slices[name]))
                for name in names
                if structural.diff(modules[name].initial_state(), slices[name])
            ]
        return tuple(states)

    def _hidden(self, module: StateModule[Any], state: Any) -> Any:
        """Return a state with placeholders in its secrets."""
        written = module.serialize(state)
        as_type = module.state_type if written is state and module.state_type is not None else UNTYPED
        serializer = self._tree.codec.serializer
        text, secrets = masked(serializer.encode(written, as_type=as_type))
        if not secrets:
            return state
        self._is_masked = True
        read = read_masked(lambda payload: serializer.decode(payload, as_type=as_type), text)
        return module.deserialize(read)

    def _sent(self, driver: TreeDriver, step: Step, modules: Mapping[str, Any]) -> Step:
        """Send an event to the driver, unless no module there handles it; tell what came of it."""
        if step.event is None:
            return step
        stages = self._folding.stages(step.record).values()
        if not any(stage.name in modules for several in stages for stage in several):
            return attrs.evolve(step, event=None)
        try:
            driver.send(step.record.path, step.event)
        except StateError as error:
            what = f"it is refused: {error.reason}" if isinstance(error, Rejected) else str(error)
            return Step(step.record, left_out=what)
        return step

    def _restored(
        self,
        driver: TreeDriver,
        record: Record,
        modules: Mapping[str, StateModule[Any]],
        *,
        names: Iterable[str],
    ) -> Step:
        """Give the driver those slices, of these names, that a record restored."""
        restore = self._history.journal.restored_at(record.path, until=record.position)
        if restore is None or restore.position != record.position:
            return Step(record, left_out="what it restores is not on the journal")
        slices = self._history.at(record.path, record.position).slices
        restored = tuple(
            Slice(record.path, name, modules[name], self._hidden(modules[name], slices[name]))
            for name in names
            if modules[name].restorable
        )
        for one in restored:
            driver.given(one.name, one.state, of=one.path)
        return Step(record, restored=restored, target=restore.target)

    def _check(self, then: Iterable[Slice]) -> None:
        if self._is_masked:
            return  # what a reducer makes of secrets, it makes of placeholders otherwise
        for one in then:
            wanted = self._history.at(one.path, self._records.last).slices[one.name]
            differences = structural.diff(wanted, one.state)
            if differences:
                where = one.path.encode() or "the root"
                raise StateError(
                    f"the events alone do not lead to the state of {one.name!r} at {where}, so no test of"
                    f" them would hold:\n{structural.render(differences)}"
                )


def _registered(modules: Mapping[str, StateModule[Any]]) -> list[StateModule[Any] | Composition]:
    return [
        Composition(name.rpartition(".")[0], (module,)) if "." in name else module
        for name, module in modules.items()
    ]
