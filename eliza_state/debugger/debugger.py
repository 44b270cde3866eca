"""The debugger: looks at a manager from outside, at its present and at its past.

debugger = Debugger(manager)
before = await debugger.snapshot()
past = await debugger.at(version=3, path="agent:eliza/room:general")
async for entry in debugger.timeline(below="agent:eliza", newest_first=True, limit=20): …
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from eliza_state.change import to_microseconds
from eliza_state.debugger.bisecting import Bisection, Predicate, Search
from eliza_state.debugger.blaming import Blame, blamed
from eliza_state.debugger.checks import Checks
from eliza_state.debugger.comparing import SnapshotDiff, diff
from eliza_state.debugger.looking import Looking, ModuleName
from eliza_state.debugger.past import Past
from eliza_state.debugger.points import checked, position_of
from eliza_state.debugger.replaying.replay import replayed
from eliza_state.debugger.replaying.request import NOTHING, Edit, Order, Skip
from eliza_state.debugger.replaying.result import Replay
from eliza_state.debugger.restoring import Restored, preview, restored
from eliza_state.debugger.sessions.exporting import Exported, exported
from eliza_state.debugger.sessions.forking import forked
from eliza_state.debugger.sessions.importing import Imported, imported
from eliza_state.debugger.snapshot import StateSnapshot
from eliza_state.debugger.state_paths import StatePath
from eliza_state.debugger.timeline import backwards, forwards
from eliza_state.debugger.walking import Criteria, TimelineEntry
from eliza_state.debugger.written_tests.writing import written_test
from eliza_state.errors import StateError
from eliza_state.event import event_type
from eliza_state.files import StrPath
from eliza_state.manager import StateManager
from eliza_state.module import Composition, StateModule
from eliza_state.opening import Opening
from eliza_state.path import Path

MOST_REMEMBERED: Final = 2_048


class Debugger:
    """Look into a manager's store; all but `restore` and `import_session` only reads.

    Nothing costs anything while none is made.

    It remembers up to `max_remembered` states that it met in the past, so that the next look is quick; they
    share their structure. It belongs to the manager's event loop and lasts as long as the manager is open.
    """

    def __init__(self, manager: StateManager, *, max_remembered: int = MOST_REMEMBERED) -> None:
        if max_remembered < 1:
            raise StateError(f"at least one state is remembered, got {max_remembered!r}")
        self.manager = manager
        self._looking = Looking(manager, most=max_remembered)

    diff = staticmethod(diff)

    # The present and the past

    async def snapshot(self, path: Path | str = "", *, depth: int | None = None) -> StateSnapshot:
        """Return the state of a scope and of those below it, `depth` levels down (`None`: all), as it is now.

        Nothing is copied: the snapshot holds the very states, which never change. Scopes that are not in
        memory are read, all at the same position.
        """
        position = await self._looking.last()
        tree = await self.manager.at(path).tree(depth=depth, at=position)
        return await self._looking.snapshot(tree, position)

    async def at(
        self,
        position: int | None = None,
        *,
        version: int | None = None,
        event_id: str | None = None,
        time: datetime.datetime | None = None,
        path: Path | str = "",
    ) -> Past:
        """Look back to where the store stood at a point: one of these.

        `position` counts all records, 0 is the beginning; `version` counts those addressed to `path`, 0 is
        before the first; `event_id` is the id of a record addressed to `path`; `time` (with a zone) is the
        journal's, `recorded_at`, and means the last record up to then.
        Raises `NoSuchPoint` naming what lies nearest, `StateError` for none or several of them, or for a time
        without a zone.
        """
        found = self._looking.path_of(path)
        at = await position_of(
            self._looking, found, position=position, version=version, event_id=event_id, time=time
        )
        return Past(at, found, await self._looking.recorded_at(at), self._looking)

    async def restore(
        self,
        position: int | None = None,
        path: Path | str = "",
        *,
        version: int | None = None,
        event_id: str | None = None,
        time: datetime.datetime | None = None,
        below: bool = True,
        id: str | None = None,  # noqa: A002  # the records' id; the field's own word
        cause: str | None = None,
    ) -> Restored:
        """Make the past the present: a scope, and with `below` all below it, get the state of a point back.

        The point is named as for `at`. Nothing is erased: one transaction adds a record `ScopeRestored` to
        the scope and to each one below that a record has reached since, all with one `id`, which is also
        their `cause` unless another is given. One that did not exist yet is as it began; one that has ended
        since goes on. Scopes above keep what they made of those records; slices that are volatile or not
        `restorable` stay. Dispatches wait meanwhile, and receivers are told what changed; the scopes are in
        memory at once. What others write to them until then is undone as well. To restore again under the
        same id changes nothing.
        Raises `NoSuchPoint` and `StateError` as `at`, `StateError` for a scope that no record has ever
        reached, `ScopeArchived` below one that has ended, `InvalidEvent` for an id of another event,
        `StoreError` for a store that is only read or cannot be written. Then nothing is stored.
        """
        found, to = await self._point(path, position, version, event_id, time)
        return await restored(self._looking, found, to, below=below, id=id, cause=cause)

    async def preview_restore(
        self,
        position: int | None = None,
        path: Path | str = "",
        *,
        version: int | None = None,
        event_id: str | None = None,
        time: datetime.datetime | None = None,
        below: bool = True,
    ) -> SnapshotDiff:
        """Return what `restore` would change, from now to then; nothing is written.

        Raises what `restore` raises for the point and for a scope that no record has ever reached.
        """
        found, to = await self._point(path, position, version, event_id, time)
        return await preview(self._looking, found, to, below=below)

    async def _point(
        self,
        path: Path | str,
        position: int | None,
        version: int | None,
        event_id: str | None,
        time: datetime.datetime | None,
    ) -> tuple[Path, int]:
        found = self._looking.path_of(path)
        await self.manager.refresh()
        to = await position_of(
            self._looking, found, position=position, version=version, event_id=event_id, time=time
        )
        return found, to

    # Records

    def timeline(  # noqa: PLR0913  # keyword-only; each filter stands for itself
        self,
        *,
        below: Path | str = "",
        module: ModuleName | None = None,
        inside: str | StatePath | None = None,
        event: str | type | None = None,
        text: str | None = None,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        after_position: int = 0,
        before_position: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[TimelineEntry]:
        """Iterate over records with what each changed, in the order of their positions.

        `below` is a scope: its records and those below it are told, with the slices of those scopes. `module`
        keeps the records that changed such a slice, and of what they changed that slice; with `inside`, as in
        "messages[m1].text", those that changed that place. `event` is a class or a name, `text` is looked for
        in the payload's values, upper or lower case, secrets left out. `since` and `until` (with zones) are
        times of the journal, both included. The positions lie between `after_position` and `before_position`,
        both left out: to go on, pass the position last seen as the one of them that it has become.
        Memory is bounded however many there are. Records without effect are told too, without changes.
        Raises `InvalidPath`, `InvalidStatePath`, `RegistrationError` for an unknown module, and `StateError`
        for `inside` without `module` or a time without a zone.
        """
        name = place = None
        if module is not None:
            name, place = self._looking.anywhere(module, inside)
        elif inside is not None:
            raise StateError("a place inside a state belongs to a module; name it as `module` as well")
        criteria = Criteria(
            self._looking.path_of(below),
            module=name,
            inside=place,
            event=event_type(event).name if isinstance(event, type) else event,
            text=text,
        )
        bounds = _Bounds(_aware(since), _aware(until), after_position, before_position)
        return self._timeline(criteria, bounds, newest_first=newest_first, limit=limit)

    async def _timeline(
        self, criteria: Criteria, bounds: _Bounds, *, newest_first: bool, limit: int | None
    ) -> AsyncIterator[TimelineEntry]:
        last = await self._looking.last()
        after, until = await bounds.positions(self._looking, last)
        walk = backwards if newest_first else forwards
        left = limit
        if left == 0:
            return
        async for entry in walk(self._looking.run, self._looking.history, criteria, after=after, until=until):
            yield entry
            if left is not None:
                left -= 1
                if not left:
                    return

    # Questions

    async def blame(self, path: Path | str, module: ModuleName, inside: str | StatePath = "") -> Blame:
        """Return which record last set a place in a scope's slice, and lazily all that ever did.

        `inside` is as in "messages[m1].text", an entity by its id, the key of a map, or the element of a set,
        "participants{ada}"; without it the whole slice is meant. A record sets a place when the value there
        is another after it, or comes, or goes.
        Raises `InvalidStatePath` for a place that the slice's state cannot have, `RegistrationError` for a
        module that is not registered at the scope's level.
        """
        found = self._looking.path_of(path)
        name = self._looking.slice_name(module, found)
        return await blamed(self._looking, found, name, self._looking.inside(module, found, inside))

    async def bisect(
        self,
        predicate: Predicate,
        *,
        path: Path | str = "",
        module: ModuleName | None = None,
        low: int = 0,
        high: int | None = None,
        linear: bool = False,
    ) -> Bisection | None:
        """Return the first position from `low` to `high` at which a predicate holds; `None` if it never does.

        `predicate` gets the state of the module's slice at the scope, or all its slices by name. It is taken
        to hold from some position on: then a few states are enough. With `linear` it is asked after each
        record, in one fold, and need not hold on.
        `high` is the last position unless given. Raises `PredicateFailed` naming the position where it did,
        `NoSuchPoint` for bounds that the journal does not have.
        """
        found = self._looking.path_of(path)
        name = None if module is None else self._looking.slice_name(module, found)
        last = await self._looking.last()
        end = checked(last if high is None else high, last)
        start = checked(low, end)
        search = Search(self._looking, found, name, predicate)
        return await (search.scan(start, end) if linear else search.bisect(start, end))

    # What if

    async def replay(
        self,
        path: Path | str = "",
        *,
        first: int | None = None,
        last: int | None = None,
        skip: Skip = (),
        edit: Edit = NOTHING,
        order: Order = (),
        modules: Iterable[StateModule[Any] | Composition] = (),
    ) -> Replay:
        """Replay records in memory with some of them otherwise and compare with what was; nothing is written.

        The records at and below `path` from position `first` to `last` are folded as recovery folds them,
        into the scopes at and below `path`; those above are not looked at. Records are named by position or
        id. `skip` leaves out one, several, or those of which a function, which gets the record, says so.
        `edit` is a function from event to event, or `None` to leave it out; or it maps records to another
        event, to changes of fields, or to `None`. `order` names records in the order in which they are to
        come, at the places that they have; the others stay. `modules` stand in the place of those of their
        names, or beside them. Without `first` it begins with the first record that is named.
        Raises `NoSuchPoint` for a record or a position that is not there, `StateError` for no records, an
        order with one of them twice, or where a function given fails; what a dispatch raises for an event
        that nobody handles or that does not fit; `RegistrationError` for modules that do not fit together.
        """
        return await replayed(
            self._looking,
            path,
            first=first,
            last=last,
            skip=skip,
            edit=edit,
            order=order,
            modules=modules,
        )

    # Sessions

    def fork(self, url: str, *, at: int | None = None, path: Path | str = "") -> Opening[StateManager]:
        """Open an independent store with what this one held at a position: await it, or enter it.

        `url` is `memory://` or a SQLite file that is not there yet; it appears once it is whole. `at` is the
        last position unless given, 0 an empty store. With `path`, the records at and below that scope are
        taken, and those addressed to the scopes above it. All keep their ids, versions, times and payloads,
        of the whole store their positions too. The fork has an epoch of its own, this manager's modules and
        keys, and no plugins' state; in a file, the row `forked_from` of its table `meta` tells where it comes
        from. Whoever opens it closes it.
        Raises `NoSuchPoint` for a position that is not there, `StoreError` for a file that is there, or a
        store that cannot be made.
        """
        return Opening(lambda: forked(self._looking, url, at=at, path=path))

    async def export_session(
        self,
        file: StrPath,
        path: Path | str = "",
        *,
        first: int = 1,
        last: int | None = None,
        reveal_secrets: bool = False,
    ) -> Exported:
        """Write the records at and below a scope, from position `first` to `last`, to one file.

        The file appears whole, in place of one of its name; `eliza_state.debugger.sessions.session_file`
        says what it holds. A placeholder of the same kind stands in each secret, unless `reveal_secrets`
        opens them.
        Raises `StateError` for no records, `NoSuchPoint` for positions that are not there, `StateError` for a
        secret whose key is not given, `OSError` for a file that cannot be written.
        """
        return await exported(
            self._looking, file, path, first=first, last=last, reveal_secrets=reveal_secrets
        )

    async def import_session(
        self, file: StrPath, *, to: Path | str | None = None, skip_unknown: bool = False
    ) -> Imported:
        """Store the records of a file that `export_session` wrote, at the scope they come from or at `to`.

        They keep their ids, order, causes and payloads, and their times as far as no later one is on the
        journal already. No reducer is asked; they are folded as any record, and receivers hear of them as of
        another process's. What is there already is left, so to import again changes nothing, and goes on
        where an import was cut off. Records are stored many to a transaction, once the whole file was
        looked at. With `skip_unknown`, events that no module here knows, or only in an older schema version,
        are left out; where followers of the other journal stand always is. What was erased has no content
        in the file, and what was erased here does not come back.
        Raises `InvalidSession` naming the line that is wrong, `StoreError` for a store that is only read.
        """
        return await imported(self._looking, file, to=to, skip_unknown=skip_unknown)

    # Development

    def check(self, *, strict: bool = False) -> Checks:
        """Check the reducers of every dispatch from now on, until that is stopped, or left as a context.

        A reducer that changes its state or its event in place, however deep, or that gives another result
        when it is run again, is reported once with module, event and place; with `strict`, its dispatch also
        fails with `ReducerError`. That takes a walk through the state for every reducer, so it is for
        development; while nobody checks, a dispatch costs what it always does.
        Raises `StateError` while the manager is being checked already.
        """
        return Checks(self.manager, strict=strict)

    async def make_test(
        self,
        path: Path | str = "",
        *,
        first: int = 1,
        last: int | None = None,
        module: ModuleName | None = None,
    ) -> str:
        """Return the text of a test for pytest: given the state before these records, the state after them.

        It sends the events at and below `path` from position `first` to `last`, a thousand at most, to the
        modules of those scopes that they reach, or to the one named, and compares each slice. It imports
        events, states and modules from where they are defined, and is formatted. Secrets are placeholders.
        Records that cannot be read today or are refused are left out, with a comment; where a scope was
        restored, the state that it got back is given.
        Raises `NoSuchPoint` for positions that are not there, `StateError` for no records, a class that
        cannot be imported, a value that no expression makes, a module made with arguments, or where the
        events alone do not lead to the state.
        """
        return await written_test(self._looking, path, first=first, last=last, module=module)


class _Bounds:
    """Where a timeline begins and ends."""

    def __init__(
        self,
        since: datetime.datetime | None,
        until: datetime.datetime | None,
        after_position: int,
        before_position: int | None,
    ) -> None:
        self._since = since
        self._until = until
        self._after = after_position
        self._before = before_position

    async def positions(self, looking: Looking, last: int) -> tuple[int, int]:
        """Return the positions after which it begins and up to which it goes."""
        after, until = max(self._after, 0), last
        if self._before is not None:
            until = min(until, self._before - 1)
        if self._since is not None:
            after = max(after, await self._up_to(looking, to_microseconds(self._since) - 1))
        if self._until is not None:
            until = min(until, await self._up_to(looking, to_microseconds(self._until)))
        return after, until

    async def _up_to(self, looking: Looking, at_us: int) -> int:
        return await looking.run(lambda: looking.manager.journal.position_at(at_us))


def _aware(time: datetime.datetime | None) -> datetime.datetime | None:
    if time is not None and time.tzinfo is None:
        raise StateError(f"a time with a time zone is wanted, got {time!r}")
    return time
