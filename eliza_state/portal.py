"""The same manager for scripts and notebooks: calls that wait, over an event loop in a thread of its own.

with SyncStateManager.open("sqlite:///state.db", modules=[ConversationModule()]) as manager:
    talk = manager.agent("eliza").room("general").conversation("c1")
    change = talk.dispatch(MessageReceived(id="m1", user="ada", text="hello"))
    state = talk.state(ConversationModule)

Nothing is implemented twice: every method hands its call to the `StateManager` in the thread and waits.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, Literal, Self, TypeAlias, TypeVar, overload

import attrs

from eliza_serializers import Seal
from eliza_state.archive import Archive, Archived, ArchivedScope, OnDispatch, Restored
from eliza_state.background import Portal
from eliza_state.change import Change, Record
from eliza_state.clock import now_us
from eliza_state.erasure import Erased, Where
from eliza_state.errors import StateError
from eliza_state.feed import FeedPlace, ResumedChanges
from eliza_state.files import StrPath
from eliza_state.inheritance import Inherited
from eliza_state.journal.contract import Journal
from eliza_state.lifecycle import Phase
from eliza_state.limits import DEFAULT_LIMITS, Limits
from eliza_state.manager import Durability, Events, StateManager
from eliza_state.module import Composition, StateModule
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path
from eliza_state.plugins import PluginPlace
from eliza_state.problems import Problems
from eliza_state.query.answer import Answer, Cursor, Match
from eliza_state.query.conditions import Condition
from eliza_state.query.order import OrderBy
from eliza_state.query.queries import Module
from eliza_state.scope import Scope, StateTree
from eliza_state.signals import QUEUE_SIZE, Changes, Overflow, Receiver, Subscription
from eliza_state.snapshot_source import SnapshotPlace
from eliza_state.tree import Tree

S = TypeVar("S")
T = TypeVar("T")


@attrs.frozen
class SyncScope:
    """A handle on one scope whose calls wait; see `Scope`."""

    path: Path
    _scope: Scope = attrs.field(repr=False, eq=False)
    _portal: Portal = attrs.field(repr=False, eq=False)

    def _on(self, scope: Scope) -> SyncScope:
        return SyncScope(scope.path, scope, self._portal)

    @property
    def level(self) -> str:
        """The level of the hierarchy the scope is at."""
        return self._scope.level

    def child(self, level: str, identifier: str) -> SyncScope:
        """Return the handle on a scope right below; see `Scope.child`."""
        return self._on(self._scope.child(level, identifier))

    def agent(self, identifier: str) -> SyncScope:
        """Return the handle on an agent below this scope."""
        return self.child("agent", identifier)

    def user(self, identifier: str) -> SyncScope:
        """Return the handle on a user below this scope."""
        return self.child("user", identifier)

    def room(self, identifier: str) -> SyncScope:
        """Return the handle on a room below this scope."""
        return self.child("room", identifier)

    def conversation(self, identifier: str) -> SyncScope:
        """Return the handle on a conversation below this scope."""
        return self.child("conversation", identifier)

    def message(self, identifier: str) -> SyncScope:
        """Return the handle on a message below this scope."""
        return self.child("message", identifier)

    def dispatch(
        self,
        event: Any,
        payload: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002  # the record's id; the field's own word
        cause: str | None = None,
        expected_version: int | None = None,
    ) -> Change:
        """Dispatch an event to this scope; see `Scope.dispatch`."""
        return self._portal.run(
            self._scope.dispatch(event, payload, id=id, cause=cause, expected_version=expected_version)
        )

    def execute(
        self,
        decide: Callable[[Any], Iterable[Any]],
        *,
        module: str | type[StateModule[Any]] | None = None,
    ) -> list[Change]:
        """Decide on the present state and dispatch the outcome as one step; see `Scope.execute`.

        `decide` runs in the portal's thread.
        """
        return self._portal.run(self._scope.execute(decide, module=module))

    def erase(self, *, until: int | None = None, where: Where | None = None) -> Erased:
        """Remove the content of records at and below this scope for good; see `Scope.erase`."""
        return self._portal.run(self._scope.erase(until=until, where=where))

    @overload
    def state(self, module: type[StateModule[S]], *, at: int | None = None) -> S: ...
    @overload
    def state(self, module: str, *, at: int | None = None) -> Any: ...
    @overload
    def state(self, module: None = None, *, at: int | None = None) -> Mapping[str, Any]: ...
    def state(self, module: Any = None, *, at: int | None = None) -> Any:
        """Return the state of a module's slice, or all slices of this scope by name; see `Scope.state`."""
        return self._portal.run(self._scope.state(module, at=at))

    def inherited(self, module: type[StateModule[Any]], *, at: int | None = None) -> Inherited:
        """Return the values that hold here, of a module of several levels; see `Scope.inherited`."""
        return self._portal.run(self._scope.inherited(module, at=at))

    def version(self) -> int:
        """Return how many records were addressed to this scope."""
        return self._portal.run(self._scope.version())

    def phase(self) -> Phase:
        """Return where the scope stands in its life; see `Scope.phase`."""
        return self._portal.run(self._scope.phase())

    def last_activity(self) -> datetime.datetime | None:
        """Return when the last record at or below this scope was taken; see `Scope.last_activity`."""
        return self._portal.run(self._scope.last_activity())

    def children(self) -> list[SyncScope]:
        """Return handles on the scopes right below that have records; see `Scope.children`."""
        return [self._on(child) for child in self._portal.run(self._scope.children())]

    def records(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = 100,
    ) -> list[Record]:
        """Return the records at or below this scope; see `Scope.records`."""
        return self._portal.run(
            self._scope.records(after=after, until=until, newest_first=newest_first, limit=limit)
        )

    def tree(self, *, depth: int | None = None, at: int | None = None) -> StateTree:
        """Return the state of this scope and those below it; see `Scope.tree`."""
        return self._portal.run(self._scope.tree(depth=depth, at=at))


Place: TypeAlias = Path | str | SyncScope
"""A scope: its path, the text form of that, or a handle."""


@attrs.frozen
class SyncArchive:
    """The archive of a store whose calls wait; see `Archive`."""

    _archive: Archive = attrs.field(repr=False)
    _portal: Portal = attrs.field(repr=False)

    @property
    def folder(self) -> FilePath | None:
        """The folder of the segment files; see `Archive.folder`."""
        return self._archive.folder

    def store(self, *paths: Place, return_exceptions: bool = False) -> Archived:
        """Move scopes, each with all below it, into the archive; see `Archive.store`."""
        return self._portal.run(self._archive.store(*map(_path, paths), return_exceptions=return_exceptions))

    def restore(self, *paths: Place) -> Restored:
        """Move scopes back into the database; see `Archive.restore`."""
        return self._portal.run(self._archive.restore(*map(_path, paths)))

    def scopes(
        self, below: Place | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[ArchivedScope]:
        """Return what is in the archive, at or below a scope; see `Archive.scopes`."""
        path = None if below is None else _path(below)
        return self._portal.run(self._archive.scopes(path, after=after, limit=limit))

    def find(self, path: Place) -> ArchivedScope | None:
        """Return the scope in the archive that a scope is, or is below; see `Archive.find`."""
        return self._portal.run(self._archive.find(_path(path)))


class SyncStateManager:
    """One open store whose calls wait; see `StateManager`.

    Made by `open`. Several threads may use it at once, also one in which an event loop runs. Plain receivers
    and `execute`'s `decide` run in a thread of the manager's own and may not call it. A call that is
    interrupted (Ctrl-C) stops waiting; what it dispatched goes its way. A manager that nobody closes lasts
    until the interpreter ends, where what is buffered is still written.
    """

    def __init__(self, portal: Portal) -> None:
        """Stand before a portal; users call `open`."""
        self._portal = portal
        self._manager = portal.manager

    @classmethod
    def open(  # noqa: PLR0913  # see `StateManager.open`
        cls,
        url: str = "memory://",
        *,
        modules: Iterable[StateModule[Any] | Composition] = (),
        hierarchy: Hierarchy = DEFAULT_HIERARCHY,
        durability: Durability = "committed",
        snapshots: SnapshotPlace = True,
        plugins: PluginPlace = None,
        secret_keys: Seal | None = None,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], int] = now_us,
        read_only: bool = False,
        archive: StrPath | None = None,
        archived: OnDispatch = "refuse",
        feed: FeedPlace = True,
    ) -> Self:
        """Open a store, ready for use; see `StateManager.open`."""
        opening = StateManager.open(
            url,
            modules=modules,
            hierarchy=hierarchy,
            durability=durability,
            snapshots=snapshots,
            plugins=plugins,
            secret_keys=secret_keys,
            limits=limits,
            clock=clock,
            read_only=read_only,
            archive=archive,
            archived=archived,
            feed=feed,
        )
        return cls(Portal(opening))

    def run(self, function: Callable[[StateManager], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine with the `StateManager` in its thread, and return what it returns or raises.

        For what has only an asynchronous face: plugins, effects, followers and the services of modules.

        >>> manager.run(lambda it: it.plugins["trader"].get("position"))
        """
        return self._portal.run(function(self._manager))

    def close(self) -> None:
        """Write what is under way and release the store; see `StateManager.close`."""
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def problems(self) -> Problems:
        """What went wrong without stopping anything; listeners are called in the thread that reports."""
        return self._manager.problems

    @property
    def tree(self) -> Tree:
        """The registered modules along their hierarchy."""
        return self._manager.tree

    @property
    def journal(self) -> Journal:
        """The log below the manager; any thread may read it."""
        return self._manager.journal

    @property
    def archive(self) -> SyncArchive:
        """Where scopes are moved that rest, and whence they are brought back."""
        return SyncArchive(self._manager.archive, self._portal)

    # Scopes

    @property
    def root(self) -> SyncScope:
        """The handle on the root scope."""
        return self.at(Path())

    def agent(self, identifier: str) -> SyncScope:
        """Return the handle on an agent."""
        return self.root.agent(identifier)

    def at(self, path: Path | str) -> SyncScope:
        """Return the handle on the scope of a path, or of its text form; see `StateManager.at`."""
        scope = self._manager.at(path)
        return SyncScope(scope.path, scope, self._portal)

    # Writing

    def dispatch(
        self,
        event: Any,
        payload: Mapping[str, Any] | None = None,
        *,
        to: Place,
        id: str | None = None,  # noqa: A002  # the record's id; the field's own word
        cause: str | None = None,
        expected_version: int | None = None,
    ) -> Change:
        """Dispatch an event to a scope; see `Scope.dispatch`."""
        scope = self.at(_path(to))
        return scope.dispatch(event, payload, id=id, cause=cause, expected_version=expected_version)

    @overload
    def dispatch_all(self, events: Events, *, return_exceptions: Literal[False] = False) -> list[Change]: ...
    @overload
    def dispatch_all(self, events: Events, *, return_exceptions: bool) -> list[Change | StateError]: ...
    def dispatch_all(self, events: Events, *, return_exceptions: bool = False) -> Any:
        """Dispatch several events in their order, as one transaction; see `StateManager.dispatch_all`."""
        events = list(events)  # in the caller's thread
        return self._portal.run(self._manager.dispatch_all(events, return_exceptions=return_exceptions))

    def execute(
        self,
        path: Place,
        decide: Callable[[Any], Iterable[Any]],
        *,
        module: str | type[StateModule[Any]] | None = None,
    ) -> list[Change]:
        """Decide on a scope's state and dispatch the outcome as one step; see `Scope.execute`."""
        return self.at(_path(path)).execute(decide, module=module)

    def erase(self, path: Place, *, until: int | None = None, where: Where | None = None) -> Erased:
        """Erase the content of records at and below a scope for good; see `Scope.erase`."""
        return self.at(_path(path)).erase(until=until, where=where)

    def flush(self) -> None:
        """Wait until everything dispatched so far is durable; see `StateManager.flush`."""
        self._portal.run(self._manager.flush())

    def refresh(self) -> int:
        """Take in what other processes have written since; see `StateManager.refresh`."""
        return self._portal.run(self._manager.refresh())

    def register_module(self, *modules: StateModule[Any] | Composition) -> None:
        """Add modules to the open store; see `StateManager.register_module`."""
        self._portal.run(self._manager.register_module(*modules))

    # Reading

    def state(self) -> StateTree:
        """Return the complete state, at one position; see `StateManager.state`."""
        return self._portal.run(self._manager.state())

    def position(self) -> int:
        """Return the last position of the journal that this manager has taken in."""
        return self._portal.run(self._manager.position())

    def position_at(self, at: datetime.datetime) -> int:
        """Return the last position recorded at or before a time (aware); 0 if there is none."""
        return self._portal.run(self._manager.position_at(at))

    def query(
        self,
        module: Module,
        *,
        of: str | None = None,
        where: Condition | None = None,
        below: Place = "",
        order_by: OrderBy = (),
        limit: int | None = None,
        after: Cursor | None = None,
    ) -> Answer[Match]:
        """Return the entries of a collection for which `where` holds, in all scopes; see `Queries.find`.

        What else there is to ask is asked by `run`, as in `run(lambda it: it.queries.count(…))`.
        """
        return self._portal.run(
            self._manager.query(
                module, of=of, where=where, below=_path(below), order_by=order_by, limit=limit, after=after
            )
        )

    # Being told

    def subscribe(
        self,
        receiver: Receiver,
        *,
        below: Place | None = None,
        module: str | None = None,
        event: type | str | None = None,
        origin: Literal["local"] | None = None,
    ) -> Subscription:
        """Call `receiver(change)` for changes in the manager's own thread; see `Telling.subscribe`.

        A receiver that wants to dispatch hands the change to another thread.
        """
        wanted = None if below is None else _path(below)
        subscription = self._portal.call(
            lambda: self._manager.subscribe(receiver, below=wanted, module=module, event=event, origin=origin)
        )
        return Subscription(lambda: self._cancel(subscription.cancel))

    def changes(
        self,
        *,
        after: int | None = None,
        below: Place | None = None,
        module: str | None = None,
        event: type | str | None = None,
        queue_size: int = QUEUE_SIZE,
        overflow: Overflow = "raise",
        timeout_s: float | None = None,
    ) -> SyncChanges:
        """Return an iterator over the changes from now on, or `after` a position; see `SyncChanges`.

        All else is as in `Telling.changes`.
        """
        wanted = None if below is None else _path(below)
        manager: Any = self._manager  # it refuses what does not go together
        changes = self._portal.call(
            lambda: manager.changes(
                after=after,
                below=wanted,
                module=module,
                event=event,
                queue_size=queue_size,
                overflow=overflow,
            )
        )
        return SyncChanges(changes, self._portal, timeout_s=timeout_s)

    def settled(self) -> None:
        """Wait until every coroutine receiver has taken what was told so far."""
        self._portal.run(self._manager.settled())

    def _cancel(self, cancel: Callable[[], None]) -> None:
        if not self._portal.is_closed:
            self._portal.call(cancel)


class SyncChanges(Iterator[Change]):
    """Changes as they come: `for change in manager.changes()`; connected from the start.

    The iteration waits for the next change. It ends when none came for `timeout_s` seconds (and may be taken
    up again, nothing is lost), and when the manager is closed, with what was not taken by then. `close()`,
    or leaving it as a context, ends the connection.
    """

    def __init__(self, changes: Changes | ResumedChanges, portal: Portal, *, timeout_s: float | None) -> None:
        self._changes = changes
        self._portal = portal
        self._timeout_s = timeout_s

    def __next__(self) -> Change:
        try:
            return self._portal.run(self._next())
        except (TimeoutError, StopAsyncIteration):
            raise StopIteration from None
        except StateError:
            if self._portal.is_closed:
                raise StopIteration from None
            raise

    async def _next(self) -> Change:
        async with asyncio.timeout(self._timeout_s):
            return await anext(self._changes)

    def close(self) -> None:
        """End the connection; twice does nothing."""
        if not self._portal.is_closed:
            self._portal.call(self._changes.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _path(place: Place) -> Path | str:
    return place.path if isinstance(place, SyncScope) else place
