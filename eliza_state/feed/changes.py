"""Changes from a position on: those of the past out of the journal, then those that come, without a seam.

All of it is read from the journal, in pages, when it is asked for. What has been announced meanwhile is kept
aside, so far as there is room, and handed out in place of what is read: that has the states before and after.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Self

import attrs

from eliza_state.change import Change, Record
from eliza_state.decoding import read_event
from eliza_state.errors import StateError
from eliza_state.feed.feed import Feed
from eliza_state.path import Path
from eliza_state.problems import Problems
from eliza_state.reading import Reading
from eliza_state.signals import Filter, Signals, Subscription
from eliza_state.tree import Tree

PAGE_RECORDS: Final = 100
_LOOK_S: Final = 1.0


@attrs.frozen(kw_only=True)
class Past:
    """What changes are read from.

    `reached` gives the position up to which the journal can be read, `refresh` takes in what others have
    written and returns the last position.
    """

    tree: Tree
    reading: Reading
    signals: Signals
    feed: Feed
    problems: Problems
    reached: Callable[[], Awaitable[int]]
    refresh: Callable[[], Awaitable[int]]


class ResumedChanges(AsyncIterator[Change]):
    """The changes after a position: `async for change in manager.changes(after=position)`.

    `position` is the last one that is done with: handed out, or passed over because the filters do not let it
    through. Iterate after it to go on there, in another process as well. `close()`, leaving it as a context,
    or dropping it ends the iteration; so does the manager's end.
    """

    _subscription: Subscription | None = None

    def __init__(self, past: Past, *, wanted: Filter, after: int, queue_size: int) -> None:
        self.position = after
        self._past = past
        self._wanted = wanted
        self._read_to = after
        self._page: deque[Change] = deque()
        self._aside = _Aside(queue_size)
        self._checked = self._ended = False
        self._subscription = past.signals.subscribe(self._aside.put, wanted=wanted)
        self._subscription.then(past.feed.listen(self._aside.wake))

    async def __anext__(self) -> Change:
        while not self._page:
            if self._ended or self._past.feed.is_closed:
                raise StopAsyncIteration
            if not await self._read():
                await self._aside.wait()
        change = self._page.popleft()
        self.position = change.position if self._page else self._read_to
        return change

    async def _read(self) -> bool:
        """Read on, and tell whether there was anything to read."""
        self._aside.arrived.clear()
        until = await self._past.reached()
        if not self._checked:
            await self._check(until)
        if until <= self._read_to:
            return False
        records = await self._past.reading.records(
            self._wanted.below or Path(),
            after=self._read_to,
            until=until,
            newest_first=False,
            limit=PAGE_RECORDS,
        )
        self._read_to = records[-1].position if len(records) == PAGE_RECORDS else until
        name = self._wanted.event
        self._page.extend(self._change(record) for record in records if name in (None, record.event))
        self._aside.forget(until=self._read_to)
        if not self._page:
            self.position = self._read_to
        return True

    async def _check(self, until: int) -> None:
        """Refuse a position that the journal has not reached: it is of another one, or of its lost end."""
        if until < self.position:
            until = await self._past.refresh()
        if until < self.position:
            raise StateError(
                f"the journal ends at position {until}, before {self.position}, which the changes are to"
                " come after; this store is another, or one that was restored"
            )
        self._checked = True

    def _change(self, record: Record) -> Change:
        announced = self._aside.changes.get(record.position)
        if announced is not None and not record.is_erased:
            return announced
        event = read_event(self._past.tree, record, self._past.problems.report)
        return Change(record, event, origin="history")

    def close(self) -> None:
        """End the iteration; twice does nothing."""
        self._ended = True
        self._disconnect()
        self._aside.wake(0)

    def _disconnect(self) -> None:
        if self._subscription is not None:
            self._subscription.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._disconnect()


class _Aside:
    """The last changes that were announced, by position; apart from the iterator, which may be dropped."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a queue holds at least one change, got a size of {size!r}")
        self._size = size
        self.changes: dict[int, Change] = {}
        self.arrived = asyncio.Event()

    def put(self, change: Change) -> None:
        if not change.position:  # of volatile modules alone: it is not on the journal
            return
        self.changes[change.position] = change
        if len(self.changes) > self._size:
            del self.changes[next(iter(self.changes))]
        self.arrived.set()

    def wake(self, _position: int) -> None:
        self.arrived.set()

    def forget(self, *, until: int) -> None:
        while self.changes and (first := next(iter(self.changes))) <= until:
            del self.changes[first]

    async def wait(self) -> None:
        """Wait until there may be more, at most a second: what changes nothing is announced to nobody."""
        try:
            async with asyncio.timeout(_LOOK_S):
                await self.arrived.wait()
        except TimeoutError:
            pass
