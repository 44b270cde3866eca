"""The first position at which something holds of a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import attrs

from eliza_state.change import Record, SliceChange
from eliza_state.debugger.comparing import SliceDiff
from eliza_state.debugger.errors import PredicateFailed
from eliza_state.debugger.folding import Moment
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.walking import entry_of
from eliza_state.path import Path

Predicate: TypeAlias = Callable[[Any], Any]
"""Takes the state of a slice, or all slices of a scope by name, and returns something true or not."""

_PAGE: Final = 256


@attrs.frozen
class Bisection:
    """The first position at which a predicate holds, with the record there and what it changed at the scope.

    There is no record where it held from the first position looked at on.
    """

    position: int
    record: Record | None = None
    changes: tuple[SliceDiff, ...] = ()


@attrs.frozen
class Search:
    """A predicate to be looked at on the states of one scope: of a slice, or of all where it names none."""

    looking: Looking
    path: Path
    module: str | None
    predicate: Predicate

    async def bisect(self, low: int, high: int) -> Bisection | None:
        """Halve the positions until the one is found from which on the predicate holds."""
        if await self._holds_at(low):
            return Bisection(low)
        if not await self._holds_at(high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if await self._holds_at(middle):
                high = middle
            else:
                low = middle
        before = await self.looking.moment(self.path, low)
        after = await self.looking.moment(self.path, high)
        return self._found(await self.looking.record_at(high), before.slices, after.slices)

    async def scan(self, low: int, high: int) -> Bisection | None:
        """Look at the state after each record, in one fold."""
        before = await self.looking.moment(self.path, low)
        if self._holds(before, low):
            return Bisection(low)
        history = self.looking.history
        while low < high:
            page = await self.looking.run(
                partial(history.states, self.path, after=low, until=high, limit=_PAGE)
            )
            for record, moment in page:
                if moment.slices is not before.slices and self._holds(moment, record.position):
                    return self._found(record, before.slices, moment.slices)
                before = moment
            low = page[-1][0].position if len(page) == _PAGE else high
        return None

    async def _holds_at(self, position: int) -> bool:
        return self._holds(await self.looking.moment(self.path, position), position)

    def _holds(self, moment: Moment, position: int) -> bool:
        state = moment.slices if self.module is None else moment.slices[self.module]
        try:
            return bool(self.predicate(state))
        except Exception as error:
            raise PredicateFailed(position, error) from error

    def _found(self, record: Record, before: Mapping[str, Any], after: Mapping[str, Any]) -> Bisection:
        changes = [
            SliceChange(self.path, name, before[name], state)
            for name, state in after.items()
            if state is not before[name]
        ]
        return Bisection(record.position, record, entry_of(record, changes).changes)
