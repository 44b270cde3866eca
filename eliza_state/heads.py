"""Events on their way through the live scopes: reduced on the heads, then published.

A scope has two states in memory. The *head* is what dispatches see and build on before anything is
durable; the *published* state is what readers get. Both change in here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from eliza_state.change import Change, Record
from eliza_state.decoding import read_event
from eliza_state.errors import InvalidEvent, NewerVersion, ScopeArchived, StaleState, StateError
from eliza_state.journal.memory import MemoryJournal
from eliza_state.lifecycle import LIVED_ON, SAVED, Phase, Step
from eliza_state.path import Path
from eliza_state.pending import Pending
from eliza_state.problems import Problems
from eliza_state.recovery import reduce_slice
from eliza_state.scopes import LiveScope, Scopes
from eliza_state.snapshots import ChunkMissing
from eliza_state.tree import EventVersion, Plan, Stage, Transition, Tree

# A named tuple's own constructor costs twice as much as this, which is all it does.
_new = tuple.__new__
# To look a member of an enum up takes Python 3.11 a thirtieth of a dispatch in memory.
_PERSISTED: Final = Phase.PERSISTED


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
        that one's result instead. `ChunkMissing` is no refusal: the scope has to be read anew first.
        """
        for number, pending in enumerate(members):
            try:
                self._reduce(pending)
            except StateError as error:
                if not lenient or isinstance(error, ChunkMissing):
                    self.take_back(members[:number])
                    raise
                pending.result = error
            else:
                self._account(pending)

    def enter_again(
        self, members: Sequence[Pending], *, lenient: bool, missed: Mapping[tuple[Path, bytes], Record]
    ) -> StateError | None:
        """Reduce entered events anew after the heads were reset.

        One whose id is among the records that others wrote, `missed`, is answered with that record. One
        that is refused now gets the error as its result; unless `lenient`, all of them do, and the error is
        returned.
        """
        for number, pending in enumerate(members):
            if pending.result is not None:
                continue
            record = missed.get((pending.scope.path, pending.key))
            try:
                if record is None:
                    self._reduce(pending)
                else:
                    self._recognise(pending, record)
            except StateError as error:
                if not lenient:
                    self.take_back(members[:number])
                    for taken in members[:number]:
                        taken.result = taken.result or error
                    self.give_up(members[number:], error)
                    return error
                self.give_up([pending], error)
        return None

    def _recognise(self, pending: Pending, record: Record) -> None:
        """Answer an event with the record that has its id; `InvalidEvent` if that is of another event."""
        known = read_event(self._tree, record, self._problems.report)
        if known != pending.event and not record.is_erased:
            raise InvalidEvent(
                f"the id {record.id!r} at {record.path.encode()!r} belongs to another event, which came first"
            )
        pending.result = Change(record, pending.event, duplicate=True)
        self._release(pending, Step.FAIL)

    def _reduce(self, pending: Pending) -> None:
        """Reduce one event on the heads of its chain; on an error they are as before."""
        scope = pending.scope
        for above in scope.chain:
            if above.ending:
                raise ScopeArchived(above.path.encode())
        if scope.archived:
            raise ScopeArchived(scope.path.encode(), restorable=True)
        if scope.newer is not None:
            raise self._newer(scope, *scope.newer)
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

    def _newer(self, scope: LiveScope, event: str, version: int) -> NewerVersion:
        kind = self._tree.event_type(event)
        known = 0 if kind is None else kind.version
        return NewerVersion(event=event, version=version, known=known, path=scope.path.encode())

    def take_back(self, members: Sequence[Pending]) -> None:
        """Undo reductions that are the last ones on their heads, and forget the events."""
        for pending in reversed(members):
            if pending.result is not None:
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
            if pending.result is None:
                pending.result = error
                self._release(pending, Step.FAIL)

    def note_archived(self, paths: Iterable[Path]) -> None:
        """Take in that scopes are in the archive: what is under way to them is to be refused."""
        for path in paths:
            self._scopes.note_archived(path, archived=True)

    def reset(self) -> None:
        """Make the heads anew from the published state: all that was reduced is to be entered again."""
        for scope in self._scopes:
            if scope.pending:
                scope.reset_head()

    def _account(self, pending: Pending) -> None:
        scope = pending.scope
        if scope.phase is not Phase.UPDATED:
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
        if scope.phase is _PERSISTED:
            scope.take(Step.END if scope.ended else Step.CONTINUE)

    def commit_now(self, scope: LiveScope, plan: Plan, event: Any, journal: MemoryJournal) -> Change:
        """Reduce, record and publish one stored event where nothing has to wait for anything.

        The same way as `enter`, `saved`, `show` and `live_on` in one straight line, because in memory the
        steps between them would cost more than the event.
        """
        chain = scope.chain
        for above in chain:
            if above.ending:
                raise ScopeArchived(above.path.encode())
        path, heads, kind = scope.path, scope.heads, plan.event
        transitions = self._tree.reduce(plan, heads, event, path)
        for depth, name, _, after in transitions:
            chain[depth].published[name] = heads[depth][name] = after
        scope.version = scope.head_version = version = scope.head_version + 1
        scope.phase = SAVED[scope.phase]
        record = journal.keep(path, version, kind, event)
        self.applied = position = record.position
        recorded_at_us = record.recorded_at_us
        for above in chain:
            above.position = position
            above.last_activity_us = recorded_at_us
        change = _new(Change, (record, event, transitions, False, "local"))
        if transitions:
            self._announce(change)
        if kind.ends_scope:
            scope.ended = scope.ending = True
        if scope.phase is _PERSISTED:
            scope.phase = LIVED_ON[scope.ended]
        return change

    def finish(self, pending: Pending, *, position: int, recorded_at_us: int) -> None:
        """Publish an event that the journal has taken."""
        self.saved(pending)
        self.show(pending, position=position, recorded_at_us=recorded_at_us)
        self.live_on(pending)

    def show(self, pending: Pending, *, position: int, recorded_at_us: int) -> None:
        """Make a pending event's transitions the published state and announce the change."""
        scope, kind, content = pending.scope, pending.plan.event, pending.content
        transitions, chain = pending.transitions, scope.chain
        for depth, name, _, after in transitions:
            chain[depth].published[name] = after
        if pending.plan.stored:
            self.applied = max(self.applied, position)
            scope.version = pending.version
            scope.ended = kind.ends_scope
            scope.own_events.add((kind.name, kind.version))
            self.note(chain, (kind.name, kind.version), position, recorded_at_us, content)
        else:
            position = 0
        record = _new(
            Record,
            (
                position,
                pending.key,
                scope.path,
                pending.version,
                kind.name,
                kind.version,
                content,
                recorded_at_us,
                self._writer,
                pending.cause,
            ),
        )
        pending.result = change = _new(Change, (record, pending.event, transitions, False, "local"))
        if transitions:
            self._announce(change)

    def note(
        self,
        chain: Sequence[LiveScope],
        event: EventVersion,
        position: int,
        recorded_at_us: int,
        content: Any,
    ) -> None:
        """Keep the scopes' figures for a record that has become part of their state."""
        size_bytes = len(content) if isinstance(content, bytes) else 0
        stored = self._tree.stored_levels
        for scope in chain:
            scope.events.add(event)
            scope.position = position
            scope.last_activity_us = recorded_at_us
            scope.tail += 1
            if scope.level in stored:  # what no module keeps is not in memory
                scope.tail_bytes += size_bytes
                self._scopes.size_bytes += size_bytes

    # Records that the journal holds whatever we think of them

    def refold(self, pending: Pending) -> None:
        """Reduce an event that is on the journal already, on heads that others have changed meanwhile."""
        scope = pending.scope
        record = Record(0, pending.key, scope.path, 0, pending.plan.event.name, 0, pending.content, 0, "")
        transitions: list[Transition] = []
        for step in pending.plan.steps:
            before = scope.heads[step.depth][step.name]
            after = self.fold_one(step, before, pending.event, record=record)
            if after is not before:
                scope.heads[step.depth][step.name] = after
                transitions.append((step.depth, step.name, before, after))
        pending.transitions = transitions
        if pending.plan.stored:
            scope.head_version += 1
            scope.ending = pending.plan.event.ends_scope
        pending.version = scope.head_version

    def fold_one(self, step: Stage, before: Any, event: Any, *, record: Record) -> Any:
        """Return a slice after a record of the journal; as it is, where that cannot be said just now."""
        try:
            return reduce_slice(step, before, event, record=record, report=self._problems.report)
        except ChunkMissing:
            # The scope is marked as lost and read anew from the journal before anybody uses it.
            return before
