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
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, Self

import attrs

from eliza_state.change import Change
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import RegistrationError, Rejected, StateError, StoreError
from eliza_state.event import event_type
from eliza_state.followers.follower import ADVANCED, Follower, Manager, OnError, Rules, Timing
from eliza_state.followers.group import FollowerGroup
from eliza_state.followers.handler import Handler
from eliza_state.followers.positions import (
    FollowerAdvanced,
    FollowerForgotten,
    FollowersModule,
    follower_of,
    followers_module,
)
from eliza_state.followers.sharing import Division, Pages, Share
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.scope import Scope
from eliza_state.signals import Subscription

ADVANCE_RECORDS: Final = 1_000

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class Followers:
    """The followers of one manager; `close()`, or leaving it as a context, ends them.

    - `poll_interval_ms`: how often to ask for records of other processes (`StateManager.refresh`) where the
      manager's feed does not. Changes of this manager are heard at once, its records that changed nothing
      with the next of these looks, or the feed's. It is also how long a follower that another process has
      overtaken leaves it the lead, and how often those who share a follower look who is there.
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
        self._groups: dict[str, FollowerGroup] = {}
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

    async def join(  # noqa: PLR0913  # keyword-only; as `follow`, and how it is divided
        self,
        name: str,
        handler: Handler,
        *,
        partitions: int,
        by: str = "conversation",
        below: Path | str | Scope | None = None,
        events: Iterable[type | str] | None = None,
        start: int | Literal["now"] = 0,
        batch: int = 100,
        on_error: OnError = "stop",
        retries: int = 5,
    ) -> FollowerGroup:
        """Follow together with all who join under this name: each record is handled by one of them.

        The records are divided into `partitions`, by the scope of the level `by` at or below which they are
        addressed; others by their own path. So the order within such a scope is kept. Each
        partition has a position of its own, is worked on by one process at a time and, when that ends,
        however it does, by another, from that position on. All join with equal `partitions` and `by`, and
        more than `partitions` cannot work at a time. A handler that fails stops, or skips, in its partition
        alone. All else is as in `follow`, and raised as there; `RegistrationError` also where the name is
        followed otherwise, `InvalidPath` for a level that the hierarchy does not have.
        """
        rules = self._rules(below, events, batch=batch, on_error=on_error, retries=retries)
        self._check(name)
        if partitions < 1:
            raise RegistrationError(f"at least one partition is wanted, got {partitions!r}")
        depth = len(self._manager.tree.hierarchy.chain(by)) - 1
        division = Division(by, depth, partitions)
        self._opening.add(name)
        try:
            await self._form(name, division.places(name), start)
            if self._closed:
                raise _closed()
            self._start()
            group = self._groups[name] = FollowerGroup(
                name,
                division=division,
                claims=self._manager.claims,
                begin=self._partition(name, handler, rules, division),
                problems=self._manager.problems,
                look_s=self._timing.poll_s,
            )
            await group.open()
        finally:
            self._opening.discard(name)
        return group

    def _partition(
        self, name: str, handler: Handler, rules: Rules, division: Division
    ) -> Callable[[int], Awaitable[Follower]]:
        """Return how to follow one partition from where whoever had it last has come to."""
        places, pages = division.places(name), Pages(rules.read)

        async def begin(number: int) -> Follower:
            await self._manager.refresh()
            position = (await self.places())[places[number]]
            own = attrs.evolve(rules, read=pages.read, share=Share(division, number))
            place, timing = places[number], self._timing
            return Follower(self._manager, place, handler, rules=own, timing=timing, position=position)

        return begin

    async def _form(self, name: str, places: list[str], start: int | Literal["now"]) -> None:
        """Store where the partitions of a new follower begin; check the division of one that is known."""
        last = await self._manager.refresh()
        stored = {place for place in await self.places() if follower_of(place) == name}
        if stored and stored != set(places):
            raise RegistrationError(
                f"{name!r} is followed as {', '.join(sorted(stored))}, not in {len(places)} partitions as"
                f" {places[0]}; join with the same partitions, or forget it first"
            )
        if not stored:
            try:
                await self._store(places, _start(start, last))
            except Rejected:
                await self._form(name, places, start)  # another process has begun with it in this moment

    async def _store(self, places: Iterable[str], position: int) -> None:
        steps = (FollowerAdvanced(name=place, after=None, position=position) for place in places)
        await self._manager.dispatch_all([Dispatch(step, Path()) for step in steps])

    def __iter__(self) -> Iterator[Follower]:
        """Yield the followers that were made here, stopped ones too, and the partitions of this process."""
        shared = (follower for group in self._groups.values() for follower in group.partitions.values())
        return iter((*self._followers.values(), *shared))

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
        return Rules(
            scope=scope, read=scope.records, events=names, batch=batch, on_error=on_error, retries=retries
        )

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
        if self._is_here(name):
            raise RegistrationError(f"{name!r} is being followed here already; names are unique")

    def _is_here(self, name: str) -> bool:
        known, group = self._followers.get(name), self._groups.get(name)
        is_running = (known is not None and known.is_running) or (group is not None and group.is_open)
        return name in self._opening or is_running

    async def _place(self, name: str, start: int | Literal["now"]) -> int:
        """Return the position to go on from; a new follower's is stored first."""
        manager = self._manager
        last = await manager.refresh()
        known = await self.places()
        if name in known:
            return int(known[name])
        if any(follower_of(place) == name for place in known):
            raise RegistrationError(f"{name!r} is shared; `join` it, or forget it first")
        position = _start(start, last)
        try:
            await self._store([name], position)
        except Rejected:
            # Another process has begun with it in this very moment.
            return await self._place(name, start)
        return position

    async def places(self) -> Mapping[str, int]:
        """Return how far each follower of the store has come, by name, whether it runs here or not.

        Registers `FollowersModule`, if it is not there.
        """
        tree = self._manager.tree
        root = tree.hierarchy.root
        if not isinstance(tree.modules(root).get(FollowersModule.name), FollowersModule):
            await self._manager.register_module(followers_module(tree.hierarchy))
        found: Mapping[str, int] = (await self._manager.root.state(FollowersModule.name)).positions
        return found

    async def forget(self, name: str) -> None:
        """Forget how far a follower has come: one who follows by its name again begins anew.

        A name that is not known is forgotten already; of one that is shared, all partitions are. Raises
        `StateError` while it is being followed here.
        """
        if self._is_here(name):
            raise StateError(f"{name!r} is being followed here; end it before it is forgotten")
        known = [place for place in await self.places() if name in (place, follower_of(place))]
        if known:
            steps = (FollowerForgotten(name=place) for place in known)
            await self._manager.dispatch_all([Dispatch(step, Path()) for step in steps])

    def _start(self) -> None:
        if self._subscription is None:
            self._subscription = self._manager.subscribe(self._wake, origin="local")
            self._subscription.then(self._manager.feed.listen(self._wake_behind))
            self._polling = asyncio.get_running_loop().create_task(self._poll())

    def _wake(self, change: Change) -> None:
        if change.position and change.record.event != ADVANCED:
            for follower in self:
                follower.wake()

    def _wake_behind(self, position: int) -> None:
        for follower in self:
            if follower.position < position:
                follower.wake()

    async def _poll(self) -> None:
        """Take in other processes' records from time to time, and wake who has not heard of them."""
        failing = False
        while True:
            await asyncio.sleep(self._timing.poll_s)
            if self._manager.feed.is_running:
                continue
            try:
                position = await self._manager.refresh()
            except StoreError as error:
                if not failing:
                    message = f"followers cannot look for other processes' records: {error}"
                    self._manager.problems.report(Problem("follower", message, None, error))
                failing = True
                continue
            failing = False
            self._wake_behind(position)

    def work_at(self, path: Path, position: int, places: Mapping[str, int]) -> str:
        """Say which follower has still to hear records of a scope up to a position; empty where none has.

        `places` are the stored ones: what is followed elsewhere, or by nobody now, counts as well.
        """
        here = {follower.name for follower in self if follower.is_running}
        for follower in self:
            if follower.is_running and follower.owes(path, position):
                return _owing(follower.name, follower.position, position)
        for name, place in places.items():
            if name not in here and place < position:
                return _owing(name, place, position)
        return ""

    async def settled(self) -> None:
        """Wait until all have done with every record that the manager has taken in.

        Raises `StateError` if one of them has stopped because of an error.
        """
        while behind := await self._behind():
            for follower in behind:
                await follower.settled()

    async def _behind(self) -> list[Follower]:
        position = await self._manager.position()
        return [each for each in self if each.position < position and (each.is_running or each.error)]

    async def close(self) -> None:
        """End all followers and save how far they have come; twice does nothing.

        Raises `StateError`, ending none, when one of their handlers calls it.
        """
        for follower in self:
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
        for group in self._groups.values():
            await group.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _start(start: int | Literal["now"], last: int) -> int:
    """Return the position after which a new follower begins."""
    position = last if start == "now" else start
    if not 0 <= position <= last:
        raise StateError(f"a follower starts 'now' or after a position from 0 to {last}, got {start!r}")
    return position


def _owing(name: str, place: int, position: int) -> str:
    return f"follower {name!r} stands at {place} and has still to hear it up to {position}"


def _closed() -> StateError:
    return StateError("the followers are closed; open the store anew")
