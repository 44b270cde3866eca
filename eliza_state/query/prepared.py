"""Prepared queries: bound and planned once, run often, also without waiting where all is in memory."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from eliza_state.ordering import Kind
from eliza_state.query.answer import Answer, Cursor, Match
from eliza_state.query.binding import Leaf, give, parameters
from eliza_state.query.conditions import All, Condition, Param
from eliza_state.query.errors import InvalidQuery
from eliza_state.query.explanation import Explanation
from eliza_state.query.lookup import plan
from eliza_state.query.request import Query
from eliza_state.query.table import Table, normal

_PLAIN: Final[Mapping[type, frozenset[Kind]]] = {
    str: frozenset({Kind.TEXT}),
    int: frozenset({Kind.NUMBER}),
    bytes: frozenset({Kind.BYTES}),
    datetime.datetime: frozenset({Kind.MOMENT, Kind.LOCAL}),
    uuid.UUID: frozenset({Kind.UUID}),
}
"""What may be looked up as it is, where values of these kinds are."""


class Runner(Protocol):
    """What runs prepared queries."""

    def is_current(self) -> bool:
        """Tell whether every table has heard of all that is published."""
        ...

    def refresh_table(self, query: Query) -> None:
        """Bring the table of a query to the published states, with all loaded scopes in it."""
        ...

    async def run(self, query: Query, given: dict[str, Any], *, after: Cursor | None) -> Answer[Match]:
        """Answer from all scopes."""
        ...

    async def explain_query(self, query: Query, given: dict[str, Any]) -> Explanation:
        """Answer, and tell how."""
        ...


@attrs.frozen(eq=False)
class _Value:
    """What is looked up in an index for one comparison: a constant, or a parameter's value.

    Values of the classes `plain` are looked up as they are.
    """

    leaf: Leaf
    parameter: str
    constant: Any
    plain: frozenset[type]

    @classmethod
    def of(cls, leaf: Leaf) -> _Value:
        operand, kinds = leaf.operand, leaf.column.shape.kinds
        plain = frozenset(each for each, wanted in _PLAIN.items() if kinds is None or wanted <= kinds)
        if isinstance(operand, Param):
            return cls(leaf, operand.name, None, plain)
        return cls(leaf, "", normal(operand), plain)

    def given(self, values: dict[str, Any]) -> Any:
        if not self.parameter:
            return self.constant
        value = values[self.parameter]
        if value.__class__ in self.plain:
            return value
        leaf = give(self.leaf, values)
        assert isinstance(leaf, Leaf)
        return normal(leaf.operand)


_LookUp = tuple[dict[Any, set[Match]], tuple[_Value, ...]]


class Prepared:
    """A query that was bound and planned; its parameters are given when it runs."""

    def __init__(self, runner: Runner, query: Query) -> None:
        self._runner = runner
        self._query = query
        self._tracked = query.tracked
        self._parameters = frozenset(parameters(query.condition))
        is_plain = not query.path.steps and not query.order.columns and query.limit is None
        self._look_ups = _look_ups(query.tracked.table, query.condition) if is_plain else None
        self._plan = None if self._parameters else plan(query.tracked.table, query.condition)

    async def run(self, *, after: Cursor | None = None, **given: Any) -> Answer[Match]:
        """Return the answer from all scopes, loaded or not; see `Queries.find`."""
        return await self._runner.run(self._query, given, after=after)

    async def explain(self, **given: Any) -> Explanation:
        """Run the query and return how it was answered."""
        return await self._runner.explain_query(self._query, given)

    def at_hand(self, **given: Any) -> list[Match]:
        """Return the matches in the scopes that are loaded, at once, as they are published.

        They are in no order unless the query has one, or a limit. What those scopes have on disk yet is read;
        scopes that are not loaded are left out: this is for whoever knows that theirs are. Only to be called
        in the manager's event loop.
        """
        if self._tracked.unheld or not self._runner.is_current():
            self._runner.refresh_table(self._query)
        if len(given) != len(self._parameters) or (given and given.keys() != self._parameters):
            raise InvalidQuery(f"the query takes {sorted(self._parameters)}, got {sorted(given)}")
        if self._look_ups is None:
            return self._planned(given)
        sets: list[set[Match]] = []
        for matches, values in self._look_ups:
            if len(values) == 1:
                found = matches.get(values[0].given(given))
            else:
                found = matches.get(tuple([value.given(given) for value in values]))
            if not found:
                return []
            sets.append(found)
        if len(sets) == 1:
            return list(sets[0])
        sets.sort(key=len)
        return list(sets[0].intersection(*sets[1:]))

    def _planned(self, given: dict[str, Any]) -> list[Match]:
        query = self._query
        table = query.tracked.table
        found = (self._plan or plan(table, query.given(given))).run(table.places_below(query.path))
        rows = [query.order.row(match, table.places[match.path].state) for match in found]
        return [match for _, match in query.cut(rows, None)[: query.limit]]


def _look_ups(table: Table, condition: Condition) -> list[_LookUp] | None:
    """Return what to intersect for a row of `==` that indexes alone answer; `None` for anything else."""
    parts = condition.conditions if isinstance(condition, All) else (condition,)
    left = {part.column.name: part for part in parts if isinstance(part, Leaf) and part.op == "=="}
    if not parts or len(left) < len(parts):
        return None
    found: list[_LookUp] = []
    for buckets in sorted(table.buckets, key=lambda each: -len(each.columns)):
        names = [column.name for column in buckets.columns]
        if not buckets.is_each and all(name in left for name in names):
            found.append((buckets.matches, tuple(_Value.of(left.pop(name)) for name in names)))
    return None if left else found
