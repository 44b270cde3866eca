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
from contextlib import AsyncExitStack
from typing import Any, Final, Literal, Self, TypeAlias, overload

import attrs

from eliza_serializers import Seal
from eliza_state.archive import Archive, OnDispatch
from eliza_state.archive.parts import ArchiveParts, Working
from eliza_state.change import Change, to_microseconds
from eliza_state.clock import now_us
from eliza_state.codec import Codec
from eliza_state.committer import Committer
from eliza_state.dispatcher import Dispatch, Dispatcher
from eliza_state.effects import Effects
from eliza_state.erasure import Erased, Eraser, Where
from eliza_state.errors import StateError, StoreError
from eliza_state.event import event_type
from eliza_state.feed import Feed, FeedPlace, ResumedChanges
from eliza_state.feed.changes import Past
from eliza_state.feed.feed import Follow
from eliza_state.feed.source import FeedSource
from eliza_state.files import StrPath
from eliza_state.followers import Followers
from eliza_state.followers.follower import ADVANCED
from eliza_state.heads import Heads
from eliza_state.hearing import Hearing
from eliza_state.intake import Intake
from eliza_state.journal.claims import Claims
from eliza_state.journal.contract import Journal
from eliza_state.journal.source import UNSAFE_SHARING, JournalSource
from eliza_state.journal.writer import Writer
from eliza_state.limits import DEFAULT_LIMITS, Limits
from eliza_state.module import Composition, StateModule
from eliza_state.opening import Opening
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path
from eliza_state.plugins import PluginPlace, Plugins
from eliza_state.plugins.source import PluginSource
from eliza_state.problems import Problem, Problems
from eliza_state.query.answering import Answering
from eliza_state.query.elsewhere import Elsewhere
from eliza_state.query.queries import Queries
from eliza_state.reading import Reading
from eliza_state.recovery import Recovered
from eliza_state.scope import Access, Scope, StateTree
from eliza_state.scopes import Scopes
from eliza_state.signals import (
    QUEUE_SIZE,
    Changes,
    ChangeSignal,
    Filter,
    Overflow,
    Receiver,
    Signals,
    Subscription,
)
from eliza_state.snapshot_source import SnapshotPlace, SnapshotSource
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.snapshotter import Snapshotter
from eliza_state.tree import Tree

Durability: TypeAlias = Literal["committed", "buffered"]
"""When a dispatch returns: once its record is durable, or at once."""

_PAGE_RECORDS: Final = 1_000

Events: TypeAlias = Iterable[tuple[Any, Path | str] | Dispatch]
"""What `dispatch_all` takes: events with the paths of their scopes, or `Dispatch` values."""


@attrs.frozen
class Parts:
    """What a manager is put together from, for what watches it from outside (`eliza_state.health`)."""

    scopes: Scopes
    heads: Heads
    committer: Committer
    signals: Signals
    snapshots: SnapshotStore | None
    plugins: Plugins | None
    database: str | None
    writer: Writer | None


class StateManager:
    """One open store: scopes to dispatch to and read from, and what is told about them.

    Made by `open`; belongs to the event loop it was opened in.
    """

    def __init__(  # noqa: PLR0913  # keyword-only; see `open`
        self,
        journal: Journal,
        tree: Tree,
        *,
        applied: int,
        snapshots: SnapshotStore | None,
        plugins: PluginSource,
        database: str | None,
        buffered: bool,
        read_only: bool,
        limits: Limits,
        feed: FeedSource,
        claims: Claims,
        archived: OnDispatch = "refuse",
    ) -> None:
        """Put the parts together around an open journal; users call `open`."""
        self.problems = Problems()
        self.tree = tree
        self.journal = journal
        self._database = database
        self._signals = Signals(self, problems=self.problems)
        self._reading = Reading(tree, journal, snapshots=snapshots, problems=self.problems)
        self._scopes = Scopes(
            tree, self._recover, max_scopes=limits.max_scopes, max_bytes=limits.max_scope_bytes
        )
        self._heads = Heads(
            tree,
            self._scopes,
            applied=applied,
            writer=journal.writer,
            announce=self._signals.publish,
            reread=self._reading.recover_here,
            problems=self.problems,
        )
        self._writer = self._snapshotter = None
        if journal.durable and not read_only:
            self._writer = Writer(
                journal,
                loop=asyncio.get_running_loop(),
                inline_below_ms=limits.inline_below_ms,
                busy_timeout_ms=limits.busy_timeout_ms,
            )
            if snapshots is not None:
                self._snapshotter = Snapshotter(
                    tree,
                    journal,
                    scopes=self._scopes,
                    snapshots=snapshots,
                    reading=self._reading,
                    problems=self.problems,
                )
        self._hearing = Hearing(tree, self._scopes, self._signals)
        self._committer = Committer(
            self._heads,
            journal,
            writer=self._writer,
            snapshotter=self._snapshotter,
            problems=self.problems,
            hearing=self._hearing,
            flush_interval_ms=limits.flush_interval_ms if buffered else None,
            max_queued=limits.max_queued,
            queue_timeout_ms=limits.queue_timeout_ms,
        )
        self._dispatcher = Dispatcher(
            tree, self._scopes, journal, heads=self._heads, committer=self._committer
        )
        self._elsewhere = Elsewhere(
            tree,
            journal,
            reading=self._reading,
            database=database,
            read_only=read_only,
            report=self.problems.report,
        )
        upkeep = asyncio.Lock()
        self._eraser = Eraser(
            tree,
            journal,
            dispatcher=self._dispatcher,
            reading=self._reading,
            writer=self._writer,
            snapshots=snapshots,
            problems=self.problems,
            indexes=self._elsewhere,
            take_in=self._take_in,
            upkeep=upkeep,
        )
        self._intake = Intake(
            journal, dispatcher=self._dispatcher, writer=self._writer, take_in=self._take_in
        )
        self._root = Scope(
            Path(),
            Access(
                tree,
                self._scopes,
                self._reading,
                self._dispatcher,
                self._eraser,
                self._intake,
                self._flushed_position,
                self._snapshotter,
            ),
        )
        self._plugin_source = plugins
        self._plugins: Plugins | None = None
        wake, self._announcer = feed.open(journal)
        self.feed = Feed(
            Follow(applied=lambda: self._heads.applied, head=self._head, refresh=self.refresh),
            problems=self.problems,
            wake=wake,
            interval_s=limits.feed_interval_ms / 1_000,
            is_off=feed.is_off,
            is_heard_besides=lambda: self._hearing.is_any,
        )
        """How this manager hears of what other processes write; `feed.status` tells how that goes."""
        self.claims = claims
        """What this process has the right to work on, for followers that are shared."""
        self._signals.changed.on_connect = self.feed.start
        if self._announcer is not None:
            self._signals.subscribe(self._announcer.hear, wanted=Filter())
        self.effects = Effects(self)
        """The coroutines that run once a change is committed."""
        self.on = self.effects.on
        self.followers = Followers(self)
        """The handlers that hear every record once, with the places they have come to."""
        self.follow = self.followers.follow
        parts = ArchiveParts(
            tree=tree,
            journal=journal,
            reading=self._reading,
            scopes=self._scopes,
            heads=self._heads,
            dispatcher=self._dispatcher,
            problems=self.problems,
            working=self._working,
            writer=self._writer,
            snapshots=snapshots,
            snapshotter=self._snapshotter,
            is_buffered=buffered,
            upkeep=upkeep,
        )
        self.archive = self._dispatcher.gate = Archive(parts, on_dispatch=archived)
        """Where scopes are moved that rest, and whence they are brought back."""
        self.queries = Queries(
            tree,
            Answering(
                tree,
                self._scopes,
                heads=self._heads,
                signals=self._signals,
                elsewhere=self._elsewhere,
                flushed=self._flushed_position,
                refresh=self.refresh,
                problems=self.problems,
            ),
        )
        """What finds entries of states, and scopes, wherever they are; `query` is its `find`."""
        self.query = self.queries.find
        self._closing = AsyncExitStack()
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
        tree = Tree(modules, hierarchy=hierarchy, codec=Codec(secrets=secret_keys))
        source = JournalSource(
            url=url,
            exclusive=durability == "buffered",
            read_only=read_only,
            busy_timeout_ms=limits.busy_timeout_ms,
            clock=clock,
            archive=archive,
        )
        feed_source = FeedSource(place=feed, journal=source)
        snapshot_source = SnapshotSource(
            place=snapshots, database=source.database, server=source.server, read_only=source.read_only
        )
        plugin_source = PluginSource(
            place=plugins,
            database=source.database,
            server=source.server,
            read_only=source.read_only,
            secret_keys=secret_keys,
            clock=clock,
        )
        return Opening(
            lambda: cls._start(
                source,
                tree,
                snapshot_source,
                plugin_source,
                limits=limits,
                feed=feed_source,
                archived=archived,
            )
        )

    @classmethod
    async def _start(
        cls,
        source: JournalSource,
        tree: Tree,
        snapshot_source: SnapshotSource,
        plugin_source: PluginSource,
        *,
        limits: Limits,
        feed: FeedSource,
        archived: OnDispatch,
    ) -> Self:
        async with AsyncExitStack() as closing:
            lease = source.lease()
            if lease is not None:
                closing.callback(lease.release)
            journal = await asyncio.to_thread(source.journal)
            closing.callback(journal.close)
            head = await asyncio.to_thread(journal.head)
            snapshots = None
            if snapshot_source.is_any:
                snapshots = SnapshotStore(snapshot_source, epoch=journal.epoch)
                closing.push_async_callback(snapshots.close)
            manager = cls(
                journal,
                tree,
                snapshots=snapshots,
                applied=head,
                plugins=plugin_source,
                database=source.database,
                buffered=source.exclusive,
                read_only=source.read_only,
                limits=limits,
                feed=feed,
                claims=source.claims(journal.writer),
                archived=archived,
            )
            manager._closing = closing.pop_all()
        if lease is not None and lease.is_unsafe:
            manager.problems.report(Problem("journal", UNSAFE_SHARING))
        try:
            if snapshots is not None:
                await manager._open_snapshots(snapshots)
            await manager._scopes.load(Path())
            await manager._eraser.resume()
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
        if self._closed:
            return
        self._closed = True
        self._dispatcher.close()
        try:
            await self.archive.close()
            await self._eraser.close()
            await self._intake.close()
            await self._committer.close()
        finally:
            if self._announcer is not None:
                await self._announcer.close()
            self._signals.close()
            if self._snapshotter is not None:
                await self._snapshotter.close(self._scopes)
            if self._writer is not None:
                await self._writer.close()
            await self.queries.close()
            self._reading.close()
            self._scopes.close()
            if self._plugins is not None and not self._plugin_source.is_lent:
                await self._plugins.close()
            await self._closing.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _head(self) -> int:
        return await self._reading.run(self.journal.head)

    async def _recover(self, path: Path) -> Recovered:
        return await self._reading.recover(path, until=self._heads.applied)

    async def _working(self) -> Working:
        """Return what tells what still works on the records of a scope, by what the store knows now."""
        await self.refresh()
        root = await self._scopes.load(Path())
        is_followed = any(name == ADVANCED for name, _ in root.events)
        places = await self.followers.places() if is_followed else {}

        def working(path: Path, position: int) -> str:
            return self.effects.work_at(path) or self.followers.work_at(path, position, places)

        return working

    async def _flushed_position(self) -> int:
        position = self._heads.applied
        if self._committer.is_buffered:
            await self._committer.flush()
        return position

    # Scopes

    @property
    def root(self) -> Scope:
        """The handle on the root scope."""
        return self._root

    def agent(self, identifier: str) -> Scope:
        """Return the handle on an agent."""
        return self._root.agent(identifier)

    def at(self, path: Path | str) -> Scope:
        """Return the handle on the scope of a path, or of its text form.

        Raises `InvalidPath` for a malformed path, or one that leaves the hierarchy.
        """
        found = Path.decode(path) if isinstance(path, str) else path
        return Scope(self.tree.hierarchy.check(found), self._root.access)

    @property
    def parts(self) -> Parts:
        """The parts as they are now; `plugins` is `None` until they are first asked for.

        `snapshots` is `None` where there are none, `database` (the path of the file) for a store in memory,
        `writer` for that and for one that is only read.
        """
        return Parts(
            self._scopes,
            self._heads,
            self._committer,
            self._signals,
            self._reading.snapshots,
            self._plugins,
            self._database,
            self._writer,
        )

    @property
    def plugins(self) -> Plugins:
        """The plugins' state, `manager.plugins["trader"]`: what a runtime hands to each as its own.

        Opened when it is first asked for, which connects to its database and blocks meanwhile. Raises
        `StoreError` where that cannot be had, or once the manager is closed.
        """
        if self._plugins is None:
            if self._closed:
                raise StoreError("the manager is closed; open the store anew")
            self._plugins = self._plugin_source.open(self.problems)
        return self._plugins

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
        return await self._dispatcher.dispatch_all(requests, return_exceptions=return_exceptions)

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
        await self._committer.flush()

    async def refresh(self) -> int:
        """Take in what other processes have written since, announce it, and return the last position."""
        async with self._dispatcher.paused():
            return await self._take_in()

    async def _take_in(self) -> int:
        while True:  # a page at a time: what was missed meanwhile may be much
            newer = await self._reading.records(
                Path(), after=self._heads.applied, until=None, newest_first=False, limit=_PAGE_RECORDS
            )
            async with self._hearing.loaded(newer):
                places = self._heads.to_reread(newer)
                reread = {(path, at): await self._reading.recover(path, until=at) for path, at in places}
                self._committer.follow(newer, reread=reread)
            if len(newer) < _PAGE_RECORDS:
                return self._heads.applied

    async def register_module(self, *modules: StateModule[Any] | Composition) -> None:
        """Add modules to the open store; their slices are folded from the records there are.

        Dispatches wait meanwhile. Raises `RegistrationError`, registering none of them.
        """
        async with self._dispatcher.paused():
            self.tree.register(*modules)
            await self._scopes.reload_slices()

    # Reading

    async def state(self) -> StateTree:
        """Return the complete state: every module's slice of every scope, at one position.

        All of it is in memory at once; `root.tree(depth=…)` and the scopes' own `state` read less.
        """
        return await self._root.tree()

    async def position(self) -> int:
        """Return the last position of the journal that this manager has taken in."""
        return self._heads.applied

    async def position_at(self, at: datetime.datetime) -> int:
        """Return the last position recorded at or before a time (aware); 0 if there is none."""
        if at.tzinfo is None:
            raise StateError(f"a time with a time zone is wanted, got {at!r}")
        at_us = to_microseconds(at)
        return await self._reading.run(lambda: self.journal.position_at(at_us))

    # Being told

    @property
    def state_changed(self) -> ChangeSignal:
        """The blinker signal `state:changed`: connect plain receivers `receiver(manager, change=change)`."""
        return self._signals.changed

    def subscribe(
        self,
        receiver: Receiver,
        *,
        below: Path | str | Scope | None = None,
        module: str | None = None,
        event: type | str | None = None,
        origin: Literal["local"] | None = None,
    ) -> Subscription:
        """Call `receiver(change)` for every change, or those the filters let through.

        `below` is a scope (itself and all below it), `module` the name of a slice that changed, `event` an
        event class or name; with the `origin` local, changes of other processes are left out. To tell of
        theirs, the scopes that they are addressed to are read, unless they are in memory. A plain function
        runs inline, after the change is published, in position order;
        a coroutine function gets a queue of its own that holds 1,024 changes, past which the oldest is
        dropped and reported. What a receiver raises is reported (`problems`) and stops nobody.
        """
        wanted = self._filter(below, module, event, origin)
        subscription = self._signals.subscribe(receiver, wanted=wanted)
        self._hear_others(subscription, wanted)
        return subscription

    def _hear_others(self, told: Subscription | Changes, wanted: Filter) -> None:
        if wanted.origin is None:
            told.then(self._hearing.want(wanted))
            self.feed.start()

    @overload
    def changes(
        self,
        *,
        below: Path | str | Scope | None = None,
        module: str | None = None,
        event: type | str | None = None,
        queue_size: int = QUEUE_SIZE,
        overflow: Overflow = "raise",
    ) -> Changes: ...
    @overload
    def changes(
        self,
        *,
        after: int,
        below: Path | str | Scope | None = None,
        event: type | str | None = None,
        queue_size: int = QUEUE_SIZE,
    ) -> ResumedChanges: ...
    def changes(
        self,
        *,
        after: int | None = None,
        below: Path | str | Scope | None = None,
        module: str | None = None,
        event: type | str | None = None,
        queue_size: int = QUEUE_SIZE,
        overflow: Overflow = "raise",
    ) -> Changes | ResumedChanges:
        """Return an asynchronous iterator over the changes from now on, filtered as in `subscribe`.

        When `queue_size` changes wait to be taken, a further one makes the iteration fail once those are
        taken (`raise`), or is lost and reported (`drop_newest`; `drop_oldest`: the one that waited longest).

        With a position `after`, every record after it is handed out, of all processes, once and in the order
        of positions: those there are, then those that come, for as long as it takes and at the consumer's own
        pace. Records that changed nothing are among them; events that nobody here can read are `None`. A
        record of the past has `origin="history"` and no states before and after; one that comes now has them,
        unless more than `queue_size` changes wait, or it is another process's and its scope not in memory.
        What `module` a record of the past changed nobody knows, and nothing is lost: neither `module` nor
        `overflow` goes with `after`, which raises `StateError`, as does the iteration for a position that the
        journal has not reached.
        """
        wanted = self._filter(below, module, event)
        if after is None:
            changes = self._signals.changes(wanted=wanted, queue_size=queue_size, overflow=overflow)
            self._hear_others(changes, wanted)
            return changes
        if after < 0 or module is not None or overflow != "raise":
            raise StateError("changes after a position from 0 on take neither a module nor an overflow")
        past = Past(
            tree=self.tree,
            reading=self._reading,
            signals=self._signals,
            feed=self.feed,
            problems=self.problems,
            reached=self._flushed_position,
            refresh=self.refresh,
        )
        return ResumedChanges(past, wanted=wanted, after=after, queue_size=queue_size)

    def _filter(
        self,
        below: Path | str | Scope | None,
        module: str | None,
        event: type | str | None,
        origin: Literal["local"] | None = None,
    ) -> Filter:
        if below is not None:
            below = below.path if isinstance(below, Scope) else self.at(below).path
        name = event_type(event).name if isinstance(event, type) else event
        return Filter(below, module, name, origin)

    async def settled(self) -> None:
        """Wait until every coroutine receiver has taken what was told so far."""
        await self._signals.settled()
