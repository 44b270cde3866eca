"""Handles: the way to one scope of a manager, for writing and reading."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

import attrs

from eliza_state.change import Change, Record, to_datetime
from eliza_state.dispatcher import Dispatch, Dispatcher, result_of
from eliza_state.erasure import Erased, Eraser, Where
from eliza_state.errors import RegistrationError, ScopeArchived, StateError
from eliza_state.inheritance import Inherited
from eliza_state.intake import Intake
from eliza_state.lifecycle import Phase
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.reading import Reading
from eliza_state.scopes import LiveScope, Scopes
from eliza_state.snapshotter import Snapshotter
from eliza_state.tree import Tree

S = TypeVar("S")


@attrs.frozen
class StateTree:
    """The state of a scope and of all below it, at one position.

    `slices` maps the names of the scope's modules to their states, `version` counts the records addressed
    to the scope, `children` are the scopes right below it, oldest first.
    """

    path: Path
    level: str
    position: int
    version: int
    slices: Mapping[str, Any]
    children: tuple[StateTree, ...]


@attrs.frozen
class Access:
    """What handles work with; made by the manager."""

    tree: Tree
    scopes: Scopes
    reading: Reading
    dispatcher: Dispatcher
    eraser: Eraser
    intake: Intake
    position: Callable[[], Awaitable[int]]
    """Return the last position, once all that was announced up to it can be read from the journal."""
    snapshotter: Snapshotter | None = None
    """Takes snapshots, where there are any to take."""

    def at(self, path: Path | str) -> Scope:
        """Return the handle on the scope of a path, or of its text form.

        Raises `InvalidPath` for a malformed path, or one that leaves the hierarchy.
        """
        found = Path.decode(path) if isinstance(path, str) else path
        return Scope(self.tree.hierarchy.check(found), self)


@attrs.define(eq=False)
class Scope:
    """A handle on one scope: cheap to make, valid as long as its manager is open.

    The scope need not exist: it does from its first event on.
    """

    path: Path = attrs.field(on_setattr=attrs.setters.frozen)
    access: Access = attrs.field(repr=False, on_setattr=attrs.setters.frozen)
    _seen: LiveScope | None = attrs.field(default=None, init=False, repr=False)

    @property
    def level(self) -> str:
        """The level of the hierarchy the scope is at."""
        return self.access.tree.hierarchy.level(self.path)

    # Ways down

    def child(self, level: str, identifier: str) -> Scope:
        """Return the handle on a scope right below; `InvalidPath` if the hierarchy has no such level here."""
        path = self.path.child(level, identifier)
        return Scope(self.access.tree.hierarchy.check(path), self.access)

    def agent(self, identifier: str) -> Scope:
        """Return the handle on an agent below this scope."""
        return self.child("agent", identifier)

    def user(self, identifier: str) -> Scope:
        """Return the handle on a user below this scope."""
        return self.child("user", identifier)

    def room(self, identifier: str) -> Scope:
        """Return the handle on a room below this scope."""
        return self.child("room", identifier)

    def conversation(self, identifier: str) -> Scope:
        """Return the handle on a conversation below this scope."""
        return self.child("conversation", identifier)

    def message(self, identifier: str) -> Scope:
        """Return the handle on a message below this scope."""
        return self.child("message", identifier)

    # Writing

    async def dispatch(
        self,
        event: Any,
        payload: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002  # the record's id; the field's own word
        cause: str | None = None,
        expected_version: int | None = None,
    ) -> Change:
        """Dispatch an event to this scope and return what came of it.

        `event` is an instance of an event class, or a name with its `payload`. In `committed` mode the record
        is durable when this returns. The same `id` again changes nothing and returns the first record's
        position and version with `duplicate=True`. A caller that is cancelled stops waiting; the event goes
        its way.
        Raises `UnknownTransition` (nobody handles it), `InvalidEvent` (the payload does not fit, or the id
        belongs to another event), `Rejected`, `StaleState` (the scope is not at `expected_version`),
        `ScopeArchived` (it has ended, or is in the archive), `ReducerError` (a bug in a module),
        `StoreError`. In every case nothing has changed.
        """
        dispatcher = self.access.dispatcher
        alone = id is None and cause is None and expected_version is None
        if alone and payload is None and type(event) is not str:
            outcome = None if self._seen is None else dispatcher.dispatch(self._seen, event)
            while outcome is None:
                self._seen = await dispatcher.ready(self.path)
                outcome = dispatcher.dispatch(self._seen, event)
            if isinstance(outcome, Change):
                return outcome
            try:
                await dispatcher.settled(outcome)
                return result_of(outcome)
            except ScopeArchived as error:
                if not dispatcher.is_brought_back(error):
                    raise
        request = Dispatch(
            event, self.path, payload=payload, id=id, cause=cause, expected_version=expected_version
        )
        (change,) = await dispatcher.dispatch_all([request])
        assert isinstance(change, Change)
        return change

    async def execute(
        self,
        decide: Callable[[Any], Iterable[Any]],
        *,
        module: str | type[StateModule[Any]] | None = None,
    ) -> list[Change]:
        """Decide on the present state and dispatch the outcome, as one step that nothing comes between.

        `decide(state)` is pure and returns events for this scope (none: nothing happens); `state` is the
        slice of `module`, or all slices by name. The events are dispatched in one transaction at the version
        that `decide` saw; when others were faster it decides again. The version is the scope's own: a record
        addressed below it, which may change the slice as well, is no reason to.
        """
        name = None if module is None else self._slice_name(module)
        return await self.access.dispatcher.execute(self.path, decide, name=name)

    async def erase(self, *, until: int | None = None, where: Where | None = None) -> Erased:
        """Remove the content of records addressed to this scope, or below it, for good; tell what went.

        Of all records so far, or up to the position `until`, those go whose event `where(event)` picks, or
        all. They keep their place, id, event name and time, and no state, past or present, counts them any
        more: this scope's, those below it and those above it are as if they had not been. Their ids stay
        taken. Snapshots with them are deleted, and each scope that lost some gets a `ScopeErased` record,
        by which other processes learn of it; receivers are told what that changed. Dispatches wait
        meanwhile. A caller that is cancelled stops waiting; the erasure goes its way. To erase again what
        was erased takes nothing more, and finishes what was cut off.
        `where` runs in another thread; a record that cannot be read is given to nobody, left, and counted.
        Raises `StateError` for a position that is not there yet, and where `where` raises, naming the
        record; `StoreError` for a store that is only read, closed or cannot be written. What was erased in
        transactions before is erased then.
        """
        return await self.access.eraser.erase(self.path, until=until, where=where)

    # Reading

    @overload
    async def state(self, module: type[StateModule[S]], *, at: int | None = None) -> S: ...
    @overload
    async def state(self, module: str, *, at: int | None = None) -> Any: ...
    @overload
    async def state(self, module: None = None, *, at: int | None = None) -> Mapping[str, Any]: ...
    async def state(self, module: Any = None, *, at: int | None = None) -> Any:
        """Return the state of a module's slice, or all slices of this scope by name.

        It is the committed state (in `buffered` mode, the published one) or, with `at`, the state at an
        earlier position of the journal. A scope that no event has reached has the initial states. The name
        of a composition gives its slices by module name.
        Raises `RegistrationError` for a module that is not registered at this scope's level.
        """
        slices = await self._slices(at)
        if module is None:
            return slices
        if isinstance(module, str) and module not in slices:
            members = {
                name.partition(".")[2]: state
                for name, state in slices.items()
                if name.startswith(f"{module}.")
            }
            if members:
                return members
        return slices[self._slice_name(module)]

    async def inherited(self, module: type[StateModule[Any]], *, at: int | None = None) -> Inherited:
        """Return the values that hold here, of a module registered at several levels: the nearest scope's.

        Each module of the class `module`, or of a class derived from it, tells what its scope sets
        (`StateModule.own_values`); this scope's own level may be without one. All scopes from the root down
        to this one are read at one position: the last one taken in or, with `at`, an earlier one. While they
        are in memory nothing else is read.
        Raises `RegistrationError` if the class is registered at none of their levels.
        """
        members = self._members(module)
        if at is None:
            chain = (await self.access.scopes.load(self.path)).chain
            # Nothing is awaited from here on, so that no record comes between the states of the chain.
            position = chain[0].position
            slices = {scope.path: scope.published for scope in chain}
        else:
            position = await self._position(at)
            reading = self.access.reading
            slices = {path: (await reading.recover(path, until=position)).slices for path in members}
        layers = {path: member.own_values(slices[path][name]) for path, (name, member) in members.items()}
        return Inherited(self.path, position, layers)

    def _members(self, module: type[StateModule[Any]]) -> dict[Path, tuple[str, StateModule[Any]]]:
        """The slice and the module of a class for each scope from the root down to this one that has them."""
        if not isinstance(module, type):
            raise RegistrationError(f"what is inherited goes by a module's class, got {module!r}")
        levels = self.access.tree.hierarchy.chain(self.level)
        members: dict[Path, tuple[str, StateModule[Any]]] = {}
        for path, level in zip(self.path.chain(), levels, strict=True):
            for name, member in self.access.tree.modules(level).items():
                if isinstance(member, module):
                    members.setdefault(path, (name, member))
        if not members:
            raise RegistrationError(
                f"no module {module.__qualname__} at any of the levels {', '.join(levels)};"
                " register one there"
            )
        return members

    def _slice_name(self, module: str | type[StateModule[Any]]) -> str:
        return self.access.tree.slice_name(module, level=self.level)

    async def _slices(self, at: int | None) -> Mapping[str, Any]:
        if at is None:
            return dict((await self._live()).published)
        return (await self.access.reading.recover(self.path, until=await self._position(at))).slices

    async def _position(self, at: int | None) -> int:
        last = await self.access.position()
        if at is None:
            return last
        if not 0 <= at <= last:
            raise StateError(f"a position from 0 to {last}, the last one, is wanted, got {at!r}")
        return at

    async def _live(self) -> LiveScope:
        scope = self._seen
        if scope is None or scope.lost or not scope.in_memory:
            scope = self._seen = await self.access.scopes.load(self.path)
        scope.used = True
        return scope

    async def version(self) -> int:
        """Return how many records were addressed to this scope."""
        return (await self._live()).version

    async def phase(self) -> Phase:
        """Return where the scope stands in its life; loading it makes it active or archived."""
        return (await self._live()).phase

    async def last_activity(self) -> datetime.datetime | None:
        """Return when the last record at or below this scope was taken, in UTC; `None` if there is none."""
        at_us = (await self._live()).last_activity_us
        return to_datetime(at_us) if at_us else None

    async def children(self) -> list[Scope]:
        """Return handles on the scopes right below that have records at or below them, oldest first."""
        await self.access.position()
        paths = await self.access.reading.children(self.path)
        return [Scope(path, self.access) for path in paths]

    async def records(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = 100,
    ) -> list[Record]:
        """Return the records at or below this scope with `after < position <= until`, at most `limit`.

        To page, pass the last position seen as `after`, or one less as `until` when reading `newest_first`.
        """
        last = await self._position(None)
        last = last if until is None else min(until, last)
        return await self.access.reading.records(
            self.path, after=after, until=last, newest_first=newest_first, limit=limit
        )

    async def tree(self, *, depth: int | None = None, at: int | None = None) -> StateTree:
        """Return the state of this scope and those below it, `depth` levels down (`None`: all).

        All of it is read at one position: the last one, or `at`. It is all in memory at once, however much
        it is.
        """
        return await self._tree(await self._position(at), depth)

    async def _tree(self, position: int, depth: int | None) -> StateTree:
        live = self.access.scopes.find(self.path)
        if live is not None and live.position <= position:
            reached, version, slices = live.position, live.version, dict(live.published)
        else:
            recovered = await self.access.reading.recover(self.path, until=position)
            reached, version, slices = recovered.position, recovered.version, recovered.slices
        children = [] if depth == 0 else await self.children()
        below = None if depth is None else depth - 1
        trees = [await child._tree(position, below) for child in children]
        return StateTree(
            self.path,
            self.level,
            reached,
            version,
            slices,
            tuple(tree for tree in trees if tree.position),
        )
