"""Events between their reduction and the journal's word on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from eliza_state.change import Change
from eliza_state.errors import StateError
from eliza_state.journal.contract import Draft
from eliza_state.scopes import LiveScope
from eliza_state.tree import Plan, Transition


@attrs.define(eq=False)
class Pending:
    """One event on its way: what it is, what it made of the heads, and what became of it."""

    event: Any
    plan: Plan
    scope: LiveScope
    key: bytes
    content: Any
    cause: str | None = None
    expected_version: int | None = None
    version: int = 0
    transitions: Sequence[Transition] = ()
    recorded_at_us: int = 0
    result: Change | StateError | None = None
    group: Group | None = None

    def durable(self) -> asyncio.Future[None]:
        """Return what to wait for: done when the event's group is durable, failed when it was given up."""
        assert self.group is not None
        return self.group.settled()

    def draft(self) -> Draft:
        """Return what the journal is to store."""
        kind = self.plan.event
        # A named tuple's own constructor costs twice as much as this, which is all it does.
        return tuple.__new__(
            Draft,
            (
                self.key,
                self.scope.path,
                self.version,
                kind.name,
                kind.version,
                self.content,
                self.cause,
                self.recorded_at_us,
            ),
        )


@attrs.frozen
class Stopwatch:
    """What dispatches are timed with: `now_ns` gives the time, `took` is told of a batch at once.

    It is told when the first dispatch of the batch came in, when all were durable, and how many they are.
    """

    now_ns: Callable[[], int]
    took: Callable[[int, int, int], None]


@attrs.define(eq=False)
class Group:
    """Events that become durable in one transaction.

    Of a `lenient` group those that are refused are left out; otherwise one refusal takes the others back.
    A group without members marks a place in the queue; one that is settled has let go of them. `entered_ns`
    is when the first group of a batch came in, where that is timed.
    """

    members: list[Pending]
    lenient: bool = False
    on_settled: Callable[[], None] | None = None
    entered_ns: int | None = None
    _is_settled: bool = False
    _error: StateError | None = None
    _waiters: tuple[asyncio.Future[None], ...] = ()

    def settled(self) -> asyncio.Future[None]:
        """Return a future of the caller's own: done when the group is durable, failed when it was given up.

        To cancel it ends the caller's wait and nothing else.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiters = (*self._waiters, future)
        if self._is_settled:
            self.settle(self._error)
        return future

    def settle(self, error: StateError | None = None) -> None:
        """Wake whoever waits, with the error that took the whole group back."""
        self._is_settled, self._error = True, error
        # They refer to their group: as a circle, all of it and their states would wait for a collection.
        self.members = []
        for future in self._waiters:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        self._waiters = ()
        if self.on_settled is not None:
            self.on_settled()
            self.on_settled = None
