"""How users ask to be told of changes: by a receiver, or by iterating."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, overload

import attrs

from eliza_state.errors import StateError
from eliza_state.event import event_type
from eliza_state.feed import ResumedChanges
from eliza_state.feed.changes import Past
from eliza_state.hearing import Hearing
from eliza_state.path import Path
from eliza_state.scope import Scope
from eliza_state.signals import (
    QUEUE_SIZE,
    Changes,
    Filter,
    Overflow,
    Receiver,
    Subscription,
)


@attrs.frozen
class Telling:
    """Tell of changes that the filters let through, and have those of others taken in meanwhile.

    `past` is what changes after a position are read from, `at` makes a scope's handle of a path.
    """

    _past: Past
    _hearing: Hearing
    _at: Callable[[Path | str], Scope]

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
        subscription = self._past.signals.subscribe(receiver, wanted=wanted)
        self._hear_others(subscription, wanted)
        return subscription

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
            changes = self._past.signals.changes(wanted=wanted, queue_size=queue_size, overflow=overflow)
            self._hear_others(changes, wanted)
            return changes
        if after < 0 or module is not None or overflow != "raise":
            raise StateError("changes after a position from 0 on take neither a module nor an overflow")
        return ResumedChanges(self._past, wanted=wanted, after=after, queue_size=queue_size)

    def _hear_others(self, told: Subscription | Changes, wanted: Filter) -> None:
        if wanted.origin is None:
            told.then(self._hearing.want(wanted))
            self._past.feed.start()

    def _filter(
        self,
        below: Path | str | Scope | None,
        module: str | None,
        event: type | str | None,
        origin: Literal["local"] | None = None,
    ) -> Filter:
        if below is not None:
            below = below.path if isinstance(below, Scope) else self._at(below).path
        name = event_type(event).name if isinstance(event, type) else event
        return Filter(below, module, name, origin)
