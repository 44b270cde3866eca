"""The composition root: a store is opened here, and everything else is put together.

async with StateManager.open("sqlite:///state.db", modules=[ConversationModule()]) as manager:
    talk = manager.agent("eliza").room("general").conversation("c1")
    change = await talk.dispatch(MessageReceived(id="m1", user="ada", text="hello"))
    state = await talk.state(ConversationModule)
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Self, TypeAlias, overload

from eliza_serializers import Seal
from eliza_state.archive import OnDispatch
from eliza_state.archive.parts import Working
from eliza_state.change import Change, to_microseconds
from eliza_state.clock import now_us
from eliza_state.codec import codec_of
from eliza_state.core import Core
from eliza_state.dispatcher import Dispatch
from eliza_state.effects import Effects
from eliza_state.erasure import Erased, Where
from eliza_state.errors import StateError, StoreError
from eliza_state.feed import FeedPlace
from eliza_state.feed.source import FeedSource
from eliza_state.files import StrPath
from eliza_state.followers import Followers
from eliza_state.followers.follower import ADVANCED
from eliza_state.journal.source import UNSAFE_SHARING, JournalSource
from eliza_state.limits import DEFAULT_LIMITS, Limits
from eliza_state.module import Composition, StateModule
from eliza_state.opening import Opening, Resources, Sources, opened
from eliza_state.parts import Parts
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path
from eliza_state.plugins import PluginPlace, Plugins
from eliza_state.plugins.source import PluginSource
from eliza_state.problems import Problem
from eliza_state.scope import Scope, StateTree
from eliza_state.signals import (
    ChangeSignal,
)
from eliza_state.snapshot_source import SnapshotPlace, SnapshotSource
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.tree import Tree

Durability: TypeAlias = Literal["committed", "buffered"]
"""When a dispatch returns: once its record is durable, or at once."""

Events: TypeAlias = Iterable[tuple[Any, Path | str] | Dispatch]
"""What `dispatch_all` takes: events with the paths of their scopes, or `Dispatch` values."""


class StateManager:
    """One open store: scopes to dispatch to and read from, and what is told about them.

    Made by `open`; belongs to the event loop it was opened in.
    """

    def __init__(self, sources: Sources, resources: Resources) -> None:
        """Put the parts together around what is open; users call `open`."""
        self.core = Core(sources, resources, sender=self)
        """The way of one event, for what watches a manager from outside (`eliza_state.health`)."""
        self.parts = Parts(self.core, sources, resources, working=self._working)
        self.tree = self.core.tree
        self.journal = self.core.journal
        self.problems = self.core.problems
        self.feed = self.parts.feed
        """How this manager hears of what other processes write; `feed.status` tells how that goes."""
        self.claims = resources.claims
        """What this process has the right to work on, for followers that are shared."""
        self.subscribe = self.parts.telling.subscribe
        """Calls a receiver for every change, or those that filters let through; see `Telling.subscribe`."""
        self.changes = self.parts.telling.changes
        """Iterates over changes from now on, or after a position; see `Telling.changes`."""
        self.effects = Effects(self)
        """The coroutines that run once a change is committed."""
        self.on = self.effects.on
        self.followers = Followers(self)
        """The handlers that hear every record once, with the places they have come to."""
        self.follow = self.followers.follow
        self.archive = self.parts.archive
        """Where scopes are moved that rest, and whence they are brought back."""
        self.queries = self.parts.queries
        """What finds entries of states, and scopes, wherever they are; `query` is its `find`."""
        self.query = self.queries.find
        self._closed = False

    # Opening and closing

    @classmethod
    def open(  # noqa: PLR0913  # keyword-only; the one place where a store is put together
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
    ) -> Opening[Self]:
        """Open a store, to be awaited or entered: `async with StateManager.open(...) as manager`.

        `url` is `memory://` (nothing is written, so nothing is checked for whether it could be) or a SQLite
        file, `sqlite:///state.db`, made if it is not there; what is in it survives a power cut, with
        `sqlite:///state.db?synchronous=NORMAL` a killed process; or a PostgreSQL database,
        `postgresql://user@host/name`, in which it takes the schema `eliza_state`, or the one that
        `?schema=` names. `durability` says when a dispatch returns:
        `committed` once its record is durable, `buffered` at once, which needs the store for itself.
        `snapshots` says where the snapshots lie that make opening a scope quick: with the journal, in
        `state.db-snapshots` or a table of the schema, nowhere (`False`), in the layers of these URLs, from
        the top, as in `["redis://cache", "postgresql+psycopg://db/state", "archive:///var/archive"]`, or in a
        storage that a function opens and the manager closes. Whatever becomes of them changes no state; a
        place that cannot be opened is reported and done without. `plugins` says where plugins keep their
        state: in `state.db-plugins` or a table of the schema, in the database of a URL, in a storage of their
        own where a function `state_factory(name)` gives one, or in `Plugins` that you close yourself. With
        `secret_keys`, the contents of secrets are sealed with the current one in what the journal, the
        snapshots and those databases take from then on. `clock` gives microseconds since 1970. A `read_only`
        manager refuses events and disturbs no other. `archive` is the folder of what is archived: beside the
        database unless named, in `state.db-archive`; for a PostgreSQL database one that all who open it have.
        `archived` says what becomes of an event to a scope there: `refuse` it, or `restore` the scope first.
        While anybody here is told of changes, those of other processes arrive by themselves: `feed` is `True`
        (their database tells, or is asked), `False` (`refresh` takes them in) or the URL of a Redis or Valkey
        through which the processes that name it tell each other.
        Raises `RegistrationError` for modules that cannot work together, `StoreError` for a store that
        cannot be opened or is held by others.
        """
        if durability not in ("committed", "buffered"):
            raise StateError(f"durability is 'committed' or 'buffered', got {durability!r}")
        tree = Tree(modules, hierarchy=hierarchy, codec=codec_of(secret_keys))
        source = JournalSource(
            url=url,
            exclusive=durability == "buffered",
            read_only=read_only,
            busy_timeout_ms=limits.busy_timeout_ms,
            clock=clock,
            archive=archive,
        )
        sources = Sources(
            tree=tree,
            journal=source,
            snapshots=SnapshotSource(
                place=snapshots, database=source.database, server=source.server, read_only=source.read_only
            ),
            plugins=PluginSource(
                place=plugins,
                database=source.database,
                server=source.server,
                read_only=source.read_only,
                secret_keys=secret_keys,
                clock=clock,
            ),
            feed=FeedSource(place=feed, journal=source),
            limits=limits,
            archived=archived,
        )
        return Opening(lambda: cls._start(sources))

    @classmethod
    async def _start(cls, sources: Sources) -> Self:
        resources = await opened(sources)
        manager = cls(sources, resources)
        if resources.is_unsafe:
            manager.problems.report(Problem("journal", UNSAFE_SHARING))
        try:
            if resources.snapshots is not None:
                await manager._open_snapshots(resources.snapshots)
            await manager.core.scopes.load(Path())
            await manager.parts.eraser.resume()
        except BaseException:
            await manager.close()
            raise
        return manager

    async def _open_snapshots(self, snapshots: SnapshotStore) -> None:
        # At once: the application hears at once what is wrong, and the first scope does not wait for it.
        try:
            await snapshots.open()
        except StoreError as error:
            self.problems.report(Problem("snapshot", f"there are no snapshots for now: {error}", error=error))

    async def close(self) -> None:
        """Write what is under way and release the store; closing twice does nothing.

        Effects are cancelled, followers save how far they have come. What still waits for coroutine
        receivers is dropped; `settled()` before lets them take it.
        Raises `StoreError` if something announced could not be written; the store is released all the same.
        """
        await self.followers.close()
        await self.effects.close()
        await self.feed.close()
        await asyncio.to_thread(self.claims.close)
        if not self._closed:
            self._closed = True
            await self.parts.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _working(self) -> Working:
        """Return what tells what still works on the records of a scope, by what the store knows now."""
        await self.refresh()
        root = await self.core.scopes.load(Path())
        is_followed = any(name == ADVANCED for name, _ in root.events)
        places = await self.followers.places() if is_followed else {}

        def working(path: Path, position: int) -> str:
            return self.effects.work_at(path) or self.followers.work_at(path, position, places)

        return working

    # Scopes

    @property
    def root(self) -> Scope:
        """The handle on the root scope."""
        return self.parts.root

    def agent(self, identifier: str) -> Scope:
        """Return the handle on an agent."""
        return self.parts.root.agent(identifier)

    def at(self, path: Path | str) -> Scope:
        """Return the handle on the scope of a path, or of its text form.

        Raises `InvalidPath` for a malformed path, or one that leaves the hierarchy.
        """
        return self.root.access.at(path)

    @property
    def plugins(self) -> Plugins:
        """The plugins' state, `manager.plugins["trader"]`: what a runtime hands to each as its own.

        Opened when it is first asked for, which connects to its database and blocks meanwhile. Raises
        `StoreError` where that cannot be had, or once the manager is closed.
        """
        return self.parts.plugins.get()

    # Writing

    async def dispatch(
        self,
        event: Any,
        payload: Mapping[str, Any] | None = None,
        *,
        to: Path | str | Scope,
        id: str | None = None,  # noqa: A002  # the record's id; the field's own word
        cause: str | None = None,
        expected_version: int | None = None,
    ) -> Change:
        """Dispatch an event to a scope; see `Scope.dispatch`."""
        scope = to if isinstance(to, Scope) else self.at(to)
        return await scope.dispatch(event, payload, id=id, cause=cause, expected_version=expected_version)

    @overload
    async def dispatch_all(
        self, events: Events, *, return_exceptions: Literal[False] = False
    ) -> list[Change]: ...
    @overload
    async def dispatch_all(self, events: Events, *, return_exceptions: bool) -> list[Change | StateError]: ...
    async def dispatch_all(self, events: Events, *, return_exceptions: bool = False) -> Any:
        """Dispatch several events in their order, as one transaction, and return what came of each.

        `events` holds pairs of an event and a path, or `Dispatch` values. If one is refused, none takes
        place and its error is raised; with `return_exceptions`, those that are refused come back as their
        errors and the others take place.
        """
        requests = [
            entry if isinstance(entry, Dispatch) else Dispatch(entry[0], self.at(entry[1]).path)
            for entry in events
        ]
        return await self.core.dispatcher.dispatch_all(requests, return_exceptions=return_exceptions)

    async def execute(
        self,
        path: Path | str | Scope,
        decide: Callable[[Any], Iterable[Any]],
        *,
        module: str | type[StateModule[Any]] | None = None,
    ) -> list[Change]:
        """Decide on a scope's state and dispatch the outcome as one step; see `Scope.execute`."""
        scope = path if isinstance(path, Scope) else self.at(path)
        return await scope.execute(decide, module=module)

    async def erase(
        self, path: Path | str | Scope, *, until: int | None = None, where: Where | None = None
    ) -> Erased:
        """Erase the content of records at and below a scope for good; see `Scope.erase`."""
        scope = path if isinstance(path, Scope) else self.at(path)
        return await scope.erase(until=until, where=where)

    async def flush(self) -> None:
        """Wait until everything dispatched so far is durable; `StoreError` if it cannot be written now."""
        await self.core.committer.flush()

    async def refresh(self) -> int:
        """Take in what other processes have written since, announce it, and return the last position."""
        return await self.core.catching_up.refresh()

    async def register_module(self, *modules: StateModule[Any] | Composition) -> None:
        """Add modules to the open store; their slices are folded from the records there are.

        Dispatches wait meanwhile. Raises `RegistrationError`, registering none of them.
        """
        async with self.core.dispatcher.paused():
            self.tree.register(*modules)
            await self.core.scopes.reload_slices()

    # Reading

    async def state(self) -> StateTree:
        """Return the complete state: every module's slice of every scope, at one position.

        All of it is in memory at once; `root.tree(depth=…)` and the scopes' own `state` read less.
        """
        return await self.parts.root.tree()

    async def position(self) -> int:
        """Return the last position of the journal that this manager has taken in."""
        return self.core.heads.applied

    async def position_at(self, at: datetime.datetime) -> int:
        """Return the last position recorded at or before a time (aware); 0 if there is none."""
        if at.tzinfo is None:
            raise StateError(f"a time with a time zone is wanted, got {at!r}")
        at_us = to_microseconds(at)
        return await self.core.reading.run(lambda: self.journal.position_at(at_us))

    # Being told

    @property
    def state_changed(self) -> ChangeSignal:
        """The blinker signal `state:changed`: connect plain receivers `receiver(manager, change=change)`."""
        return self.core.signals.changed

    async def settled(self) -> None:
        """Wait until every coroutine receiver has taken what was told so far."""
        await self.core.signals.settled()
