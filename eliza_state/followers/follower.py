"""One follower at work: read, handle, commit with the position, wait to be woken."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import attrs

from eliza_state.change import Change, Record
from eliza_state.delivery import is_coroutine_function
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import StateError, StoreError
from eliza_state.event import FRAMEWORK_EVENTS, event_type
from eliza_state.feed import Feed
from eliza_state.followers.handler import Handler, RecordedEvent, Write, own_prefix
from eliza_state.followers.positions import FollowerAdvanced, FollowersModule, follower_of
from eliza_state.followers.sharing import Read, Share
from eliza_state.journal.claims import Claims
from eliza_state.module import Composition, StateModule
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems
from eliza_state.scope import Scope
from eliza_state.signals import Subscription
from eliza_state.tree import Tree

T = TypeVar("T")

OnError: TypeAlias = Literal["stop", "skip"]
"""What becomes of a record whose handler fails for good."""

ADVANCED: Final = event_type(FollowerAdvanced).name
LONGEST_DELAY_S: Final = 30.0


class Manager(Protocol):
    """What followers need of a manager. `StateManager` is one; it stands above this package."""

    problems: Problems
    tree: Tree
    feed: Feed
    claims: Claims

    @property
    def root(self) -> Scope:
        """The handle on the root scope."""
        ...

    def at(self, path: Path | str) -> Scope:
        """Return the handle on the scope of a path."""
        ...

    async def position(self) -> int:
        """Return the last position that the manager has taken in."""
        ...

    async def refresh(self) -> int:
        """Take in what other processes have written, and return the last position."""
        ...

    async def dispatch_all(self, events: Iterable[Dispatch], /) -> list[Change]:
        """Dispatch several events in one transaction."""
        ...

    async def register_module(self, *modules: StateModule[Any] | Composition) -> None:
        """Add modules to the open store."""
        ...

    def subscribe(
        self, receiver: Callable[[Change], None], /, *, origin: Literal["local"] | None = None
    ) -> Subscription:
        """Call a plain receiver for every change, or those of this process."""
        ...


@attrs.frozen(kw_only=True)
class Rules:
    """What one follower hears, and how it deals with it; `events` are names, `None` stands for all.

    With a `share` it hears what is in that partition. `read` reads the records at or below the scope.
    """

    scope: Scope
    read: Read
    share: Share | None = None
    events: frozenset[str] | None
    batch: int
    on_error: OnError
    retries: int


@attrs.frozen(kw_only=True)
class Timing:
    """How often a follower looks and saves, and how long it waits before it tries again at first."""

    poll_s: float
    advance_s: float
    advance_records: int
    retry_s: float


class _Overtaken(Exception):
    """The follower goes on elsewhere, and was faster there: an answer, not an error."""


class _Halt(Exception):
    """A record was tried often enough."""

    def __init__(self, record: Record, error: Exception) -> None:
        self.record = record
        self.error = error
        super().__init__(record.position)


class Follower:
    """A reader of the journal that keeps its place; made by `Followers.follow`.

    `position` is the last one it has done with, `error` what stopped it, if something did. `name` is what the
    position is stored under.
    """

    def __init__(
        self, manager: Manager, name: str, handler: Handler, *, rules: Rules, timing: Timing, position: int
    ) -> None:
        self.name = name
        self.position = position
        self.error: Exception | None = None
        self._manager = manager
        self._handler: Any = handler
        self._is_coroutine = is_coroutine_function(handler)
        self._rules = rules
        self._timing = timing
        self._own = own_prefix(follower_of(name))
        self._saved = position
        self._saved_at = time.monotonic()
        self._unsaved = 0
        self._woken = asyncio.Event()
        self._looked = asyncio.Event()
        self._is_ending = self._is_second = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_running(self) -> bool:
        """Whether it still follows."""
        return not self._task.done()

    def owes(self, path: Path, position: int) -> bool:
        """Tell whether it has still to hear records at or below a path, up to a position."""
        own = self._rules.scope.path
        overlaps = own == path or own.is_below(path) or path.is_below(own)
        return overlaps and self.position < position

    def wake(self) -> None:
        """Look for new records soon."""
        self._woken.set()

    async def settled(self) -> None:
        """Wait until it has done with every record that the manager has taken in.

        Raises `StateError` if it has stopped before that.
        """
        while self.position < await self._manager.position():
            if not self.is_running:
                raise StateError(f"follower {self.name!r} stopped at {self.position}: {self.error!r}")
            self._looked.clear()
            self._woken.set()
            await self._looked.wait()

    def check_caller(self) -> None:
        """Raise `StateError` in the follower's own handler, whose end `close` would wait for."""
        if self._task is asyncio.current_task():
            raise StateError("a handler cannot close its own follower; let another task do that")

    async def close(self) -> None:
        """Cancel what is at hand, which will be heard again, and save the position; twice does nothing.

        Raises `StateError` when the follower's own handler calls it.
        """
        self.check_caller()
        was_running = self.is_running
        self._task.cancel()
        await asyncio.wait([self._task])
        if was_running:
            await self._save()

    async def finish(self) -> None:
        """End once the record at hand is done with, and save the position."""
        self._is_ending = True
        self._woken.set()
        await asyncio.wait([self._task])
        await self._save()

    # The loop

    async def _run(self) -> None:
        try:
            while not self._is_ending:
                self._woken.clear()
                try:
                    await self._catch_up()
                except _Overtaken:
                    continue
                self._looked.set()
                await self._wait()
        except _Halt as halt:
            where = f"{halt.record.event} at position {halt.record.position}"
            self._stop(f"stopped at {where}: {halt.error!r}", halt.error, halt.record.path)
            await self._save()
        except Exception as error:  # noqa: BLE001  # a task that nobody awaits has to say why it ended
            self._stop(f"stopped: {error!r}", error)
        finally:
            self._looked.set()

    async def _catch_up(self) -> None:
        await self._adopt()
        while (until := await self._manager.position()) > self.position:
            read = partial(self._rules.read, after=self.position, until=until)
            records = await self._persist(partial(read, limit=self._rules.batch))
            if self._is_second and any(map(self._wants, records)):
                await self._stand_by()
            await self._take(records)
            if self._is_ending:
                return
            if len(records) < self._rules.batch:
                self.position = max(self.position, until)
            if self._unsaved >= self._timing.advance_records:
                await self._commit([], self.position)
        if self._unsaved and time.monotonic() >= self._saved_at + self._timing.advance_s:
            await self._commit([], self.position)

    async def _adopt(self) -> None:
        """Go on from where another has come under this name, if one has; that one has the lead then."""
        if await self._place() == self._saved:
            return
        await self._persist(self._manager.refresh)
        self.position = self._saved = await self._place()
        self._unsaved = 0
        self._is_second = True

    async def _stand_by(self) -> None:
        """Leave records to who has the lead, else take them: a race for each would do all of it twice."""
        await asyncio.sleep(self._timing.poll_s)
        self._is_second = False
        if await self._place() != self._saved:
            raise _Overtaken

    async def _wait(self) -> None:
        """Wait to be woken, or, where a position is still to be saved, until that is due."""
        left_s = self._saved_at + self._timing.advance_s - time.monotonic() if self._unsaved else None
        try:
            async with asyncio.timeout(left_s):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _stop(self, message: str, error: Exception, path: Path | None = None) -> None:
        self.error = error
        self._report(message, error, path)

    def _report(self, message: str, error: Exception, path: Path | None = None) -> None:
        self._manager.problems.report(Problem("follower", f"follower {self.name!r} {message}", path, error))

    # Handling

    async def _take(self, records: Sequence[Record]) -> None:
        """Handle records: together where the handler cannot look at what the earlier ones led to."""
        if not self._is_coroutine and records:
            try:
                await self._attempt(records)
                return
            except _Overtaken:
                raise
            except Exception:  # noqa: BLE001, S110  # whose fault it was shows when each is tried alone
                pass
        for record in records:
            if self._is_ending:
                return
            await self._insist(record)

    async def _insist(self, record: Record) -> None:
        """Handle one record, again if it fails, at growing intervals, until it has been tried enough."""
        for retry in itertools.count():
            try:
                await self._attempt([record])
            except _Overtaken:
                raise
            except Exception as error:  # whatever a handler raises
                if retry < self._rules.retries:
                    await asyncio.sleep(self._delay_s(retry))
                    continue
                if self._rules.on_error == "stop":
                    raise _Halt(record, error) from error
                where = f"{record.event} at position {record.position}"
                self._report(f"skipped {where}: {error!r}", error, record.path)
                self._pass([record])
            return

    async def _attempt(self, records: Sequence[Record]) -> None:
        """Handle records and commit what was derived from them; if anything is refused, all of it."""
        derived: list[Dispatch] = []
        for record in records:
            if self._wants(record):
                derived += await self._derive(record)
        if derived:
            await self._commit(derived, records[-1].position)
        else:
            self._pass(records)

    def _wants(self, record: Record) -> bool:
        events = self._rules.events
        if record.is_erased or (events is None and record.event in FRAMEWORK_EVENTS):
            return False
        if events is not None and record.event not in events:
            return False
        if self._rules.share is not None and not self._rules.share.has(record):
            return False
        return not self._is_own(record) and self._manager.tree.event_type(record.event) is not None

    def _is_own(self, record: Record) -> bool:
        """Tell whether the record is the followers' bookkeeping, or was derived by this very follower."""
        return record.event == ADVANCED or record.id.startswith(self._own)

    async def _derive(self, record: Record) -> list[Dispatch]:
        content = record.content
        if isinstance(content, bytes):
            kind = self._manager.tree.event_type(record.event)
            assert kind is not None
            content = self._manager.tree.codec.decode(kind, content, schema_version=record.schema_version)
        write = Write(follower_of(self.name), record, at=self._manager.at)
        outcome = self._handler(RecordedEvent(record, content), write)
        if self._is_coroutine:
            outcome = await self._outcome(outcome)
        if outcome is not None:
            raise StateError(f"a handler returns nothing, got {outcome!r}; it derives events by write(event)")
        return write.close()

    async def _outcome(self, handling: Awaitable[Any]) -> Any:
        try:
            return await handling
        except asyncio.CancelledError as error:
            if self._task.cancelling():
                raise
            raise StateError("something that the handler awaited was cancelled") from error

    # Keeping the place

    def _pass(self, records: Sequence[Record]) -> None:
        """Go past records that led to nothing; the position is saved later, with others."""
        self.position = records[-1].position
        # What followers themselves write must not make them write again.
        self._unsaved += sum(not self._is_own(record) for record in records)

    async def _commit(self, derived: Sequence[Dispatch], position: int) -> None:
        """Store what was derived together with the position; `_Overtaken` if another was faster."""
        step = FollowerAdvanced(name=self.name, after=self._saved, position=position)
        try:
            await self._persist(partial(self._manager.dispatch_all, [Dispatch(step, Path()), *derived]))
        except StateError:
            await self._persist(self._manager.refresh)
            if await self._place() != self._saved:
                raise _Overtaken from None
            raise
        self.position = self._saved = position
        self._saved_at = time.monotonic()
        self._unsaved = 0

    async def _place(self) -> int:
        """Return the saved position as far as the manager knows; it costs no look into the store."""
        known = await self._persist(partial(self._manager.root.state, FollowersModule.name))
        return int(known.positions[self.name])

    async def _save(self) -> None:
        """Save the position once, if that is to be done; what is not saved is gone past again."""
        if not self._unsaved:
            return
        step = FollowerAdvanced(name=self.name, after=self._saved, position=self.position)
        try:
            await self._manager.dispatch_all([Dispatch(step, Path())])
        except StateError:
            return
        self._saved, self._unsaved = self.position, 0

    async def _persist(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Repeat what the store cannot do just now, at growing intervals; the first refusal is reported."""
        for retry in itertools.count():
            try:
                return await operation()
            except StoreError as error:
                if not retry:
                    self._report(f"waits for the store: {error}", error)
                await asyncio.sleep(self._delay_s(retry))
        raise AssertionError

    def _delay_s(self, retry: int) -> float:
        return min(math.ldexp(self._timing.retry_s, min(retry, 32)), LONGEST_DELAY_S)
