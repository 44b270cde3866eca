"""What stands around the way of an event: queries, the archive, erasure, the feed, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from eliza_state.archive import Archive
from eliza_state.archive.parts import ArchiveParts, Working
from eliza_state.core import Core
from eliza_state.erasure import Eraser
from eliza_state.feed import Feed
from eliza_state.feed.changes import Past
from eliza_state.feed.feed import Follow
from eliza_state.intake import Intake
from eliza_state.opening import Resources, Sources
from eliza_state.path import Path
from eliza_state.plugins.source import OpenedLater
from eliza_state.query.answering import Answering
from eliza_state.query.elsewhere import Elsewhere
from eliza_state.query.queries import Queries
from eliza_state.scope import Access, Scope
from eliza_state.signals import Filter
from eliza_state.telling import Telling


class Parts:
    """Everything that a manager hands out or closes, put together around its core.

    `working` tells what still works on the records of a scope, which holds its archiving back.
    """

    def __init__(
        self,
        core: Core,
        sources: Sources,
        resources: Resources,
        *,
        working: Callable[[], Awaitable[Working]],
    ) -> None:
        self.core = core
        self.plugins = OpenedLater(sources.plugins, core.problems)
        self._closing = resources.closing
        upkeep = asyncio.Lock()
        elsewhere = Elsewhere(
            core.tree,
            core.journal,
            reading=core.reading,
            database=core.database,
            read_only=core.read_only,
            report=core.problems.report,
        )
        self.eraser = _eraser(core, elsewhere, upkeep)
        self.intake = Intake(
            core.journal,
            dispatcher=core.dispatcher,
            writer=core.writer,
            take_in=core.catching_up.take_in,
        )
        self.root = _root(core, self.eraser, self.intake)
        wake, self._announcer = sources.feed.open(core.journal)
        self.feed = Feed(
            Follow(applied=lambda: core.heads.applied, head=core.head, refresh=core.catching_up.refresh),
            problems=core.problems,
            wake=wake,
            interval_s=core.limits.feed_interval_ms / 1_000,
            is_off=sources.feed.is_off,
            is_heard_besides=lambda: core.hearing.is_any,
        )
        core.signals.changed.on_connect = self.feed.start
        if self._announcer is not None:
            core.signals.subscribe(self._announcer.hear, wanted=Filter())
        self.telling = Telling(_past(core, self.feed), core.hearing, self.root.access.at)
        self.queries = _queries(core, elsewhere)
        self.archive = core.dispatcher.gate = Archive(
            _archive_parts(core, working, upkeep), on_dispatch=sources.archived
        )

    async def close(self) -> None:
        """Write what is under way, and release what is open.

        Raises `StoreError` if something announced could not be written; all is released all the same.
        """
        core = self.core
        core.dispatcher.close()
        try:
            await self.archive.close()
            await self.eraser.close()
            await self.intake.close()
            await core.committer.close()
        finally:
            if self._announcer is not None:
                await self._announcer.close()
            core.signals.close()
            if core.snapshotter is not None:
                await core.snapshotter.close(core.scopes)
            if core.writer is not None:
                await core.writer.close()
            await self.queries.close()
            core.reading.close()
            core.scopes.close()
            await self.plugins.close()
            await self._closing.aclose()


def _eraser(core: Core, indexes: Elsewhere, upkeep: asyncio.Lock) -> Eraser:
    return Eraser(
        core.tree,
        core.journal,
        dispatcher=core.dispatcher,
        reading=core.reading,
        writer=core.writer,
        snapshots=core.snapshots,
        problems=core.problems,
        indexes=indexes,
        take_in=core.catching_up.take_in,
        upkeep=upkeep,
    )


def _root(core: Core, eraser: Eraser, intake: Intake) -> Scope:
    access = Access(
        core.tree,
        core.scopes,
        core.reading,
        core.dispatcher,
        eraser,
        intake,
        core.flushed,
        core.snapshotter,
    )
    return Scope(Path(), access)


def _past(core: Core, feed: Feed) -> Past:
    return Past(
        tree=core.tree,
        reading=core.reading,
        signals=core.signals,
        feed=feed,
        problems=core.problems,
        reached=core.flushed,
        refresh=core.catching_up.refresh,
    )


def _queries(core: Core, elsewhere: Elsewhere) -> Queries:
    answering = Answering(
        core.tree,
        core.scopes,
        heads=core.heads,
        signals=core.signals,
        elsewhere=elsewhere,
        flushed=core.flushed,
        refresh=core.catching_up.refresh,
        problems=core.problems,
    )
    return Queries(core.tree, answering)


def _archive_parts(
    core: Core, working: Callable[[], Awaitable[Working]], upkeep: asyncio.Lock
) -> ArchiveParts:
    return ArchiveParts(
        tree=core.tree,
        journal=core.journal,
        reading=core.reading,
        scopes=core.scopes,
        heads=core.heads,
        dispatcher=core.dispatcher,
        problems=core.problems,
        working=working,
        writer=core.writer,
        snapshots=core.snapshots,
        snapshotter=core.snapshotter,
        is_buffered=core.is_buffered,
        upkeep=upkeep,
    )
