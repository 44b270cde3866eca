"""Changes of a plugin's keys, and who is told of them."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal, TypeAlias, TypeVar

import attrs

from eliza_state.delivery import Delivery, Queue, is_coroutine_function, name_of
from eliza_state.problems import Problem, Problems
from eliza_state.storage.immutable import is_immutable

T = TypeVar("T")

QUEUE_SIZE: Final = 1_024
"""How many changes wait for a coroutine receiver at most."""


@attrs.frozen
class KeyChange:
    """What became of one key of a plugin.

    `kind` is `set` or `deleted`. `before` is the value that was there, `after` the one that is there now;
    `GONE` (`eliza_state.storage.backend`) stands where there is none, for a `None` is a value.
    """

    key: str
    kind: Literal["set", "deleted"]
    before: Any
    after: Any


Receiver: TypeAlias = Callable[[KeyChange], None] | Callable[[KeyChange], Awaitable[None]]
"""Takes a change; a coroutine function gets a queue of its own."""


def own(value: T) -> T:
    """Return a value that nobody else can change: itself, or a copy."""
    return value if is_immutable(value) else copy.deepcopy(value)


class Listeners(Delivery[KeyChange]):
    """Those who hear the changes of one plugin; each gets values of its own."""

    def __init__(self, plugin: str, *, problems: Problems) -> None:
        super().__init__()
        self._plugin = plugin
        self._problems = problems

    def listen(self, receiver: Receiver, *, prefix: str) -> Callable[[], None]:
        """Call a receiver for changes of keys that start with `prefix`; return how to stop."""

        def is_wanted(change: KeyChange) -> bool:
            return change.key.startswith(prefix)

        if is_coroutine_function(receiver):
            lost = partial(self._lost, receiver)
            queue = Queue[KeyChange](is_wanted, size=QUEUE_SIZE, overflow="drop_oldest", lost=lost)
            return self._connect_queue(queue, _with_own_values(receiver))
        told = _with_own_values(receiver)

        def deliver(change: KeyChange) -> None:
            if is_wanted(change):
                told(change)

        deliver.__qualname__ = name_of(receiver)
        return self._connect(deliver)

    def report(self, kind: str, message: str, error: BaseException | None = None) -> None:
        """Report what went wrong without stopping the plugin."""
        self._problems.report(Problem(kind, f"{message} (plugin {self._plugin!r})", error=error))

    def _failed(self, receiver: object, item: KeyChange, error: Exception) -> None:
        self.report("receiver", f"receiver {name_of(receiver)} failed on {item.key!r}: {error!r}", error)

    def _lost(self, receiver: object) -> None:
        message = f"receiver {name_of(receiver)} does not keep up; a change was dropped for it"
        self.report("overflow", message)


def _with_own_values(receiver: Callable[[KeyChange], Any]) -> Callable[[KeyChange], Any]:
    def told(change: KeyChange) -> Any:
        return receiver(attrs.evolve(change, before=own(change.before), after=own(change.after)))

    told.__qualname__ = name_of(receiver)
    return told
