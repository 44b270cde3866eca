"""A query as it was asked: bound to its collection, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from eliza_state.path import Path
from eliza_state.query.answer import Answer, Cursor, Match
from eliza_state.query.binding import give, parameters
from eliza_state.query.conditions import Condition
from eliza_state.query.errors import InvalidQuery
from eliza_state.query.order import Order, Row, check_limit
from eliza_state.query.tracked import Tracked


@attrs.frozen(eq=False)
class Query:
    """A bound query: over a collection, at and below a path, in an order, at most so many."""

    tracked: Tracked
    condition: Condition
    path: Path
    order: Order
    limit: int | None

    def __attrs_post_init__(self) -> None:
        check_limit(self.limit)

    def given(self, values: Mapping[str, Any]) -> Condition:
        """Return the condition with values for its parameters; `InvalidQuery` unless it is given each."""
        wanted = parameters(self.condition)
        if wanted != set(values):
            raise InvalidQuery(f"the query takes {sorted(wanted)}, got {sorted(values)}")
        return give(self.condition, values) if values else self.condition

    def cut(self, rows: list[Row], after: Cursor | None) -> list[Row]:
        """Return the rows behind a cursor, in order, one more than wanted where there are more."""
        return self.order.cut(rows, limit=self.limit, after=after)

    def answer(self, rows: list[Row], position: int) -> Answer[Match]:
        """Return the answer of rows that `cut` gave."""
        return self.order.answer(rows, limit=self.limit, position=position, item=lambda match: match)
