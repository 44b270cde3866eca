"""The intake of dispatches: what is asked for becomes pending events on loaded scopes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

import attrs

from eliza_state.change import Change, Record
from eliza_state.committer import Committer
from eliza_state.errors import InvalidEvent, ScopeArchived, StaleState, StateError
from eliza_state.heads import Heads
from eliza_state.ids import UuidFactory, encode_id
from eliza_state.journal.contract import Journal
from eliza_state.journal.memory import MemoryJournal
from eliza_state.path import Path
from eliza_state.pending import Pending
from eliza_state.scopes import LiveScope, Scopes
from eliza_state.snapshots import ChunkMissing
from eliza_state.tree import Plan, Tree

MAX_ID_LENGTH: Final = 256


@attrs.frozen
class Dispatch:
    """One event to dispatch, with what goes with it.

    `event` is an instance of an event class, or a name with its `payload`. The record takes `id` (any
    non-empty text; a UUID of version 7 unless given) and `cause` (the id of what led to it). With
    `expected_version`, the addressed scope must stand at that version, or the dispatch raises `StaleState`.
    """

    event: Any
    to: Path
    payload: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    id: str | None = attrs.field(default=None, kw_only=True)
    cause: str | None = attrs.field(default=None, kw_only=True)
    expected_version: int | None = attrs.field(default=None, kw_only=True)


class Gate(Protocol):
    """Who decides on events to scopes that are in the archive, as far as is known."""

    brings_back: bool
    """Whether such a scope is brought back for an event."""

    async def admit(self, path: Path) -> None:
        """Have a scope take events again, or raise `ScopeArchived`."""
        ...


class Dispatcher:
    """Turn requests into pending events and hand them to the committer."""

    def __init__(
        self, tree: Tree, scopes: Scopes, journal: Journal, *, heads: Heads, committer: Committer
    ) -> None:
        self._tree = tree
        self._scopes = scopes
        self._journal = journal
        self._heads = heads
        self._committer = committer
        self._memory = journal if isinstance(journal, MemoryJournal) else None
        self._encode = tree.codec.encode
        self._next_id = UuidFactory()
        self._on_the_way: dict[tuple[Path, bytes], Pending] = {}
        self._pause: asyncio.Future[None] | None = None
        self._last_turn: asyncio.Future[None] | None = None
        self.gate: Gate | None = None
        """Admits events to scopes in the archive; without one they are refused."""

    def dispatch(self, scope: LiveScope, event: Any) -> Change | Pending | None:
        """Take in one event that has nothing with it.

        Return its change if it is done, the pending event to wait for, or `None` if it cannot enter just
        now: `ready` tells when it can.
        """
        if scope.lost or scope.archived or not scope.in_memory or self._pause is not None:
            return None
        scope.used = True
        plan = scope.plans.get(type(event)) or self._plan(event, scope)
        if self._memory is not None and plan.stored:
            return self._heads.commit_now(scope, plan, event, self._memory)
        if self._committer.is_full:
            return None
        pending = Pending(event, plan, scope, self._next_id(), self._content(event, plan))
        try:
            pending.group = self._committer.enter([pending])
        except ChunkMissing:
            # The scope is lost by now; `ready` reads it anew from the records.
            return None
        if pending.group is None or self._committer.is_buffered:
            return result_of(pending)
        return pending

    async def settled(self, pending: Pending) -> None:
        """Wait until a pending event is durable; raises what became of it otherwise."""
        if self._committer.is_next(pending):
            # Its batch is written in the next turn of the loop, mostly at once: no future need be woken.
            await asyncio.sleep(0)
        if pending.result is None:
            await pending.durable()

    async def ready(self, path: Path) -> LiveScope:
        """Return the live scope once an event may enter; nothing may be awaited between this and that."""
        while True:
            scope = self._scopes.find(path)
            if self._pause is not None:
                await asyncio.shield(self._pause)
            elif self._committer.is_full:
                await self._committer.room()
            elif scope is None or any(above.lost for above in scope.chain):
                await self._scopes.load(path)
            elif scope.archived:
                await self._admit(scope)
            else:
                return scope

    async def _admit(self, scope: LiveScope) -> None:
        """Have a scope in the archive take events again, where the store was opened so, or refuse them."""
        for above in scope.chain:
            if above.ended:
                raise ScopeArchived(above.path.encode())
        if self.gate is None:
            raise ScopeArchived(scope.path.encode(), restorable=True)
        await self.gate.admit(scope.path)

    def is_brought_back(self, error: ScopeArchived) -> bool:
        """Tell whether what was refused because others archived its scope may simply be dispatched again."""
        return error.restorable and self.gate is not None and self.gate.brings_back

    def _plan(self, event: Any, scope: LiveScope) -> Plan:
        plan = self._tree.plan(type(event), scope.level)
        if not plan.steps:
            raise self._tree.unknown(plan.event.name, scope.path)
        return plan

    def _content(self, event: Any, plan: Plan) -> Any:
        return self._encode(event) if self._journal.durable and plan.stored else event

    async def dispatch_all(
        self, requests: Iterable[Dispatch], *, return_exceptions: bool = False
    ) -> list[Change | StateError]:
        """Dispatch several events in one transaction; see `StateManager.dispatch_all`."""
        requests = list(requests)
        while True:
            try:
                return await self._dispatch_all(requests, return_exceptions=return_exceptions)
            except ChunkMissing:
                # The scope is read anew before it is used again, without the snapshot that failed.
                continue
            except ScopeArchived as error:
                if not self.is_brought_back(error):
                    raise

    async def _dispatch_all(
        self, requests: Sequence[Dispatch], *, return_exceptions: bool
    ) -> list[Change | StateError]:
        entries: list[_Entry] = []
        async with self._scopes.held(
            self._tree.hierarchy.check(request.to) for request in requests
        ) as scopes:
            await self._admit_all(requests, scopes)
            wanted = _ids_in(requests)
            known: Mapping[tuple[Path, bytes], Record] = {}
            if wanted and not self._journal.is_local:
                # An id that comes to be on the journal from now on is found by the journal when it appends.
                known = await self._known_in_turn(wanted)
            await self.ready(Path())  # nothing may be awaited between this and entering
            if wanted and self._journal.is_local:
                known = self._known(wanted)
            members: list[Pending] = []
            try:
                for request in requests:
                    entry = self._take_up(request, scopes[request.to], known, lenient=return_exceptions)
                    entries.append(entry)  # on an error, those before it must be known
                members += [entry.pending for entry in entries if entry.pending and not entry.duplicate]
                group = self._committer.enter(members, lenient=return_exceptions)
            except BaseException:
                self._forget(entries)
                raise
        for pending in members:
            pending.group = group
        if group is None:
            self._forget(entries)
        else:
            group.on_settled = partial(self._forget, entries)
        return [await self._outcome(entry, lenient=return_exceptions) for entry in entries]

    async def _admit_all(self, requests: Sequence[Dispatch], scopes: Mapping[Path, LiveScope]) -> None:
        """Have scopes in the archive take events that they do not know yet; who is refused is told later."""
        archived = [request for request in requests if scopes[request.to].archived]
        if not archived:
            return
        known = await asyncio.to_thread(self._known, _ids_in(archived))
        for request in archived:
            with contextlib.suppress(ScopeArchived, InvalidEvent):
                if request.id is None or (request.to, record_key(request.id)) not in known:
                    await self._admit(scopes[request.to])

    async def _known_in_turn(
        self, wanted: Sequence[tuple[Path, bytes]]
    ) -> Mapping[tuple[Path, bytes], Record]:
        """Return what `_known` does, where that takes a while; who asked first goes on first."""
        before, turn = self._last_turn, asyncio.get_running_loop().create_future()
        self._last_turn = turn
        try:
            known = await asyncio.to_thread(self._known, wanted)
            if before is not None:
                await asyncio.shield(before)
        finally:
            turn.set_result(None)
        return known

    def _known(self, wanted: Sequence[tuple[Path, bytes]]) -> dict[tuple[Path, bytes], Record]:
        """Return the records that have these ids already."""
        found = self._journal.find_all(wanted)
        return {(record.path, record.key): record for record in found if record is not None}

    def _take_up(
        self,
        request: Dispatch,
        scope: LiveScope,
        known: Mapping[tuple[Path, bytes], Record],
        *,
        lenient: bool,
    ) -> _Entry:
        try:
            event = self._event(request)
            return self._entry(request, event, scope, known)
        except StateError as error:
            if not lenient:
                raise
            return _Entry(result=error)

    def _entry(
        self,
        request: Dispatch,
        event: Any,
        scope: LiveScope,
        known: Mapping[tuple[Path, bytes], Record],
    ) -> _Entry:
        """Make a pending event of a request, or find the one, or the record, that has its id already."""
        plan = self._plan(event, scope)
        if request.cause is not None:
            record_key(request.cause)
        if request.id is None:
            key: bytes = self._next_id()
        else:
            key = record_key(request.id)
            pending = self._on_the_way.get((scope.path, key))
            if pending is not None:
                _check_same(pending.event, event, request)
                return _Entry(pending, duplicate=True)
            record = known.get((scope.path, key))
            if record is not None:
                return _Entry(result=self._duplicate(record, event, request))
        pending = Pending(event, plan, scope, key, self._content(event, plan), request.cause)
        pending.expected_version = request.expected_version
        if request.id is not None:
            self._on_the_way[scope.path, key] = pending
        return _Entry(pending)

    def _forget(self, entries: Iterable[_Entry]) -> None:
        for entry in entries:
            if entry.pending is not None and not entry.duplicate:
                self._on_the_way.pop((entry.pending.scope.path, entry.pending.key), None)

    async def _outcome(self, entry: _Entry, *, lenient: bool) -> Change | StateError:
        pending = entry.pending
        if pending is None:
            assert entry.result is not None
            return entry.result
        if pending.result is None and pending.group is not None:
            try:
                await pending.group.settled()
            except StateError as error:
                if lenient:
                    return error
                raise
        result = pending.result
        assert result is not None
        if isinstance(result, Change):
            return result._replace(transitions=(), duplicate=True) if entry.duplicate else result
        if not lenient:
            raise result
        return result

    def _event(self, request: Dispatch) -> Any:
        if not isinstance(request.event, str):
            if request.payload is not None:
                raise InvalidEvent(f"a payload goes with an event's name, got it with {request.event!r}")
            return request.event
        kind = self._tree.event_type(request.event)
        if kind is None:
            raise self._tree.unknown(request.event, request.to)
        return self._tree.codec.structure(kind, request.payload or {})

    def _duplicate(self, record: Record, event: Any, request: Dispatch) -> Change:
        if record.is_erased:  # nobody knows any more what it was
            return Change(record, event, duplicate=True)
        kind = self._tree.event_type(record.event)
        stored = record.content
        if isinstance(stored, bytes):
            known = kind is not None and kind.cls is type(event)
            decode = self._tree.codec.decode
            stored = decode(kind, stored, schema_version=record.schema_version) if kind and known else None
        _check_same(stored, event, request)
        return Change(record, event, duplicate=True)

    async def execute(
        self, path: Path, decide: Callable[[Any], Iterable[Any]], *, name: str | None
    ) -> list[Change]:
        """Dispatch what `decide` makes of a scope's state; see `Scope.execute`."""
        while True:
            async with self._scopes.held([path]) as scopes:
                scope = scopes[path]
                seen = scope.head_version
                events = list(decide(dict(scope.head) if name is None else scope.head[name]))
            if not events:
                return []
            first, *others = events
            requests = [
                Dispatch(first, path, expected_version=seen),
                *(Dispatch(event, path) for event in others),
            ]
            try:
                changes = await self.dispatch_all(requests)
            except StaleState:
                continue
            return [change for change in changes if isinstance(change, Change)]

    def close(self) -> None:
        """Send further dispatches to the committer, which refuses them once it is closed."""
        self._memory = None

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncGenerator[None]:
        """Let dispatches wait, and those under way be written, while the block runs."""
        while self._pause is not None:
            await asyncio.shield(self._pause)
        self._pause = asyncio.get_running_loop().create_future()
        try:
            await self._committer.flush()
            yield
        finally:
            pause, self._pause = self._pause, None
            pause.set_result(None)


@attrs.define(eq=False)
class _Entry:
    """What became of one request: an outcome, its own pending event, or another's that has its id."""

    pending: Pending | None = None
    result: Change | StateError | None = None
    duplicate: bool = False


def result_of(pending: Pending) -> Change:
    """Return the change of a pending event that is done, or raise what became of it."""
    result = pending.result
    if isinstance(result, Change):
        return result
    assert result is not None
    raise result


def _ids_in(requests: Iterable[Dispatch]) -> list[tuple[Path, bytes]]:
    """Return the paths and ids of those requests that have one."""
    wanted: list[tuple[Path, bytes]] = []
    for request in requests:
        if request.id is not None:
            with contextlib.suppress(InvalidEvent):  # it is refused when it is taken up
                wanted.append((request.to, record_key(request.id)))
    return wanted


def record_key(text: str) -> bytes:
    """Return the key of a record's id; `InvalidEvent` for what cannot be one."""
    if not isinstance(text, str) or not text or len(text) > MAX_ID_LENGTH:
        raise InvalidEvent(f"a record's id is a text of 1 to {MAX_ID_LENGTH} characters, got {text!r:.60}")
    try:
        return encode_id(text)
    except UnicodeEncodeError:
        raise InvalidEvent(f"a record's id is Unicode text, got a lone surrogate in {text!r}") from None


def _check_same(known: Any, event: Any, request: Dispatch) -> None:
    if known != event:
        raise InvalidEvent(
            f"the id {request.id!r} at {request.to.encode()!r} belongs to another event; an id may come again"
            " only with the same event"
        )
