"""Events on their way through the live scopes: reduced on the heads, then published.

A scope has two states in memory. The *head* is what dispatches see and build on before anything is
durable; the *published* state is what readers get. Both change in here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from eliza_state.change import Change, Record, SliceChange
from eliza_state.errors import ScopeArchived, StaleState, StateError
from eliza_state.journal.contract import Draft
from eliza_state.lifecycle import Phase, Step
from eliza_state.problems import Problems
from eliza_state.recovery import read_event, reduce_slice
from eliza_state.scopes import LiveScope, Scopes
from eliza_state.tree import Plan, Transition, Tree


@attrs.define(eq=False)
class Pending:
    """One event on its way: what it is, what it made of the heads, and what became of it."""

    event: Any
    plan: Plan
    scope: LiveScope
    key: bytes
    content: Any
    cause: str | None = None
    expected_version: int | None = None
    version: int = 0
    transitions: Sequence[Transition] = ()
    recorded_at_us: int = 0
    result: Change | StateError | None = None
    durable: asyncio.Future[None] | None = None

    def draft(self) -> Draft:
        """Return what the journal is to store."""
        kind = self.plan.event
        return Draft(
            self.key,
            self.scope.path,
            self.version,
            kind.name,
            kind.version,
            self.content,
            self.cause,
            self.recorded_at_us,
        )


class Heads:
    """Reduce events on the heads of the live scopes and publish what the journal has taken.

    `applied` is the last position whose record is in the published state.
    """

    def __init__(
        self,
        tree: Tree,
        scopes: Scopes,
        *,
        applied: int,
        writer: str,
        announce: Callable[[Change], None],
        problems: Problems,
    ) -> None:
        self._tree = tree
        self._scopes = scopes
        self._writer = writer
        self._announce = announce
        self._problems = problems
        self.applied = applied

    def enter(self, members: Sequence[Pending], *, lenient: bool = False) -> None:
        """Reduce events one after the other on the heads, and mark their scopes as changing.

        Raises what refuses one of them, and takes the others back; when `lenient`, the refusal becomes
        that one's result instead.
        """
        for number, pending in enumerate(members):
            try:
                self._reduce(pending)
            except StateError as error:
                if not lenient:
                    self.take_back(members[:number])
                    raise
                pending.result = error
            else:
                self._account(pending)

    def enter_again(self, members: Sequence[Pending], *, lenient: bool) -> StateError | None:
        """Reduce entered events anew after the heads were reset.

        One that is refused now gets the error as its result; unless `lenient`, all of them do, and the
        error is returned.
        """
        for number, pending in enumerate(members):
            if isinstance(pending.result, StateError):
                continue
            try:
                self._reduce(pending)
            except StateError as error:
                if not lenient:
                    self.take_back(members[:number])
                    self.give_up(members[number:], error)
                    return error
                self.give_up([pending], error)
        return None

    def _reduce(self, pending: Pending) -> None:
        """Reduce one event on the heads of its chain; on an error they are as before."""
        scope = pending.scope
        for above in scope.chain:
            if above.ending:
                raise ScopeArchived(above.path.encode())
        expected = pending.expected_version
        if expected is not None and expected != scope.head_version:
            raise StaleState(path=scope.path.encode(), expected=expected, actual=scope.head_version)
        heads = scope.heads
        transitions = self._tree.reduce(pending.plan, heads, pending.event, scope.path)
        for depth, name, _, after in transitions:
            heads[depth][name] = after
        pending.transitions = transitions
        if pending.plan.stored:
            scope.head_version += 1
            scope.ending = pending.plan.event.ends_scope
        pending.version = scope.head_version

    def take_back(self, members: Sequence[Pending]) -> None:
        """Undo reductions that are the last ones on their heads, and forget the events."""
        for pending in reversed(members):
            if isinstance(pending.result, StateError):
                continue
            scope = pending.scope
            for depth, name, before, _ in reversed(pending.transitions):
                scope.heads[depth][name] = before
            if pending.plan.stored:
                scope.head_version -= 1
                scope.ending = scope.ended
            self._release(pending, Step.FAIL)

    def give_up(self, members: Iterable[Pending], error: StateError) -> None:
        """Let go of events whose reductions the heads no longer hold, with the error as their result."""
        for pending in members:
            if not isinstance(pending.result, StateError):
                pending.result = error
                self._release(pending, Step.FAIL)

    def reset(self) -> None:
        """Make the heads anew from the published state: all that was reduced is to be entered again."""
        for scope in self._scopes:
            if scope.pending:
                scope.reset_head()

    def _account(self, pending: Pending) -> None:
        scope = pending.scope
        scope.take(Step.CHANGE)
        scope.own_pending += 1
        for above in scope.chain:
            above.pending += 1

    def _release(self, pending: Pending, step: Step) -> None:
        """Count an event out; once nothing of the scope's own is under way, its life goes on."""
        scope = pending.scope
        scope.own_pending -= 1
        for above in scope.chain:
            above.pending -= 1
        if not scope.own_pending:
            scope.take(step)
            if step is Step.FAIL and scope.ended:
                scope.take(Step.END)

    def saved(self, pending: Pending) -> None:
        """Count an event out that is as durable as the journal makes it."""
        self._release(pending, Step.SAVE)

    def live_on(self, pending: Pending) -> None:
        """Let a scope whose last change is saved and announced take the next one, or end."""
        scope = pending.scope
        if scope.phase is Phase.PERSISTED:
            scope.take(Step.END if scope.ended else Step.CONTINUE)

    def show(self, pending: Pending, *, position: int, recorded_at_us: int) -> None:
        """Make a pending event's transitions the published state and announce the change."""
        scope, kind, stored = pending.scope, pending.plan.event, pending.plan.stored
        chain = scope.chain
        slices: list[SliceChange] = []
        for depth, name, before, after in pending.transitions:
            changed = chain[depth]
            changed.published[name] = after
            slices.append(SliceChange(changed.path, name, before, after))
        if stored:
            self.applied = max(self.applied, position)
            scope.version = pending.version
            scope.ended = kind.ends_scope
        record = Record(
            position if stored else 0,
            pending.key,
            scope.path,
            pending.version,
            kind.name,
            kind.version,
            pending.content,
            recorded_at_us,
            self._writer,
            pending.cause,
        )
        if stored:
            self._note(chain, record)
        pending.result = change = Change(record, pending.event, tuple(slices))
        if slices:
            self._announce(change)

    def _note(self, chain: Iterable[LiveScope], record: Record) -> None:
        """Keep the scopes' figures for a record that has become part of their state."""
        content = record.content
        size_bytes = len(content) if isinstance(content, bytes) else 0
        for scope in chain:
            scope.position = record.position
            scope.last_activity_us = record.recorded_at_us
            scope.last_key = record.key
            scope.tail += 1
            scope.tail_bytes += size_bytes
            scope.size_bytes += size_bytes
            self._scopes.size_bytes += size_bytes

    # Records that the journal holds whatever we think of them

    def refold(self, pending: Pending) -> None:
        """Reduce an event that is on the journal already, on heads that others have changed meanwhile."""
        scope = pending.scope
        record = Record(0, pending.key, scope.path, 0, pending.plan.event.name, 0, pending.content, 0, "")
        transitions: list[Transition] = []
        for step in pending.plan.steps:
            before = scope.heads[step.depth][step.name]
            after = reduce_slice(step, before, pending.event, record=record, report=self._problems.report)
            if after is not before:
                scope.heads[step.depth][step.name] = after
                transitions.append(Transition(step.depth, step.name, before, after))
        pending.transitions = transitions
        scope.head_version += 1
        pending.version = scope.head_version
        scope.ending = pending.plan.event.ends_scope

    def follow(self, record: Record) -> None:
        """Fold a record that another process wrote into the live scopes of its chain and announce it.

        Its scopes' heads must hold nothing under way.
        """
        self.applied = record.position
        self._scopes.outdate(record.path)
        chain = self._scopes.live_chain(record.path)
        event = read_event(self._tree, record, self._problems.report)
        slices = [] if event is None else self._fold(record, event, chain)
        self._note(chain, record)
        kind = self._tree.event_type(record.event)
        if len(chain) > len(record.path.steps):
            scope = chain[-1]
            scope.version = scope.head_version = record.version
            scope.ended = scope.ending = kind is not None and kind.ends_scope
            if scope.ended and scope.phase is Phase.ACTIVE:
                scope.take(Step.END)
        if slices:
            self._announce(Change(record, event, tuple(slices), origin="remote"))

    def _fold(self, record: Record, event: Any, chain: Sequence[LiveScope]) -> list[SliceChange]:
        slices: list[SliceChange] = []
        plan = self._tree.plan(type(event), self._tree.hierarchy.level(record.path))
        for step in plan.steps:
            if step.depth < len(chain) and not step.module.volatile:
                scope = chain[step.depth]
                before = scope.published[step.name]
                after = reduce_slice(step, before, event, record=record, report=self._problems.report)
                if after is not before:
                    scope.published[step.name] = scope.head[step.name] = after
                    slices.append(SliceChange(scope.path, step.name, before, after))
        return slices
