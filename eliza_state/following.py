"""Records that others have written, folded into the scopes that are in memory here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from eliza_state.change import Change, Record
from eliza_state.decoding import read_event
from eliza_state.event import FRAMEWORK_EVENTS, RESTORE
from eliza_state.heads import Heads
from eliza_state.lifecycle import Phase, Step
from eliza_state.path import Path
from eliza_state.problems import Problems
from eliza_state.recovery import Recovered
from eliza_state.scopes import LiveScope, Scopes
from eliza_state.tree import Transition, Tree

Reread: TypeAlias = Mapping[tuple[Path, int], Recovered]
"""Scopes that were read from the store, by path and position."""


class Recover(Protocol):
    """Who reads the state of a scope at a position, away from the event loop."""

    async def __call__(self, path: Path, *, until: int) -> Recovered:
        """Return it. Raises `StoreError`."""
        ...


class Following:
    """Bring the published state up to what the journal has by now.

    The heads must hold nothing under way meanwhile. `recover` gives the state of a scope at a position,
    `writer` is this process's own.
    """

    def __init__(
        self,
        tree: Tree,
        scopes: Scopes,
        heads: Heads,
        *,
        writer: str,
        announce: Callable[[Change], None],
        recover: Recover,
        problems: Problems,
    ) -> None:
        self._tree = tree
        self._scopes = scopes
        self._heads = heads
        self._writer = writer
        self._announce = announce
        self._recover = recover
        self._problems = problems

    def follow(self, records: Iterable[Record], *, reread: Reread) -> None:
        """Take in records, in order, that the journal has and this process has not, and announce them.

        They are folded into the live scopes of their chains. Where one tells of an erasure or a restore, the
        scopes that it reaches get the state that `reread_for` has read; those that it has not are lost, and
        read before they are used again.
        """
        done: set[Path] = set()
        # Many records have few places, and no scope comes or goes meanwhile.
        places: dict[tuple[Path, str], tuple[list[LiveScope], bool]] = {}
        for record in records:
            if record.event in FRAMEWORK_EVENTS:
                self._follow_reread(record, reread, done)
                continue
            place = places.get(key := (record.path, record.event))
            if place is None:
                chain = self._scopes.live_chain(record.path)
                place = places[key] = chain, self._is_for(record, chain)
            self._follow(record, *place)

    async def reread_for(self, records: Sequence[Record]) -> Reread:
        """Read the live scopes anew that these records tell an erasure or a restore of.

        What is returned goes for `follow`, as long as nothing is awaited before that. Raises `StoreError`.
        """
        found: dict[tuple[Path, int], Recovered] = {}
        # Others may load scopes meanwhile.
        while missing := [place for place in self._to_reread(records) if place not in found]:
            for path, position in missing:
                found[path, position] = await self._recover(path, until=position)
        return found

    def needs_reread(self, records: Iterable[Record]) -> bool:
        """Tell whether `reread_for` would read anything."""
        return any(record.event in FRAMEWORK_EVENTS for record in records) and bool(self._to_reread(records))

    def _to_reread(self, records: Iterable[Record]) -> list[tuple[Path, int]]:
        """Return the live scopes that are to be read anew for these records, and at which positions."""
        found: list[tuple[Path, int]] = []
        done: set[Path] = set()
        for record in records:
            if record.event in FRAMEWORK_EVENTS:
                chain = self._scopes.live_chain(record.path)
                found += [(scope.path, record.position) for scope in self._reached(record, chain, done)]
        return found

    def _reached(self, record: Record, chain: Sequence[LiveScope], done: set[Path]) -> list[LiveScope]:
        """Return those of a chain's scopes that a record of the framework's changes.

        All that is on the journal by now is read without what was erased, so once is enough for those in
        `done`, where they are noted.
        """
        if record.event == RESTORE:
            return list(chain[len(record.path.steps) :])
        scopes = [scope for scope in self._erased(record, chain) if scope.path not in done]
        done.update(scope.path for scope in scopes)
        return scopes

    def _erased(self, record: Record, chain: Sequence[LiveScope]) -> list[LiveScope]:
        """Return those of a chain's scopes whose slices may have been made of what was erased."""
        told = read_event(self._tree, record, self._problems.report)
        if told is None:
            return list(chain)
        level = self._tree.hierarchy.level(record.path)
        kinds = [kind for name in told.events if (kind := self._tree.event_type(name)) is not None]
        steps = [step for kind in kinds for step in self._tree.plan(kind.cls, level).steps]
        depths = {step.depth for step in steps if not step.module.volatile}
        return [scope for depth, scope in enumerate(chain) if depth in depths]

    def _follow_reread(self, record: Record, reread: Reread, done: set[Path]) -> None:
        """Give the scopes that an erasure or a restore reaches the state that they have from there on."""
        self._heads.applied = record.position
        self._scopes.outdate(record.path)
        chain = self._scopes.live_chain(record.path)
        transitions: list[Transition] = []
        for scope in self._reached(record, chain, done):
            recovered = reread.get((scope.path, record.position))
            if recovered is None:
                scope.lost = True
                continue
            depth = len(scope.path.steps)
            changes = self._scopes.replace(scope, recovered)
            transitions += [(depth, name, before, after) for name, before, after in changes]
            if record.event == RESTORE:
                _live_again(scope, ended=recovered.ended)
        told = (record.event, record.schema_version)
        self._heads.note(chain, told, record.position, record.recorded_at_us, record.content)
        if len(chain) > len(record.path.steps):
            chain[-1].version = chain[-1].head_version = record.version
        if transitions:
            event = read_event(self._tree, record, self._problems.report)
            origin: Any = "local" if record.writer == self._writer else "remote"
            self._announce(Change(record, event, transitions, origin=origin))

    def _is_for(self, record: Record, chain: Sequence[LiveScope]) -> bool:
        """Tell whether an event is to be read: most of what others write is for scopes that are not here."""
        kind = self._tree.event_type(record.event)
        return not record.event or (kind is not None and self._reaches(kind.cls, record, chain))

    def _follow(self, record: Record, chain: Sequence[LiveScope], is_for_us: bool) -> None:
        self._heads.applied = record.position
        self._scopes.outdate(record.path)
        event = read_event(self._tree, record, self._problems.report) if is_for_us else None
        transitions = [] if event is None else self._fold(record, event, chain)
        told = (record.event, record.schema_version)
        self._heads.note(chain, told, record.position, record.recorded_at_us, record.content)
        if len(chain) > len(record.path.steps):
            scope, kind = chain[-1], self._tree.event_type(record.event)
            scope.version = scope.head_version = record.version
            scope.ended = scope.ending = kind is not None and kind.ends_scope
            scope.own_events.add(told)
            if kind is not None and record.schema_version > kind.version:
                self._scopes.look_for_newer(scope)
            if scope.ended and scope.phase is Phase.ACTIVE:
                scope.take(Step.END)
        if transitions:
            self._announce(Change(record, event, transitions, origin="remote"))

    def _reaches(self, cls: type, record: Record, chain: Sequence[LiveScope]) -> bool:
        """Tell whether an event is for a stored slice of one of these scopes."""
        plan = self._tree.plan(cls, self._tree.hierarchy.level(record.path))
        return any(step.depth < len(chain) and not step.module.volatile for step in plan.steps)

    def _fold(self, record: Record, event: Any, chain: Sequence[LiveScope]) -> list[Transition]:
        transitions: list[Transition] = []
        plan = self._tree.plan(type(event), self._tree.hierarchy.level(record.path))
        for step in plan.steps:
            if step.depth < len(chain) and not step.module.volatile:
                scope = chain[step.depth]
                before = scope.published[step.name]
                after = self._heads.fold_one(step, before, event, record=record)
                if after is not before:
                    scope.published[step.name] = scope.head[step.name] = after
                    transitions.append((step.depth, step.name, before, after))
        return transitions


def _live_again(scope: LiveScope, *, ended: bool) -> None:
    """Take a restored scope to where it stands in its life by the state that it was given."""
    scope.ended = scope.ending = ended
    if ended and scope.phase is Phase.ACTIVE:
        scope.take(Step.END)
    elif not ended and scope.phase is Phase.ARCHIVED:
        scope.take(Step.RESTORE)
