"""How changes are told: signals owned by a manager, receivers that cannot harm each other.

blinker keeps the connections; delivery is our own, because `Signal.send` stops at the first receiver that
raises. Plain receivers run inline, in position order; each coroutine receiver has a bounded, ordered queue
of its own and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Literal, Self, TypeAlias, cast
from weakref import ReferenceType, WeakSet

import attrs
import blinker

from eliza_state.change import Change
from eliza_state.errors import StateError
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems

STATE_CHANGED: Final = "state:changed"
QUEUE_SIZE: Final = 1_024

Receiver: TypeAlias = Callable[[Change], None] | Callable[[Change], Awaitable[None]]
"""Takes a change; a coroutine function gets a queue of its own."""

Overflow: TypeAlias = Literal["raise", "drop_oldest", "drop_newest"]
"""What a full queue of `changes()` does: fail the iteration, or lose one change and report it."""


@attrs.frozen
class Filter:
    """Which changes to tell: those at or below a path, with a changed slice of a module, of an event.

    `None` stands for all. `event` is the event's name.
    """

    below: Path | None = None
    module: str | None = None
    event: str | None = None

    def accepts(self, change: Change) -> bool:
        """Tell whether the change passes."""
        path = change.record.path
        if self.below is not None and path != self.below and not path.is_below(self.below):
            return False
        if self.event is not None and change.record.event != self.event:
            return False
        return self.module is None or any(name == self.module for _, name, _, _ in change.transitions)


class Subscription:
    """A receiver's connection; `cancel()`, or leaving it as a context, ends it."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel: Callable[[], None] | None = cancel

    def cancel(self) -> None:
        """End the connection; what is queued for a coroutine receiver is dropped. Twice does nothing."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class ChangeSignal(blinker.NamedSignal):
    """A blinker signal for plain receivers `receiver(sender, change=change)`, kept weakly as usual."""

    def connect(self, receiver: Any, sender: Any = blinker.ANY, weak: bool = True) -> Any:
        """Connect a plain receiver; `TypeError` for a coroutine function, which `subscribe` takes."""
        if _is_coroutine_function(receiver):
            raise TypeError(f"{receiver!r} is a coroutine function; subscribe() gives it the queue it needs")
        return super().connect(receiver, sender=sender, weak=weak)


class Signals:
    """Tell the changes of one manager to its receivers.

    `changed` is the blinker signal behind `state:changed`; its sender is `sender`.
    """

    def __init__(self, sender: Any, *, problems: Problems) -> None:
        self.changed = ChangeSignal(STATE_CHANGED)
        self._sender = sender
        self._problems = problems
        self._receivers: tuple[Callable[[Change], None], ...] = ()
        self._queues: set[_Queue] = set()
        self._iterated: WeakSet[_Queue] = WeakSet()
        self._undelivered: deque[Change] = deque()
        self._delivering = False

    def publish(self, change: Change) -> None:
        """Deliver a change to all receivers; never raises.

        A change that a receiver brings about while it is told another one is delivered after that.
        """
        if self._delivering:
            self._undelivered.append(change)
            return
        self._delivering = True
        undelivered = self._undelivered
        try:
            while True:
                for receiver in self._receivers:
                    try:
                        receiver(change)
                    except Exception as error:  # noqa: BLE001  # one receiver must not stop the others
                        self._failed(receiver, change, error)
                if self.changed.receivers:
                    self._deliver_to_signal(change)
                if not undelivered:
                    return
                change = undelivered.popleft()
        finally:
            self._delivering = False

    def _deliver_to_signal(self, change: Change) -> None:
        for kept in self.changed.receivers_for(self._sender):
            receiver = cast("Any", kept() if isinstance(kept, ReferenceType) else kept)
            try:
                receiver(self._sender, change=change)
            except Exception as error:  # noqa: BLE001  # one receiver must not stop the others
                self._failed(receiver, change, error)

    def _failed(self, receiver: object, change: Change, error: Exception) -> None:
        name = getattr(receiver, "__qualname__", repr(receiver))
        message = f"receiver {name} failed on {change.record.event} at position {change.position}: {error!r}"
        self._problems.report(Problem("receiver", message, change.path, error))

    def subscribe(self, receiver: Receiver, *, wanted: Filter, queue_size: int = QUEUE_SIZE) -> Subscription:
        """Call `receiver` for every wanted change from now on, until the subscription is cancelled.

        The receiver is kept alive. A coroutine function is called for one change after the other by a task
        of its own; when `queue_size` changes wait for it the oldest is dropped and reported.
        """
        if _is_coroutine_function(receiver):
            return self._subscribe_queue(_Queue(wanted, queue_size, "drop_oldest", self._lost), receiver)
        deliver: Any = receiver
        if wanted != Filter():

            def filtered(change: Change) -> None:
                if wanted.accepts(change):
                    receiver(change)

            filtered.__qualname__ = getattr(receiver, "__qualname__", repr(receiver))
            deliver = filtered
        return self._connect(deliver)

    def _connect(self, deliver: Callable[[Change], None]) -> Subscription:
        self._receivers = (*self._receivers, deliver)
        return Subscription(lambda: self._disconnect(deliver))

    def _disconnect(self, deliver: Callable[[Change], None]) -> None:
        # One connection of it: the same receiver may be subscribed more than once.
        place = next(place for place, known in enumerate(self._receivers) if known is deliver)
        self._receivers = (*self._receivers[:place], *self._receivers[place + 1 :])

    def _lost(self, wanted: Filter) -> None:
        below = "" if wanted.below is None else f" below {wanted.below.encode()!r}"
        message = f"a receiver of changes{below} does not keep up; a change was dropped for it"
        self._problems.report(Problem("overflow", message, wanted.below))

    def _subscribe_queue(self, queue: _Queue, receiver: Any) -> Subscription:
        connection = self._connect(queue.put)
        self._queues.add(queue)

        async def work() -> None:
            while (change := await queue.get()) is not None:
                try:
                    await receiver(change)
                except Exception as error:  # noqa: BLE001  # a receiver's failure is its own
                    self._failed(receiver, change, error)
                finally:
                    queue.done()

        task = asyncio.get_running_loop().create_task(work())

        def cancel() -> None:
            connection.cancel()
            task.cancel()
            queue.close()
            self._queues.discard(queue)

        queue.cancel = cancel
        return Subscription(cancel)

    def changes(
        self, *, wanted: Filter, queue_size: int = QUEUE_SIZE, overflow: Overflow = "raise"
    ) -> Changes:
        """Return an iterator over every wanted change from now on, in position order."""
        queue = _Queue(wanted, queue_size, overflow, self._lost)
        self._iterated.add(queue)
        return Changes(queue, self._connect(queue.put))

    async def settled(self) -> None:
        """Wait until no coroutine receiver has a change waiting or in hand."""
        while busy := [queue for queue in self._queues if not queue.is_idle]:
            for queue in busy:
                await queue.join()

    def close(self) -> None:
        """End the coroutine receivers and the iterations."""
        for queue in tuple(self._queues):
            queue.cancel()
        for queue in tuple(self._iterated):
            queue.end()


class Changes(AsyncIterator[Change]):
    """Changes as they come: `async for change in manager.changes()`; connected from the start.

    `close()`, leaving it as a context, or dropping it ends the connection; so does the manager's end. What
    waits by then is still handed out.
    """

    def __init__(self, queue: _Queue, subscription: Subscription) -> None:
        self._queue = queue
        self._subscription = subscription

    async def __anext__(self) -> Change:
        change = await self._queue.get()
        if change is None:
            raise StopAsyncIteration
        self._queue.done()
        return change

    def close(self) -> None:
        """End the connection; twice does nothing."""
        self._subscription.cancel()
        self._queue.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._subscription.cancel()


def _is_coroutine_function(receiver: object) -> bool:
    """Tell whether calling it gives something to await, be it a function or an object with `__call__`."""
    return inspect.iscoroutinefunction(receiver) or inspect.iscoroutinefunction(type(receiver).__call__)


class _Queue:
    """The changes that wait for one asynchronous receiver."""

    def __init__(self, wanted: Filter, size: int, overflow: Overflow, lost: Callable[[Filter], None]) -> None:
        if size < 1:
            raise ValueError(f"a queue holds at least one change, got a size of {size!r}")
        if overflow not in ("raise", "drop_oldest", "drop_newest"):
            raise ValueError(f"overflow is 'raise', 'drop_oldest' or 'drop_newest', got {overflow!r}")
        self._wanted = wanted
        self._size = size
        self._overflow = overflow
        self._lost = lost
        self._changes: deque[Change] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._overflowed = False
        self._ended = False
        self._in_hand = 0
        self.cancel: Callable[[], None] = self.close

    @property
    def is_idle(self) -> bool:
        return self._idle.is_set()

    def put(self, change: Change) -> None:
        if not self._wanted.accepts(change):
            return
        if len(self._changes) >= self._size:
            if self._overflow == "raise":
                self._overflowed = True
                return
            self._lost(self._wanted)
            if self._overflow == "drop_newest":
                return
            self._changes.popleft()
        self._changes.append(change)
        self._idle.clear()
        self._arrived.set()

    async def get(self) -> Change | None:
        """Wait for the next change and take it; `None` after the last one of a queue that has ended."""
        while not self._changes:
            if self._overflowed:
                raise StateError(
                    f"changes were lost: more than {self._size} waited; take them faster, or choose"
                    " a larger queue_size or another overflow"
                )
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        self._in_hand += 1
        return self._changes.popleft()

    def done(self) -> None:
        self._in_hand -= 1
        if not self._changes and not self._in_hand:
            self._idle.set()

    async def join(self) -> None:
        await self._idle.wait()

    def end(self) -> None:
        self._ended = True
        self._arrived.set()

    def close(self) -> None:
        self._changes.clear()
        self._idle.set()
