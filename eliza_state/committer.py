"""Groups of events on their way to the journal: together, in order, retried or given up.

Dispatches reduce at once on the heads, so that each sees what those before it did, and wait together for
one transaction. When the journal has taken a batch, its changes are published in position order. If others
wrote first, or the journal refused, the heads are made anew from what is published and the dispatches
under way reduce again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from eliza_state.change import Record
from eliza_state.errors import StateError, StoreError
from eliza_state.following import Following, Reread
from eliza_state.heads import Heads
from eliza_state.hearing import Hearing
from eliza_state.journal.contract import Appended, Conflict, InArchive, Journal
from eliza_state.journal.writer import Outcome, Writer
from eliza_state.pending import Group, Pending, Stopwatch
from eliza_state.problems import Problem, Problems
from eliza_state.snapshotter import Snapshotter

_MAX_BATCH: Final = 2_000
_RETRY_S: Final = 0.2


class Committer:
    """Take groups of events to the journal and publish what came of them.

    With `flush_interval_ms` the changes are published when they enter, and written within that time
    (0: at once); without, they are published when they are durable. `max_queued` bounds the events that
    wait for the journal, `queue_timeout_ms` how long a dispatch waits for room among them.
    """

    def __init__(  # noqa: PLR0913  # keyword-only; made by the manager alone
        self,
        heads: Heads,
        journal: Journal,
        *,
        writer: Writer | None,
        snapshotter: Snapshotter | None,
        problems: Problems,
        following: Following,
        hearing: Hearing,
        flush_interval_ms: int | None,
        max_queued: int,
        queue_timeout_ms: int,
    ) -> None:
        self._heads = heads
        self._journal = journal
        self._writer = writer
        self._problems = problems
        self._following = following
        self._hearing = hearing
        self._reading: asyncio.Task[None] | None = None
        self._snapshotter = snapshotter
        self._buffer_s = None if flush_interval_ms is None else flush_interval_ms / 1_000
        self._max_queued = max_queued
        self._queue_timeout_s = queue_timeout_ms / 1_000
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Group] = deque()
        self._batch: list[Group] = []
        self._timer: asyncio.Handle | None = None
        self._shrunk = asyncio.Event()
        self._broken: StoreError | None = None
        if writer is None and journal.durable:
            self._broken = StoreError("the store is open for reading only; open it for writing to dispatch")
        self._queued = 0
        self._written = heads.applied
        self.stopwatch: Stopwatch | None = None
        """Takes how long batches need to be durable, from before they are reduced; `None`: nobody does."""

    @property
    def written(self) -> int:
        """The last position known to be durable."""
        return self._written

    @property
    def queued(self) -> int:
        """How many events wait for the journal."""
        return self._queued

    @property
    def max_queued(self) -> int:
        """How many events may wait for the journal."""
        return self._max_queued

    @property
    def is_buffered(self) -> bool:
        """Tell whether changes are published before they are durable."""
        return self._buffer_s is not None

    @property
    def is_full(self) -> bool:
        """Tell whether a dispatch has to wait for room."""
        return self._queued >= self._max_queued

    def is_next(self, pending: Pending) -> bool:
        """Tell whether an event is the first of the batch that is written in the next turn of the loop."""
        return not self._batch and bool(self._queue) and self._queue[0] is pending.group

    async def room(self) -> None:
        """Wait until another event may enter; `StoreError` when that takes too long."""
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                while self.is_full:
                    self._shrunk.clear()
                    await self._shrunk.wait()
        except TimeoutError:
            raise StoreError(
                f"{self._queued} events wait for the store, which does not keep up; nothing was dispatched,"
                " try again later"
            ) from None

    def enter(self, members: list[Pending], *, lenient: bool = False) -> Group | None:
        """Reduce a group on the heads and send it on its way; nothing waits in here.

        Return the group to wait for, or `None` when it is durable already. Raises what refuses a group
        that is not lenient; then it has left no trace.
        """
        if self._broken is not None:
            raise StoreError(str(self._broken))
        watch, entered_ns = self.stopwatch, None
        if watch is not None and not (self._queue and self._queue[0].entered_ns):
            entered_ns = watch.now_ns()  # for the first group of a batch: those behind it wait less
        self._heads.enter(members, lenient=lenient)
        if lenient:
            members = [pending for pending in members if pending.result is None]
        if self._writer is None or not self._has_to_wait(members):
            self._commit_at_once(members)
            return None
        group = self._put(members, lenient=lenient)
        group.entered_ns = entered_ns
        if self._buffer_s is not None:
            self._announce(members)
        return group

    def _has_to_wait(self, members: Sequence[Pending]) -> bool:
        """Tell whether a group is to be stored, or builds on what others have made of the heads so far."""
        if (members and members[0].plan.stored) or any(pending.plan.stored for pending in members):
            return True
        if self._buffer_s is not None:
            return False
        changed = (pending.scope.chain[depth] for pending in members for depth, *_ in pending.transitions)
        return any(scope.pending > sum(scope in each.scope.chain for each in members) for scope in changed)

    def _commit_at_once(self, members: Sequence[Pending]) -> None:
        """Commit to a journal that never waits, or, where all are volatile, to none."""
        position, recorded_at_us = self._heads.applied, self._journal.clock()
        drafts = [pending.draft() for pending in members if pending.plan.stored]
        if drafts:
            first, recorded_at_us, _ = self._journal.append(drafts, after=self._journal.head())
            position = first - 1
        for pending in members:
            position += pending.plan.stored
            self._heads.finish(pending, position=position, recorded_at_us=recorded_at_us)

    def _announce(self, members: Sequence[Pending]) -> None:
        """Publish what is still to be written: nobody else may write, so the positions are known."""
        root = members[0].scope.chain[0]
        recorded_at_us = max(self._journal.clock(), root.last_activity_us)
        for pending in members:
            pending.recorded_at_us = recorded_at_us
            position = self._heads.applied + pending.plan.stored
            self._heads.show(pending, position=position, recorded_at_us=recorded_at_us)

    def _put(self, members: list[Pending], *, lenient: bool = False) -> Group:
        group = Group(members, lenient)
        self._queue.append(group)
        self._queued += len(members)
        self._schedule()
        return group

    async def flush(self) -> None:
        """Wait until all that has entered is written; raises `StoreError` if an attempt fails meanwhile."""
        if self._writer is None:
            return
        marker = self._put([])
        self._hurry()
        await marker.settled()

    async def close(self) -> None:
        """Take no more events, and write what has entered; `StoreError` if some of it could not be."""
        closed = StoreError("the manager is closed; open the store anew")
        self._broken = self._broken or closed
        try:
            await self.flush()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for group in self._queue:
                if not group.members:  # who began to wait after this did
                    group.settle(closed)

    def follow(self, records: Sequence[Record], *, reread: Reread) -> None:
        """Take in records that are on the journal already, while nothing of our own is under way.

        `reread` holds scopes that were read anew because of erasures or restores among the records; see
        `Following.follow`.
        """
        self._following.follow(records, reread=reread)
        self._written = self._heads.applied

    # Writing

    def _schedule(self) -> None:
        if self._timer is None and not self._batch and self._queue:
            if self._buffer_s:
                self._timer = self._loop.call_later(self._buffer_s, self._write)
            else:
                # One turn of the loop later, so that dispatches of the same turn share a transaction.
                self._timer = self._loop.call_soon(self._write)

    def _hurry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._batch:
            self._timer = self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._timer = None
        batch: list[Group] = []
        size = 0
        while self._queue and size < _MAX_BATCH:
            batch.append(self._queue.popleft())
            size += len(batch[-1].members)
        if self._queue and self._queue[0].entered_ns is None:
            self._queue[0].entered_ns = batch[0].entered_ns  # it came in then at the earliest
        self._batch = batch
        drafts = [pending.draft() for pending in _stored(batch)]
        if drafts and self._writer is not None:
            self._writer.append(drafts, after=self._written, done=self._written_batch, alone=len(drafts) == 1)
        elif self._buffer_s is None:
            self._publish(batch, Appended(self._written + 1, self._journal.clock()), {})
        else:
            self._conclude(batch)

    def _written_batch(self, outcome: Outcome) -> None:
        """Take in what came of a batch; before that, read what that takes of what others wrote first."""
        if isinstance(outcome, Appended | Conflict) and self._has_to_read(outcome.missed):
            self._reading = self._loop.create_task(self._read_for(outcome))
        else:
            self._take_outcome(outcome)

    def _has_to_read(self, missed: Sequence[Record]) -> bool:
        return bool(missed) and (bool(self._hearing.needs(missed)) or self._following.needs_reread(missed))

    async def _read_for(self, outcome: Appended | Conflict) -> None:
        reread: Reread = {}
        async with contextlib.AsyncExitStack() as kept:
            try:
                await kept.enter_async_context(self._hearing.loaded(outcome.missed))
                reread = await self._following.reread_for(outcome.missed)
            except Exception as error:  # noqa: BLE001  # those who wait for the batch must not wait for ever
                message = f"changes of others are not told: {error}"
                self._problems.report(Problem("journal", message, None, error))
            self._take_outcome(outcome, reread)

    def _take_outcome(self, outcome: Outcome, reread: Reread | None = None) -> None:
        batch = self._batch
        if isinstance(outcome, Appended):
            if self._buffer_s is None:
                self._publish(batch, outcome, reread or {})
            else:
                self._saved(batch, outcome)
        elif isinstance(outcome, Conflict):
            self._queue.extendleft(reversed(batch))
            self._overtaken(outcome, reread or {})
            self._batch = []
            self._schedule()
        elif isinstance(outcome, InArchive):
            self._queue.extendleft(reversed(batch))
            self._refused(outcome)
            self._batch = []
            self._schedule()
        elif self._buffer_s is None:
            self._give_up(batch, outcome)
        else:
            self._keep(batch, outcome)

    def _conclude(self, batch: Sequence[Group], error: StateError | None = None) -> None:
        self._batch = []
        self._queued -= sum(len(group.members) for group in batch)
        self._shrunk.set()
        if self._snapshotter is not None and error is None:
            touched = {pending.scope for pending in _stored(batch)}
            self._snapshotter.look_at(touched, written=self._written)
        if self.stopwatch is not None and error is None:
            _time(batch, self.stopwatch)
        for group in batch:
            group.settle(error)
        self._schedule()

    def _publish(self, batch: Sequence[Group], outcome: Appended, reread: Reread) -> None:
        heads = self._heads
        members = [pending for group in batch for pending in group.members if pending.result is None]
        if outcome.missed:
            heads.reset()
            self._following.follow(outcome.missed, reread=reread)
            for pending in members:
                heads.refold(pending)
            self._enter_again(outcome.missed)
        position = outcome.first_position - 1
        for pending in members:
            position += pending.plan.stored
            heads.finish(pending, position=position, recorded_at_us=outcome.recorded_at_us)
        self._written = position
        self._conclude(batch)

    def _overtaken(self, conflict: Conflict, reread: Reread) -> None:
        """Take in what others wrote first, then reduce what is under way on top of it."""
        if self._buffer_s is not None:
            self._broken = StoreError(
                "another process wrote to the store that this one holds for itself; open it anew"
            )
            self._problems.report(Problem("journal", str(self._broken)))
            self._conclude(tuple(self._queue), self._broken)
            self._queue.clear()
            return
        self._heads.reset()
        self._following.follow(conflict.missed, reread=reread)
        self._written = self._heads.applied
        self._enter_again([*conflict.missed, *conflict.known])

    def _refused(self, answer: InArchive) -> None:
        """Refuse what is addressed to scopes that others have archived, and reduce the rest anew."""
        self._heads.note_archived(answer.scopes)
        if self._buffer_s is not None:
            self._overtaken(Conflict(()), {})
            return
        self._heads.reset()
        self._enter_again()

    def _enter_again(self, found: Sequence[Record] = ()) -> None:
        """Reduce what is in the queue anew; one whose id is among the records found is answered with that."""
        known = {(record.path, record.key): record for record in found}
        for group in self._queue:
            error = self._heads.enter_again(group.members, lenient=group.lenient, missed=known)
            if error is not None:
                group.settle(error)

    def _give_up(self, batch: Sequence[Group], error: StoreError) -> None:
        """Fail a batch that could not be stored; those behind it reduce again without it."""
        self._problems.report(
            Problem("journal", f"{len(list(_stored(batch)))} records were not stored: {error}")
        )
        self._heads.reset()  # before the events are let go of: it is for scopes with something under way
        for group in batch:
            self._heads.give_up(group.members, error)
        self._enter_again()
        self._conclude(batch, error)

    # Writing what was announced before

    def _saved(self, batch: Sequence[Group], outcome: Appended) -> None:
        if outcome.missed:
            self._overtaken(Conflict(outcome.missed), {})
        for pending in itertools.chain.from_iterable(group.members for group in batch):
            self._heads.saved(pending)
            self._heads.live_on(pending)
        self._written = outcome.first_position + len(list(_stored(batch))) - 1
        self._conclude(batch)

    def _keep(self, batch: Sequence[Group], error: StoreError) -> None:
        """Put a batch that was announced back in its place, and try again soon."""
        self._problems.report(
            Problem("journal", f"{self._queued} announced records wait to be stored: {error}")
        )
        for group in batch:
            if not group.members:
                group.settle(error)
        self._queue.extendleft(group for group in reversed(batch) if group.members)
        self._batch = []
        self._timer = self._loop.call_later(_RETRY_S, self._write)


def _time(batch: Sequence[Group], watch: Stopwatch) -> None:
    """Tell how long a batch took, unless it came in while nobody timed it."""
    entered_ns, count = None, 0
    for group in batch:
        if entered_ns is None:
            entered_ns = group.entered_ns
        if group.members:
            count += 1
    if entered_ns is not None and count:
        watch.took(entered_ns, watch.now_ns(), count)


def _stored(batch: Sequence[Group]) -> Iterator[Pending]:
    """The events of a batch that the journal takes."""
    for group in batch:
        for pending in group.members:
            answered = isinstance(pending.result, StateError) or (pending.result and pending.result.duplicate)
            if pending.plan.stored and not answered:
                yield pending
