"""How changes are told: signals owned by a manager, receivers that cannot harm each other.

blinker keeps the connections of its own signal; delivery is ours (`eliza_state.delivery`), because
`Signal.send` stops at the first receiver that raises. Changes are told in position order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal, Self, TypeAlias, cast
from weakref import ReferenceType, WeakSet

import attrs
import blinker

from eliza_state import delivery
from eliza_state.change import Change, Record
from eliza_state.delivery import Delivery, Queue, is_coroutine_function, name_of
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems

STATE_CHANGED: Final = "state:changed"
QUEUE_SIZE: Final = 1_024

Receiver: TypeAlias = Callable[[Change], None] | Callable[[Change], Awaitable[None]]
"""Takes a change; a coroutine function gets a queue of its own."""

Overflow: TypeAlias = delivery.Overflow
"""What a full queue of `changes()` does: fail the iteration, or lose one change and report it."""


@attrs.frozen
class Filter:
    """Which changes to tell: those at or below a path, with a changed slice of a module, of an event.

    `None` stands for all. `event` is the event's name; with the `origin` local, others' changes are left out.
    """

    below: Path | None = None
    module: str | None = None
    event: str | None = None
    origin: Literal["local"] | None = None

    def accepts(self, change: Change) -> bool:
        """Tell whether the change passes."""
        if not self.may_accept(change.record) or self.origin not in (None, change.origin):
            return False
        return self.module is None or any(name == self.module for _, name, _, _ in change.transitions)

    def may_accept(self, record: Record) -> bool:
        """Tell whether the change of a record passes as far as the record tells."""
        path = record.path
        if self.below is not None and path != self.below and not path.is_below(self.below):
            return False
        return self.event is None or record.event == self.event


class Subscription:
    """A receiver's connection; `cancel()`, or leaving it as a context, ends it."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel: Callable[[], None] | None = cancel
        self._further: list[Callable[[], None]] = []

    def then(self, call: Callable[[], None]) -> None:
        """Call something more when the connection is ended."""
        self._further.append(call)

    def cancel(self) -> None:
        """End the connection; what is queued for a coroutine receiver is dropped. Twice does nothing."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
            for call in self._further:
                call()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class ChangeSignal(blinker.NamedSignal):
    """A blinker signal for plain receivers `receiver(sender, change=change)`, kept weakly as usual.

    `on_connect` is called after each connection.
    """

    on_connect: Callable[[], None] = staticmethod(lambda: None)

    def connect(self, receiver: Any, sender: Any = blinker.ANY, weak: bool = True) -> Any:
        """Connect a plain receiver; `TypeError` for a coroutine function, which `subscribe` takes."""
        if is_coroutine_function(receiver):
            raise TypeError(f"{receiver!r} is a coroutine function; subscribe() gives it the queue it needs")
        connected = super().connect(receiver, sender=sender, weak=weak)
        self.on_connect()
        return connected


class Signals(Delivery[Change]):
    """Tell the changes of one manager to its receivers.

    `changed` is the blinker signal behind `state:changed`; its sender is `sender`.
    """

    def __init__(self, sender: Any, *, problems: Problems) -> None:
        super().__init__()
        self.changed = ChangeSignal(STATE_CHANGED)
        self._sender = sender
        self._problems = problems
        self._iterated: WeakSet[Queue[Change]] = WeakSet()

    def _deliver_further(self, item: Change) -> None:
        if not self.changed.receivers:
            return
        for kept in self.changed.receivers_for(self._sender):
            receiver = cast("Any", kept() if isinstance(kept, ReferenceType) else kept)
            try:
                receiver(self._sender, change=item)
            except Exception as error:  # noqa: BLE001  # one receiver must not stop the others
                self._failed(receiver, item, error)

    def _failed(self, receiver: object, item: Change, error: Exception) -> None:
        where = f"{item.record.event} at position {item.position}"
        message = f"receiver {name_of(receiver)} failed on {where}: {error!r}"
        self._problems.report(Problem("receiver", message, item.path, error))

    def subscribe(self, receiver: Receiver, *, wanted: Filter, queue_size: int = QUEUE_SIZE) -> Subscription:
        """Call `receiver` for every wanted change from now on, until the subscription is cancelled.

        The receiver is kept alive. A coroutine function is called for one change after the other by a task
        of its own; when `queue_size` changes wait for it the oldest is dropped and reported.
        """
        if is_coroutine_function(receiver):
            queue = self._queue(wanted, queue_size, "drop_oldest")
            return Subscription(self._connect_queue(queue, receiver))
        deliver: Any = receiver
        if wanted != Filter():

            def filtered(change: Change) -> None:
                if wanted.accepts(change):
                    receiver(change)

            filtered.__qualname__ = name_of(receiver)
            deliver = filtered
        return Subscription(self._connect(deliver))

    def _queue(self, wanted: Filter, size: int, overflow: Overflow) -> Queue[Change]:
        return Queue(wanted.accepts, size=size, overflow=overflow, lost=partial(self._lost, wanted))

    def _lost(self, wanted: Filter) -> None:
        below = "" if wanted.below is None else f" below {wanted.below.encode()!r}"
        message = f"a receiver of changes{below} does not keep up; a change was dropped for it"
        self._problems.report(Problem("overflow", message, wanted.below))

    def changes(
        self, *, wanted: Filter, queue_size: int = QUEUE_SIZE, overflow: Overflow = "raise"
    ) -> Changes:
        """Return an iterator over every wanted change from now on, in position order."""
        queue = self._queue(wanted, queue_size, overflow)
        self._iterated.add(queue)
        return Changes(queue, Subscription(self._connect(queue.put)))

    def receivers(self) -> Counter[str]:
        """Return what is told of changes, by name, and how many times each is connected."""
        names = Counter(map(_told, self._receivers))
        kept = (
            found() if isinstance(found, ReferenceType) else found
            for found in self.changed.receivers.values()
        )
        names.update(name_of(receiver) for receiver in kept if receiver is not None)
        return names

    @property
    def waiting(self) -> int:
        """How many changes wait for the receiver that has taken the least."""
        return max((len(queue) for queue in (*self._queues, *self._iterated)), default=0)

    def close(self) -> None:
        """End the coroutine receivers and the iterations."""
        super().close()
        for queue in tuple(self._iterated):
            queue.end()


def _told(connected: object) -> str:
    """Return the name of a receiver, of one that has a queue as well."""
    queue = getattr(connected, "__self__", None)
    if not isinstance(queue, Queue):
        return name_of(connected)
    return queue.receiver or "changes()"


class Changes(AsyncIterator[Change]):
    """Changes as they come: `async for change in manager.changes()`; connected from the start.

    `close()`, leaving it as a context, or dropping it ends the connection; so does the manager's end. What
    waits by then is still handed out.
    """

    def __init__(self, queue: Queue[Change], subscription: Subscription) -> None:
        self._queue = queue
        self._subscription = subscription

    def then(self, call: Callable[[], None]) -> None:
        """Call something when the connection is ended."""
        self._subscription.then(call)

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
