"""How things are told to receivers that cannot harm each other.

Plain receivers run inline, in the order of what is told; each coroutine receiver has a bounded, ordered
queue of its own and nobody waits for it.
"""

from __future__ import annotations

import abc
import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from eliza_state.errors import StateError

T = TypeVar("T")

Overflow: TypeAlias = Literal["raise", "drop_oldest", "drop_newest"]
"""What a full queue does: fail who takes from it, or lose one thing and report it."""


class Delivery(abc.ABC, Generic[T]):
    """Tell things to receivers, in the order in which they are published."""

    def __init__(self) -> None:
        self._receivers: tuple[Callable[[T], None], ...] = ()
        self._queues: set[Queue[T]] = set()
        self._undelivered: deque[T] = deque()
        self._delivering = False

    @property
    def is_heard(self) -> bool:
        """Whether anybody receives what is published."""
        return bool(self._receivers)

    def publish(self, item: T) -> None:
        """Deliver to all receivers; never raises.

        What a receiver publishes while it is told something else is delivered after that.
        """
        if self._delivering:
            self._undelivered.append(item)
            return
        self._delivering = True
        undelivered = self._undelivered
        try:
            while True:
                for receiver in self._receivers:
                    try:
                        receiver(item)
                    except Exception as error:  # noqa: BLE001  # one receiver must not stop the others
                        self._failed(receiver, item, error)
                self._deliver_further(item)
                if not undelivered:
                    return
                item = undelivered.popleft()
        finally:
            self._delivering = False

    @abc.abstractmethod
    def _failed(self, receiver: object, item: T, error: Exception) -> None:
        """Report what a receiver raised."""

    def _deliver_further(self, item: T) -> None:
        """Tell those that are no receivers of this delivery itself, after them."""

    def _connect(self, receiver: Callable[[T], None]) -> Callable[[], None]:
        """Call a plain receiver from now on; return how to stop, which twice does nothing."""
        self._receivers = (*self._receivers, receiver)
        connected = True

        def disconnect() -> None:
            nonlocal connected
            if connected:
                connected = False
                self._disconnect(receiver)

        return disconnect

    def _disconnect(self, receiver: Callable[[T], None]) -> None:
        # One connection of it: the same receiver may be connected more than once.
        place = next(place for place, known in enumerate(self._receivers) if known is receiver)
        self._receivers = (*self._receivers[:place], *self._receivers[place + 1 :])

    def _connect_queue(self, queue: Queue[T], receiver: Any) -> Callable[[], None]:
        """Call a coroutine receiver with what comes into a queue, in a task; return how to stop."""
        queue.receiver = name_of(receiver)
        disconnect = self._connect(queue.put)
        self._queues.add(queue)

        async def work() -> None:
            while (item := await queue.get()) is not None:
                try:
                    await receiver(item)
                except Exception as error:  # noqa: BLE001  # a receiver's failure is its own
                    self._failed(receiver, item, error)
                finally:
                    queue.done()

        task = asyncio.get_running_loop().create_task(work())

        def cancel() -> None:
            disconnect()
            task.cancel()
            queue.close()
            self._queues.discard(queue)

        queue.cancel = cancel
        return cancel

    async def settled(self) -> None:
        """Wait until no coroutine receiver has anything waiting or in hand."""
        while busy := [queue for queue in self._queues if not queue.is_idle]:
            for queue in busy:
                await queue.join()

    def close(self) -> None:
        """End the coroutine receivers; what waits for them is dropped."""
        for queue in tuple(self._queues):
            queue.cancel()


def is_coroutine_function(receiver: object) -> bool:
    """Tell whether calling it gives something to await, be it a function or an object with `__call__`."""
    return inspect.iscoroutinefunction(receiver) or inspect.iscoroutinefunction(type(receiver).__call__)


def name_of(receiver: object) -> str:
    """Return what a receiver is called in reports."""
    name: str = getattr(receiver, "__qualname__", repr(receiver))
    return name


class Queue(Generic[T]):
    """What waits for one asynchronous receiver; `lost` is called for each thing dropped."""

    def __init__(
        self, accepts: Callable[[T], bool], *, size: int, overflow: Overflow, lost: Callable[[], None]
    ) -> None:
        if size < 1:
            raise ValueError(f"a queue holds at least one change, got a size of {size!r}")
        if overflow not in ("raise", "drop_oldest", "drop_newest"):
            raise ValueError(f"overflow is 'raise', 'drop_oldest' or 'drop_newest', got {overflow!r}")
        self._accepts = accepts
        self._size = size
        self._overflow = overflow
        self._lost = lost
        self._items: deque[T] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._overflowed = False
        self._ended = False
        self._in_hand = 0
        self.cancel: Callable[[], None] = self.close
        self.receiver = ""
        """What takes from it, as reports call it."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_idle(self) -> bool:
        return self._idle.is_set()

    def put(self, item: T) -> None:
        if not self._accepts(item):
            return
        if len(self._items) >= self._size:
            if self._overflow == "raise":
                self._overflowed = True
                return
            self._lost()
            if self._overflow == "drop_newest":
                return
            self._items.popleft()
        self._items.append(item)
        self._idle.clear()
        self._arrived.set()

    async def get(self) -> T | None:
        """Wait for the next thing and take it; `None` after the last one of a queue that has ended."""
        while not self._items:
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
        return self._items.popleft()

    def done(self) -> None:
        self._in_hand -= 1
        if not self._items and not self._in_hand:
            self._idle.set()

    async def join(self) -> None:
        await self._idle.wait()

    def end(self) -> None:
        self._ended = True
        self._arrived.set()

    def close(self) -> None:
        self._items.clear()
        self._idle.set()
