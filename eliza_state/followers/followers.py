"""The followers of one manager: registered by name, woken by its changes and by a slow look elsewhere.

def count_words(told, write):
    write(WordsCounted(count=len(told.event.text.split())))

async with Followers(manager) as followers:
    await followers.follow("words", count_words, events=[MessageReceived])

What a handler writes is dispatched in one transaction with the position it has reached, an event that
`FollowersModule` keeps at the root: either both are on the journal or neither. So what a follower makes of
the records is there once, whatever is killed when, and whoever follows under the same name elsewhere. This
is the process application of the library eventsourcing, whose tracking records are stored the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, Self

from eliza_state.change import Change
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import RegistrationError, Rejected, StateError, StoreError
from eliza_state.event import event_type
from eliza_state.followers.follower import ADVANCED, Follower, Manager, OnError, Rules, Timing
from eliza_state.followers.handler import Handler
from eliza_state.followers.positions import FollowerAdvanced, FollowersModule, followers_module
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.scope import Scope
from eliza_state.signals import Subscription

ADVANCE_RECORDS: Final = 1_000

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class Followers:
    """The followers of one manager; `close()`, or leaving it as a context, ends them.

    - `poll_interval_ms`: how often to ask for records of other processes (`StateManager.refresh`). Changes
      of this manager are heard at once, its records that changed nothing with the next of these looks. It
      is also how long a follower that another process has overtaken leaves it the lead.
    - `advance_interval_ms`: how long a position that was reached without writing anything may stay unsaved;
      after 1,000 records it is saved in any case.
    - `retry_delay_ms`: how long to wait before the first repetition of what failed; each further one waits
      twice as long, up to 30 seconds.
    """

    def __init__(
        self,
        manager: Manager,
        *,
        poll_interval_ms: int = 1_000,
        advance_interval_ms: int = 5_000,
        retry_delay_ms: int = 200,
    ) -> None:
        if poll_interval_ms < 1 or advance_interval_ms < 0 or retry_delay_ms < 0:
            raise RegistrationError("a poll_interval_ms of at least 1 is wanted, and no negative delay")
        self._manager = manager
        self._timing = Timing(
            poll_s=poll_interval_ms / 1_000,
            advance_s=advance_interval_ms / 1_000,
            advance_records=ADVANCE_RECORDS,
            retry_s=retry_delay_ms / 1_000,
        )
        self._followers: dict[str, Follower] = {}
        self._opening: set[str] = set()
        self._subscription: Subscription | None = None
        self._polling: asyncio.Task[None] | None = None
        self._closed = False

    async def follow(
        self,
        name: str,
        handler: Handler,
        *,
        below: Path | str | Scope | None = None,
        events: Iterable[type | str] | None = None,
        start: int | Literal["now"] = 0,
        batch: int = 100,
        on_error: OnError = "stop",
        retries: int = 5,
    ) -> Follower:
        """Call `handler(told, write)` for every record, in position order, from where `name` has come to.

        `told` is a `RecordedEvent`; what the handler derives from it is handed to `write`, a `Write`. It
        hears the records of all processes, those that changed nothing included, at or `below` a scope and of
        these `events` (classes or names), where given; not what it has written itself, and no record whose
        event no module knows. A new name begins after position `start`: with the first record there is, or
        `"now"`. Up to `batch` records are read at once. A plain function derives from the records alone, so
        they share a transaction; after a coroutine function, which can read the state, each one that wrote
        something is committed before the next is handled.
        A record whose handler raises, or whose events are refused, is tried again `retries` times; then the
        follower stops, and begins with it the next time (`stop`), or goes on without it (`skip`); both are
        reported as `follower`. Refusals of the store are no fault of a record's: they are reported once and
        repeated until it is back.
        Registers `FollowersModule`, if it is not there. Raises `RegistrationError` for a malformed name, one
        that is being followed here already, an event that no module handles, or options that make no sense;
        `StateError` for a start beyond the end, or when closed; `StoreError` for a store that cannot be
        written.
        """
        rules = self._rules(below, events, batch=batch, on_error=on_error, retries=retries)
        self._check(name)
        self._opening.add(name)
        try:
            position = await self._place(name, start)
            if self._closed:
                raise _closed()
            self._start()
            follower = self._followers[name] = Follower(
                self._manager, name, handler, rules=rules, timing=self._timing, position=position
            )
        finally:
            self._opening.discard(name)
        return follower

    def __iter__(self) -> Iterator[Follower]:
        """Yield the followers that were made here, those that have stopped included."""
        return iter(tuple(self._followers.values()))

    def _rules(
        self,
        below: Path | str | Scope | None,
        events: Iterable[type | str] | None,
        *,
        batch: int,
        on_error: OnError,
        retries: int,
    ) -> Rules:
        if batch < 1 or retries < 0:
            raise RegistrationError(f"a batch of at least 1 and no negative retries, got {batch}, {retries}")
        if on_error not in ("stop", "skip"):
            raise RegistrationError(f"on_error is 'stop' or 'skip', got {on_error!r}")
        scope = below if isinstance(below, Scope) else self._manager.at(below or Path())
        names = None if events is None else frozenset(map(self._event_name, events))
        return Rules(scope=scope, events=names, batch=batch, on_error=on_error, retries=retries)

    def _event_name(self, event: type | str) -> str:
        name = event_type(event).name if isinstance(event, type) else event
        if self._manager.tree.event_type(name) is None:
            raise RegistrationError(f"no module handles {name!r}; register one that does before following it")
        return name

    def _check(self, name: str) -> None:
        if self._closed:
            raise _closed()
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise RegistrationError(f"a follower's name is lower case such as 'words', got {name!r}")
        known = self._followers.get(name)
        if name in self._opening or (known is not None and known.is_running):
            raise RegistrationError(f"{name!r} is being followed here already; names are unique")

    async def _place(self, name: str, start: int | Literal["now"]) -> int:
        """Return the position to go on from; a new follower's is stored first."""
        manager = self._manager
        hierarchy = manager.tree.hierarchy
        if not isinstance(manager.tree.modules(hierarchy.root).get(FollowersModule.name), FollowersModule):
            await manager.register_module(followers_module(hierarchy))
        last = await manager.refresh()
        known = (await manager.root.state(FollowersModule.name)).positions
        if name in known:
            return int(known[name])
        position = last if start == "now" else start
        if not 0 <= position <= last:
            raise StateError(f"a follower starts 'now' or after a position from 0 to {last}, got {start!r}")
        try:
            step = FollowerAdvanced(name=name, after=None, position=position)
            await manager.dispatch_all([Dispatch(step, Path())])
        except Rejected:
            # Another process has begun with it in this very moment.
            return await self._place(name, start)
        return position

    def _start(self) -> None:
        if self._subscription is None:
            self._subscription = self._manager.subscribe(self._wake)
            self._polling = asyncio.get_running_loop().create_task(self._poll())

    def _wake(self, change: Change) -> None:
        if change.position and change.record.event != ADVANCED:
            for follower in self._followers.values():
                follower.wake()

    async def _poll(self) -> None:
        """Take in other processes' records from time to time, and wake who has not heard of them."""
        failing = False
        while True:
            await asyncio.sleep(self._timing.poll_s)
            try:
                position = await self._manager.refresh()
            except StoreError as error:
                if not failing:
                    message = f"followers cannot look for other processes' records: {error}"
                    self._manager.problems.report(Problem("follower", message, None, error))
                failing = True
                continue
            failing = False
            for follower in self._followers.values():
                if follower.position < position:
                    follower.wake()

    async def settled(self) -> None:
        """Wait until all have done with every record that the manager has taken in.

        Raises `StateError` if one of them has stopped because of an error.
        """
        while behind := await self._behind():
            for follower in behind:
                await follower.settled()

    async def _behind(self) -> list[Follower]:
        position = await self._manager.position()
        followers = self._followers.values()
        return [each for each in followers if each.position < position and (each.is_running or each.error)]

    async def close(self) -> None:
        """End all followers and save how far they have come; twice does nothing.

        Raises `StateError`, ending none, when one of their handlers calls it.
        """
        for follower in self._followers.values():
            follower.check_caller()
        self._closed = True
        if self._subscription is not None:
            self._subscription.cancel()
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling
        for follower in tuple(self._followers.values()):
            await follower.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _closed() -> StateError:
    return StateError("the followers are closed; open the store anew")
