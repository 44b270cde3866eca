"""Replaying records in memory on two courses at once: as they were, and as they are asked to be.

As long as both courses hold the same in a slice they hold the same object. So what does not differ is reduced
once and takes no memory of its own, and to compare costs what a record has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import attrs

from eliza_state.change import Record
from eliza_state.collector import collector_paused
from eliza_state.debugger.comparing import SliceDiff, diff
from eliza_state.debugger.folding import Moment
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.members import Member, with_modules
from eliza_state.debugger.ranges import PAGE
from eliza_state.debugger.replaying.courses import (
    Course,
    Place,
    Taken,
    check_takes_over,
    start_of,
)
from eliza_state.debugger.replaying.request import Edit, Order, Request, Skip, request_of
from eliza_state.debugger.replaying.result import Divergence, Replay
from eliza_state.debugger.replaying.returns import returns_in
from eliza_state.debugger.snapshot import ScopeState, StateSnapshot
from eliza_state.decoding import read_event
from eliza_state.diff import Difference
from eliza_state.errors import InvalidEvent, StateError
from eliza_state.event import EventType, event_type
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.snapshots import ChunkMissing
from eliza_state.tree import Tree

_MOST_PROBLEMS: Final = 1_000
_NOWHERE: Final = object()


async def replayed(
    looking: Looking,
    path: Path | str,
    *,
    first: int | None,
    last: int | None,
    skip: Skip,
    edit: Edit,
    order: Order,
    modules: Iterable[Member],
) -> Replay:
    """Replay records; see `Debugger.replay`."""
    tree = with_modules(looking.tree, tuple(modules))
    request = await request_of(
        looking,
        path,
        first=first,
        last=last,
        skip=skip,
        edit=edit,
        order=order,
        from_the_first=tree is not looking.tree,
    )
    check_takes_over(looking.tree, tree, first=request.records.first)
    while True:
        try:
            return await _replay(looking, tree, request)
        except ChunkMissing:
            # Its snapshot is set aside by now, so that every round has one fewer to start from.
            await looking.run(looking.history.forget)


async def _replay(looking: Looking, tree: Tree, request: Request) -> Replay:
    replaying = await looking.run(partial(Replaying, looking, tree, request))
    while await looking.run(replaying.page):
        pass
    recorded_at = await looking.recorded_at(request.records.last)
    return await looking.run(partial(replaying.result, recorded_at, looking.module_versions()))


@attrs.define
class _Tally:
    records: int = 0
    skipped: int = 0
    edited: int = 0
    moved: int = 0
    problems: list[Problem] = attrs.Factory(list[Problem])
    more_problems: int = 0

    def report(self, problem: Problem) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)
        else:
            self.more_problems += 1


class Replaying:
    """Go through the records of a request, a page at a time, where the history may be used."""

    def __init__(self, looking: Looking, tree: Tree, request: Request) -> None:
        self._journal = looking.manager.journal
        self._history = looking.history
        self._request = request
        self._tally = _Tally()
        self._tree = tree
        self._starts: dict[tuple[Path, int], Moment] = {}
        below = request.records.path
        returns = returns_in(self._journal, request.records)
        self._was = Course(looking.tree, below, start=self._start, report=_ignore, returns=returns)
        report = self._tally.report
        self._is = Course(tree, below, start=self._changed_start, report=report, returns=returns)
        self._position = 0
        self._divergences: dict[Place, Divergence] = {}

    def page(self) -> bool:
        """Take the next records; tell whether there were any."""
        page = self._request.records.read(self._journal, after=self._position, size=PAGE)
        with collector_paused():
            for record in page:
                self._take(record)
                self._was.keep(record.position)
                self._is.keep(record.position)
        if page:
            self._position = page[-1].position
        return bool(page)

    def _take(self, record: Record) -> None:
        """Let both courses take what comes at the place of a record, and compare what that changed."""
        event = read_event(self._was.tree, record, _ignore)
        was = self._was.take(record, event)
        self._tally.records += 1
        comes = self._record_at(self._request.order.get(record.position, record.position), record)
        if self._is_skipped(comes):
            self._tally.skipped += 1
            self._compare(record, was, {})
            return
        self._tally.moved += comes is not record
        decoded = event if comes is record else read_event(self._was.tree, comes, _ignore)
        own = self._in_tree(comes, decoded)
        edited = self._edited(comes, own)
        if edited is None and own is not None:
            self._tally.skipped += 1
            self._compare(record, was, {})
            return
        if edited is not own:
            self._tally.edited += 1
            kind = event_type(type(edited))
            comes = comes._replace(event=kind.name, schema_version=kind.version)
        is_same = comes is record and edited is event
        self._compare(record, was, self._is.take(comes, edited, was if is_same else {}))

    def _record_at(self, position: int, record: Record) -> Record:
        if position == record.position:
            return record
        return next(self._journal.read(Path(), after=position - 1, until=position))

    def _is_skipped(self, record: Record) -> bool:
        request = self._request
        if record.position in request.skipped:
            return True
        if request.picks is None:
            return False
        try:
            return bool(request.picks(record))
        except Exception as error:
            raise StateError(
                f"`skip` failed on the record at position {record.position}: {error!r}"
            ) from error

    def _in_tree(self, record: Record, event: Any) -> Any:
        """Return a record's event in the class that the changed modules know."""
        kind = self._tree.event_type(record.event)
        if event is not None and kind is not None and kind.cls is type(event):
            return event
        return None if kind is None else read_event(self._tree, record, self._tally.report)

    def _edited(self, record: Record, event: Any) -> Any:
        """Return what is to come in place of an event: the same object, another event, or `None`."""
        request = self._request
        if record.position in request.edited:
            return self._changed(record, event, request.edited[record.position])
        if request.edit is None or event is None:
            return event
        try:
            edited = request.edit(event)
        except Exception as error:
            raise StateError(
                f"`edit` failed on the record at position {record.position}: {error!r}"
            ) from error
        return edited if edited is None or edited is event else self._checked(record, edited)

    def _changed(self, record: Record, event: Any, change: Any) -> Any:
        if change is None or not isinstance(change, Mapping):
            return change if change is None else self._checked(record, change)
        if event is None:
            raise StateError(
                f"the record at position {record.position} cannot be read: nothing can be changed in it;"
                " give an event in its place, or skip it"
            )
        fields = {field.name: getattr(event, field.name) for field in attrs.fields(type(event)) if field.init}
        try:
            return self._tree.codec.structure(event_type(type(event)), {**fields, **change})
        except InvalidEvent as error:
            raise InvalidEvent(f"the edit of the record at position {record.position}: {error}") from error

    def _checked(self, record: Record, event: Any) -> Any:
        """Return an event that somebody at its address handles, and that could be stored."""
        kind: EventType = event_type(type(event))
        known = self._tree.event_type(kind.name)
        level = self._tree.hierarchy.level(record.path)
        if known is None or known.cls is not kind.cls or not self._tree.make_plan(kind.cls, level).steps:
            raise self._tree.unknown(kind.name, record.path)
        self._tree.codec.encode(event)
        return event

    def _compare(self, record: Record, was: Mapping[Place, Taken], became: Mapping[Place, Taken]) -> None:
        for place in {**was, **became}:
            if place in self._divergences:
                continue
            path, name = place
            before = self._was.slices(path).get(name, _NOWHERE)
            after = self._is.slices(path).get(name, _NOWHERE)
            if before is after:
                continue
            if before is _NOWHERE:
                differences = (Difference((), "added", after=after),)
            else:
                differences = diff(before, after).differences
            if differences:
                self._divergences[place] = Divergence(record, SliceDiff(path, name, differences))
            else:
                self._is.slices(path)[name] = before

    def _start(self, path: Path, at: int) -> Moment:
        found = self._starts.get((path, at))
        if found is None:
            tree = self._was.tree
            is_new = at == 0
            found = Moment(tree.initial(tree.hierarchy.level(path))) if is_new else self._history.at(path, at)
            self._starts[path, at] = found
        return found

    def _changed_start(self, path: Path, at: int) -> Moment:
        moment = self._start(path, at)
        first = self._request.records.first
        return start_of(self._was.tree, self._tree, path, moment, first=first)

    def result(self, recorded_at: Any, modules: Mapping[str, int]) -> Replay:
        """Return what came of it."""
        records, tally = self._request.records, self._tally
        paths = {**self._was.paths, **self._is.paths}

        def snapshot(scopes: Mapping[Path, ScopeState]) -> StateSnapshot:
            return StateSnapshot(records.last, recorded_at, scopes, modules)

        return Replay(
            path=records.path,
            first=records.first,
            last=records.last,
            records=tally.records,
            skipped=tally.skipped,
            edited=tally.edited,
            moved=tally.moved,
            diff=diff(snapshot(self._was.states(paths)), snapshot(self._is.states(paths))),
            divergences=tuple(self._divergences.values()),
            problems=tuple(tally.problems),
            more_problems=tally.more_problems,
            warnings=self._warnings(),
        )

    def _warnings(self) -> tuple[str, ...]:
        request, tally = self._request, self._tally
        found: list[str] = []
        if request.picks is not None and not tally.skipped:
            found.append("`skip` picked no record")
        if request.edit is not None and not (tally.edited or tally.skipped):
            found.append("`edit` changed no event")
        return tuple(found)


def _ignore(_problem: Problem) -> None:
    """Of the course as it was, recovery has told."""
