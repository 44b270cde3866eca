"""Folding records into the slices of a scope one by one, keeping the state after each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from eliza_state.change import Record
from eliza_state.decoding import in_batches, read_event, read_events
from eliza_state.errors import Rejected
from eliza_state.event import RESTORE
from eliza_state.problems import Problem, Problems
from eliza_state.recovery import reduce_slice
from eliza_state.tree import Stage, Tree

_KEPT_REPORTS = 1_000


class Moment(NamedTuple):
    """The state of one scope after a record.

    `version` counts the records addressed to the scope up to then, `position` is that of the last record at
    or below it; both are 0 before the first. `slices` is never changed.
    """

    slices: Mapping[str, Any]
    version: int = 0
    position: int = 0


Stages: TypeAlias = Mapping[int, tuple[Stage, ...]]
"""The stored slices that an event reaches, by the depth of their scope."""

Restored: TypeAlias = Callable[[Record], Moment]
"""Give the state of a scope after a record that restored it."""

_NONE: Stages = {}


class Folding:
    """Fold records by today's code, as recovery does, and report each thing that is wrong once."""

    def __init__(self, tree: Tree, *, problems: Problems) -> None:
        self._tree = tree
        self._problems = problems
        self._reported: set[tuple[str, str]] = set()
        self._stages: dict[tuple[str, str], Stages] = {}

    def forget(self) -> None:
        """Look the reducers up anew: modules were registered."""
        self._stages.clear()

    def stages(self, record: Record) -> Stages:
        """Return the stored slices that a record's event reaches, by depth; none for one nobody knows."""
        level = self._tree.hierarchy.level(record.path)
        found = self._stages.get((record.event, level))
        if found is None:
            found = self._stages[record.event, level] = self._look_up(record.event, level)
        return found

    def _look_up(self, event: str, level: str) -> Stages:
        kind = self._tree.event_type(event)
        if kind is None:
            return _NONE
        stages: dict[int, tuple[Stage, ...]] = {}
        for stage in self._tree.make_plan(kind.cls, level).steps:
            if not stage.module.volatile:
                stages[stage.depth] = (*stages.get(stage.depth, ()), stage)
        return stages

    def event(self, record: Record) -> Any:
        """Return a record's event; `None` if it cannot be had."""
        return read_event(self._tree, record, self._report)

    def folded(
        self, start: Moment, records: Iterable[Record], *, depth: int, restored: Restored
    ) -> Iterator[tuple[Record, Moment]]:
        """Yield each record with the state after it, of the scope at `depth` on the records' paths.

        `restored` gives the state after a record that restored the scope.
        """
        slices, version = start.slices, start.version
        for record, stages, event in self._reaching(records, depth):
            is_own = len(record.path.steps) == depth
            if is_own and record.event == RESTORE:
                slices = restored(record).slices
            elif stages:
                slices = self.reduced(slices, stages, record, event)
            version = record.version if is_own else version
            yield record, Moment(slices, version, record.position)

    def fold(self, start: Moment, records: Sequence[Record], *, depth: int, restored: Restored) -> Moment:
        """Return the last state that `folded` gives, in less time; `start` for no records."""
        slices, version = dict(start.slices), start.version
        report = self._report
        for record, stages, event in self._reaching(records, depth):
            if len(record.path.steps) == depth:
                version = record.version
                if record.event == RESTORE:
                    slices = dict(restored(record).slices)
            for stage in stages if event is not None else ():
                name = stage.name
                if record.position > stage.module.since_position and name in slices:
                    slices[name] = reduce_slice(stage, slices[name], event, record=record, report=report)
        return Moment(slices, version, records[-1].position) if records else start

    def _reaching(
        self, records: Iterable[Record], depth: int
    ) -> Iterator[tuple[Record, tuple[Stage, ...], Any]]:
        """Yield each record with the slices at a depth that its event reaches, and the event if it does."""
        for batch in in_batches(records):
            stages = [self.stages(record).get(depth, ()) for record in batch]
            wanted = batch if all(stages) else list(itertools.compress(batch, stages))
            events = iter(read_events(self._tree, wanted, self._report))
            yield from zip(batch, stages, [next(events) if some else None for some in stages], strict=True)

    def after(
        self, moment: Moment, stages: Iterable[Stage], record: Record, event: Any, *, is_own: bool
    ) -> Moment:
        """Return the state of one scope after a record; `event` is `None` where it could not be had."""
        slices = self.reduced(moment.slices, stages, record, event)
        return Moment(slices, record.version if is_own else moment.version, record.position)

    def reduced(
        self, slices: Mapping[str, Any], stages: Iterable[Stage], record: Record, event: Any
    ) -> Mapping[str, Any]:
        """Return the slices of a scope after a record; the same object when nothing changed."""
        if event is None:
            return slices
        for stage in stages:
            if record.position > stage.module.since_position and stage.name in slices:
                before = slices[stage.name]
                after = reduce_slice(stage, before, event, record=record, report=self._report)
                if after is not before:
                    slices = {**slices, stage.name: after}
        return slices

    def _report(self, problem: Problem) -> None:
        # To look at the past again is no news, and after an erasure a refusal is none either.
        told = (problem.kind, problem.message)
        if told not in self._reported and not isinstance(problem.error, Rejected):
            if len(self._reported) == _KEPT_REPORTS:
                self._reported.clear()
            self._reported.add(told)
            self._problems.report(problem)
