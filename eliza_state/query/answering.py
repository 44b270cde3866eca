"""How queries are answered: what is in memory by its tables, all else by the index file, at one position."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

import attrs

from eliza_state.change import Change
from eliza_state.errors import StoreError
from eliza_state.heads import Heads
from eliza_state.indexes import Collection
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.problems import Problems
from eliza_state.query.answer import Answer, Cursor, Match
from eliza_state.query.binding import bind, test_of
from eliza_state.query.conditions import Condition
from eliza_state.query.elsewhere import Elsewhere, Job
from eliza_state.query.explanation import Explanation
from eliza_state.query.facts import ScopeRequest
from eliza_state.query.lookup import plan
from eliza_state.query.order import Order, Row
from eliza_state.query.request import Query
from eliza_state.query.stored import Request
from eliza_state.query.tracked import Tracked
from eliza_state.query.upkeep import Ahead
from eliza_state.scopes import LiveScope, Scopes
from eliza_state.signals import Filter, Signals
from eliza_state.tree import Tree

T = TypeVar("T")

_FLUSHED_AT: Final = 2_000
_BUILT_AT_ONCE: Final = 2_000
_TRIES: Final = 8
_TOO_FAST: Final = "other processes write faster than a query can follow; ask again"


class Answering:
    """Answer queries, and follow the collections that they are asked of from then on.

    `flushed` gives the position up to which all that is announced is on the journal, `refresh` takes in what
    other processes have written.
    """

    def __init__(
        self,
        tree: Tree,
        scopes: Scopes,
        *,
        heads: Heads,
        signals: Signals,
        elsewhere: Elsewhere,
        flushed: Callable[[], Awaitable[int]],
        refresh: Callable[[], Awaitable[int]],
        problems: Problems,
    ) -> None:
        self._tree = tree
        self._scopes = scopes
        self._heads = heads
        self._signals = signals
        self.elsewhere = elsewhere
        self._flushed = flushed
        self._refresh = refresh
        self._problems = problems
        self._tracked: dict[tuple[str, str], Tracked] = {}
        self._by_slice: dict[str, list[Tracked]] = {}
        self._seen = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def track(self, name: str, member: StateModule[Any], collection: Collection) -> Tracked:
        """Return a collection in the slice of a module, which is followed from now on."""
        known = self._tracked.get((name, collection.field))
        if known is not None:
            return known
        if not self._tracked:
            self._signals.subscribe(self._take, wanted=Filter())
            self._scopes.observers.append(self._notice)
            self._scopes.outdating.append(self._outdate)
        tracked = Tracked(
            name,
            member,
            collection,
            scopes=self._scopes,
            depth=len(self._tree.hierarchy.chain(member.level)) - 1,
            position=self._heads.applied,
            report=self._problems.report,
        )
        self._tracked[name, collection.field] = tracked
        self._by_slice.setdefault(name, []).append(tracked)
        return tracked

    def _take(self, change: Change) -> None:
        """Follow a change; called for each, at once."""
        position = change.record.position
        for depth, name, before, after in change.transitions:
            for tracked in self._by_slice.get(name, ()):
                tracked.follow(change, depth, before, after)
                if tracked.pending.size > _FLUSHED_AT:
                    self._flush_soon(tracked)
        self._seen = max(self._seen, position)

    def _outdate(self, path: Path) -> None:
        for tracked in self._tracked.values():
            tracked.outdate(path)

    def _notice(self, scope: LiveScope) -> None:
        """Follow a scope that was loaded, read anew or dropped."""
        for name in self._tree.modules(scope.level):
            for tracked in self._by_slice.get(name, ()):
                tracked.notice(scope)

    def is_current(self) -> bool:
        """Tell whether every table has heard of all that is published."""
        return self._seen == self._heads.applied

    def _synchronise(self) -> None:
        """Bring all tables to what is published; records that change nothing are told to nobody."""
        if self._seen != self._heads.applied:
            for tracked in self._tracked.values():
                tracked.synchronise()
            self._seen = self._heads.applied

    def refresh_table(self, query: Query) -> None:
        """Bring the table of a query to the published states, with all loaded scopes in it."""
        self._synchronise()
        for path in tuple(query.tracked.unheld):
            query.tracked.hold(path, even_unloaded=True)

    # Answering

    async def run(self, query: Query, given: dict[str, Any], *, after: Cursor | None) -> Answer[Match]:
        """Answer a query from all scopes."""
        if after is not None:
            query.order.check(after)
        explanation = Explanation()
        rows = await self._rows(query, given, after, explanation)
        return query.answer(rows, explanation.position)

    async def explain_query(self, query: Query, given: dict[str, Any]) -> Explanation:
        """Answer a query and return how."""
        explanation = Explanation()
        rows = await self._rows(query, given, None, explanation)
        explanation.found = len(rows[: query.limit])
        return explanation

    async def _rows(
        self, query: Query, given: dict[str, Any], after: Cursor | None, explanation: Explanation
    ) -> list[Row]:
        asked = Asked(query, query.given(given), after, explanation)
        rows, others = await self.ask(asked, self.elsewhere.rows)
        return query.cut(rows + (others or []), after)

    async def ask(self, asked: Asked, ask: Callable[[Job], T]) -> tuple[list[Row], T | None]:
        """Return the matches in memory, and what `ask` gives of all other scopes, at one position."""
        tracked = asked.query.tracked
        await self._hold(asked.query)
        for _ in range(_TRIES):
            async with tracked.lock:
                rows, job = self._capture(asked)
                if job is None:
                    return rows, None
                try:
                    # What is announced up to the position is to be read from the journal.
                    await self._flushed()
                    return rows, await self.elsewhere.run(partial(ask, job))
                except Ahead:
                    pass
                finally:
                    _conclude(tracked, job)
            await self._refresh()
        raise StoreError(_TOO_FAST)

    async def _hold(self, query: Query) -> None:
        """Take loaded scopes in range into the table, some at a time: others are to have their turn."""
        tracked = query.tracked
        built = 0
        for path in [path for path in tracked.unheld if _is_in_range(path, query.path)]:
            if path in tracked.unheld:
                place = tracked.hold(path, even_unloaded=tracked.module.volatile)
                built += 1 if place is None else len(place.matches) + 1
            if built > _BUILT_AT_ONCE:
                built = 0
                await asyncio.sleep(0)

    def _capture(self, asked: Asked) -> tuple[list[Row], Job | None]:
        """Answer from memory, and note what is to be asked of all other scopes; nothing waits in here."""
        self._synchronise()
        query, explanation = asked.query, asked.explanation
        tracked = query.tracked
        rows, held = self._answer_here(asked)
        explanation.position, explanation.held = self._heads.applied, len(held)
        if tracked.module.volatile or (query.path in held and self._is_lowest(query)):
            return rows, None
        live = {path: self._scopes.find(path) for path in tracked.unheld}
        request = Request(
            layout=tracked.layout,
            condition=asked.condition,
            test=test_of(asked.condition),
            order=query.order,
            path=query.path,
            until=self._heads.applied,
            limit=None if query.limit is None else query.limit + 1,
            after=asked.after,
            held=held,
            states={
                path: scope.published[tracked.slice]
                for path, scope in live.items()
                if scope is not None and not scope.lost and tracked.slice in scope.published
            },
        )
        use_file = bool(tracked.layout.labels) and not tracked.unusable and self.elsewhere.can_store
        pending = tracked.take_pending(self._heads.applied, is_stored=use_file)
        return rows, Job(request=request, pending=pending, explanation=explanation, use_file=use_file)

    def _answer_here(self, asked: Asked) -> tuple[list[Row], frozenset[Path]]:
        query = asked.query
        table = query.tracked.table
        places = table.places_below(query.path)
        way = plan(table, asked.condition)
        rows = [query.order.row(match, table.places[match.path].state) for match in way.run(places)]
        asked.explanation.loaded = way.names()
        asked.explanation.scanned = tuple(way.unindexed)
        if asked.after is not None:
            rows = [row for row in rows if query.order.is_behind(row, asked.after)]
        return rows, frozenset(table.places if places is None else (place.path for place in places))

    def _is_lowest(self, query: Query) -> bool:
        """Tell whether a query is of one scope alone."""
        return self._tree.hierarchy.level(query.path) == query.tracked.module.level

    async def position(self) -> int:
        """Return the last position that has been taken in here, once it is on the journal."""
        return await self._flushed()

    async def scopes(self, request: ScopeRequest) -> tuple[list[Row], int]:
        """Return the scopes that are asked for, in no order, and the position."""
        for _ in range(_TRIES):
            until = await self._flushed()
            try:
                ask = partial(self.elsewhere.scopes, request, until)
                return await self.elsewhere.run(ask), until
            except Ahead:
                await self._refresh()
        raise StoreError(_TOO_FAST)

    # Writing

    def _flush_soon(self, tracked: Tracked) -> None:
        if not tracked.is_flushing:
            tracked.is_flushing = True
            task = asyncio.get_running_loop().create_task(self._flush(tracked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _flush(self, tracked: Tracked) -> None:
        """Write what has changed to the file."""
        try:
            async with tracked.lock:
                if not tracked.is_stored or not tracked.pending.size:
                    return
                self._synchronise()
                job = self._writing(tracked)
                try:
                    await self._flushed()
                    await self.elsewhere.run(partial(self.elsewhere.write, job))
                except (Ahead, StoreError):
                    pass  # the next query says so, or reads what is missing from the records
                finally:
                    _conclude(tracked, job)
        finally:
            tracked.is_flushing = False

    def _writing(self, tracked: Tracked) -> Job:
        everything = Order.of((), tracked.columns)
        request = Request(
            layout=tracked.layout,
            condition=bind(None, tracked.columns),
            test=test_of(bind(None, tracked.columns)),
            order=everything,
            path=Path(),
            until=self._heads.applied,
            limit=None,
            after=None,
            held=frozenset(),
            states={},
        )
        pending = tracked.take_pending(self._heads.applied, is_stored=True)
        return Job(request=request, pending=pending, explanation=Explanation(), use_file=True)

    async def close(self) -> None:
        """Write what has changed to the file and close it; closing twice does nothing."""
        self.elsewhere.stop()
        for tracked in self._tracked.values():
            await self._flush(tracked)
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        await self.elsewhere.close()


@attrs.frozen(eq=False)
class Asked:
    """A query as it runs: with its parameters given, from a cursor on."""

    query: Query
    condition: Condition
    after: Cursor | None
    explanation: Explanation


def _conclude(tracked: Tracked, job: Job) -> None:
    """Keep what the file could not be told, as long as that is of use."""
    if job.unusable:
        tracked.unusable = job.unusable
        tracked.forget_pending()
    elif not job.is_written:
        tracked.put_back(job.pending)


def _is_in_range(path: Path, below: Path) -> bool:
    return not below.steps or path == below or path.is_below(below)
