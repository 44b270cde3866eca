"""The parts that an event passes through, put together around an open journal.

Those before it in this list do not know those behind: reading, scopes, heads, the writer with its snapshots,
the committer, the dispatcher, and what takes in the records of other processes.
"""

from __future__ import annotations

import asyncio

from eliza_state.catching_up import CatchingUp
from eliza_state.committer import Committer
from eliza_state.dispatcher import Dispatcher
from eliza_state.following import Following
from eliza_state.heads import Heads
from eliza_state.hearing import Hearing
from eliza_state.journal.writer import Writer
from eliza_state.opening import Resources, Sources
from eliza_state.path import Path
from eliza_state.problems import Problems
from eliza_state.reading import Reading
from eliza_state.recovery import Recovered
from eliza_state.scopes import Scopes
from eliza_state.signals import Signals
from eliza_state.snapshotter import Snapshotter


class Core:
    """The way of one event, and what lies on it; see `StateManager.dispatch`.

    `sender` is whom receivers of `state:changed` are told by. `writer` is `None` for a store in memory and
    for one that is only read, `snapshots` and `snapshotter` where there are none.
    """

    def __init__(self, sources: Sources, resources: Resources, *, sender: object) -> None:
        self.tree = sources.tree
        self.limits = sources.limits
        self.journal = resources.journal
        self.snapshots = resources.snapshots
        self.database = sources.journal.database
        self.read_only = sources.journal.read_only
        self.is_buffered = sources.journal.exclusive
        self.problems = Problems()
        self.signals = Signals(sender, problems=self.problems)
        self.reading = Reading(self.tree, self.journal, snapshots=self.snapshots, problems=self.problems)
        self.scopes = Scopes(
            self.tree,
            self._recover,
            max_scopes=self.limits.max_scopes,
            max_bytes=self.limits.max_scope_bytes,
        )
        self.heads = Heads(
            self.tree,
            self.scopes,
            applied=resources.applied,
            writer=self.journal.writer,
            announce=self.signals.publish,
            problems=self.problems,
        )
        self.following = Following(
            self.tree,
            self.scopes,
            self.heads,
            writer=self.journal.writer,
            announce=self.signals.publish,
            recover=self.reading.recover,
            problems=self.problems,
        )
        self.writer = self._writer()
        self.snapshotter = self._snapshotter()
        self.hearing = Hearing(self.tree, self.scopes, self.signals)
        self.committer = self._committer()
        self.dispatcher = Dispatcher(
            self.tree, self.scopes, self.journal, heads=self.heads, committer=self.committer
        )
        self.catching_up = CatchingUp(
            self.heads,
            following=self.following,
            reading=self.reading,
            hearing=self.hearing,
            committer=self.committer,
            dispatcher=self.dispatcher,
        )

    def _writer(self) -> Writer | None:
        if self.read_only or not self.journal.durable:
            return None
        return Writer(
            self.journal,
            loop=asyncio.get_running_loop(),
            inline_below_ms=self.limits.inline_below_ms,
            busy_timeout_ms=self.limits.busy_timeout_ms,
        )

    def _snapshotter(self) -> Snapshotter | None:
        if self.writer is None or self.snapshots is None:
            return None
        return Snapshotter(
            self.tree,
            self.journal,
            scopes=self.scopes,
            snapshots=self.snapshots,
            reading=self.reading,
            problems=self.problems,
        )

    def _committer(self) -> Committer:
        return Committer(
            self.heads,
            self.journal,
            writer=self.writer,
            snapshotter=self.snapshotter,
            problems=self.problems,
            following=self.following,
            hearing=self.hearing,
            flush_interval_ms=self.limits.flush_interval_ms if self.is_buffered else None,
            max_queued=self.limits.max_queued,
            queue_timeout_ms=self.limits.queue_timeout_ms,
        )

    async def _recover(self, path: Path) -> Recovered:
        return await self.reading.recover(path, until=self.heads.applied)

    async def head(self) -> int:
        """Return the last position of the journal, which others may have moved."""
        return await self.reading.run(self.journal.head)

    async def flushed(self) -> int:
        """Return the last position, once all that was announced up to it can be read from the journal."""
        position = self.heads.applied
        if self.is_buffered:
            await self.committer.flush()
        return position
