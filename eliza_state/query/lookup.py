"""Finding matches in memory: the most selective index first, then intersection, the rest by a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import attrs

from eliza_state.indexes import ABSENT, Composite
from eliza_state.ordering import kind_of
from eliza_state.query.answer import Match
from eliza_state.query.binding import Leaf, Test, leaves, test_of
from eliza_state.query.conditions import All, AnyOf, Condition
from eliza_state.query.table import ORDERED_KINDS, Buckets, Place, StateBuckets, Table, normal

_ENTRY_OPS: Final = ("==", "in")


class Exactly:
    """Look one value up in an index."""

    def __init__(self, buckets: Buckets, value: Any) -> None:
        self.name = buckets.name
        self._matches = buckets.matches
        self._value = value

    def size(self) -> int:
        """Return how many matches there are."""
        return len(self._matches.get(self._value, ()))

    def found(self) -> set[Match] | None:
        """Return the matches, not to be changed; `None` for none."""
        return self._matches.get(self._value)


class Several:
    """Look several values up in an index: a list of them, or a range."""

    def __init__(self, buckets: Buckets, leaf: Leaf) -> None:
        self.name = buckets.name
        self._buckets = buckets
        self._leaf = leaf

    def _values(self) -> Iterable[Any]:
        buckets, operand = self._buckets, self._leaf.operand
        match self._leaf.op:
            case "in":
                return {normal(each) for each in operand}
            case "between":
                return buckets.between(*operand)
            case "startswith":
                return buckets.beginning(operand)
            case "<" | "<=":
                return buckets.between(ABSENT, operand, with_high=self._leaf.op == "<=")
            case _:
                return buckets.between(operand, ABSENT, with_low=self._leaf.op == ">=")

    def size(self) -> int:
        """Return how many matches there are."""
        matches = self._buckets.matches
        return sum(len(matches.get(value, ())) for value in self._values())

    def found(self) -> set[Match]:
        """Return the matches."""
        matches = self._buckets.matches
        return set[Match]().union(*(matches.get(value, ()) for value in self._values()))


class InState:
    """Look up the scopes that have a value in the state around the collection."""

    def __init__(self, table: Table, buckets: StateBuckets, values: Sequence[Any]) -> None:
        self.name = buckets.name
        self._table = table
        self._buckets = buckets
        self._values = values

    def _places(self) -> set[Place]:
        return set[Place]().union(*(self._buckets.places.get(value, ()) for value in self._values))

    def size(self) -> int:
        """Return how many matches there are."""
        return sum(len(place.matches) for place in self._places())

    def found(self) -> set[Match]:
        """Return the matches."""
        return set(self._table.matches_in(self._places()))


class Either:
    """Look up what one of several conditions finds."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = plans
        self.name = " | ".join(plan.names() for plan in plans)

    def size(self) -> int:
        """Return how many matches there are at most."""
        return sum(plan.size() for plan in self._plans)

    def found(self) -> set[Match]:
        """Return the matches."""
        return {match for plan in self._plans for match in plan.run(None)}


Lookup: TypeAlias = Exactly | Several | InState | Either


@attrs.define(eq=False)
class Plan:
    """How matches are found in a table: `exact` look-ups are intersected, one of the others may be the first.

    `rest` tests what `exact` do not vouch for, `test` all; `unindexed` are the comparisons without an index.
    """

    table: Table
    exact: list[Exactly]
    others: list[Lookup]
    rest: Test | None
    test: Test
    unindexed: list[str]

    def names(self) -> str:
        """Return what is looked up in, for people."""
        return " & ".join(lookup.name for lookup in (*self.exact, *self.others)) or "everything"

    def size(self) -> int:
        """Return how many matches there are at most."""
        return min((lookup.size() for lookup in (*self.exact, *self.others)), default=self.table.size)

    def run(self, places: Sequence[Place] | None) -> list[Match]:
        """Return the matches, in no order; those in some of the places, where they are given."""
        if places is not None and sum(len(place.matches) for place in places) <= self.size():
            return self._tested(self.table.matches_in(places), self.test)
        found = self._found()
        if places is not None:
            wanted = {place.path for place in places}
            found = [match for match in found if match.path in wanted]
        return list(found) if self.rest is None else self._tested(found, self.rest)

    def _found(self) -> Iterable[Match]:
        sets: list[set[Match]] = []
        for lookup in self.exact:
            found = lookup.found()
            if not found:
                return ()
            sets.append(found)
        sets.sort(key=len)
        first = min(self.others, key=lambda lookup: lookup.size(), default=None)
        if first is not None and (not sets or first.size() < len(sets[0])):
            return (first.found() or set[Match]()).intersection(*sets)
        if not sets:
            return self.table.matches_in(self.table.places.values())
        return sets[0].intersection(*sets[1:]) if len(sets) > 1 else sets[0]

    def _tested(self, matches: Iterable[Match], test: Test) -> list[Match]:
        places = self.table.places
        return [match for match in matches if test(match.key, match.entry, places[match.path].state)]


def plan(table: Table, condition: Condition) -> Plan:
    """Return how the matches of a bound condition, without parameters, are found in a table."""
    parts = list(condition.conditions) if isinstance(condition, All) else [condition]
    exact, done = _composites(table, parts)
    others: list[Lookup] = []
    unindexed: list[str] = []
    for part in parts:
        if part in done:
            continue
        lookup = _lookup(table, part)
        if isinstance(lookup, Exactly):
            exact.append(lookup)
            done.append(part)
        elif lookup is not None:
            others.append(lookup)
        else:
            unindexed += [leaf.text for leaf in leaves(part) if not isinstance(_lookup(table, leaf), Lookup)]
    rest = [part for part in parts if part not in done]
    return Plan(
        table, exact, others, test_of(All(tuple(rest))) if rest else None, test_of(condition), unindexed
    )


def _composites(table: Table, parts: Sequence[Condition]) -> tuple[list[Exactly], list[Condition]]:
    """Return look-ups in composite indexes, the widest first, and the comparisons that they stand for."""
    equal = {part.column.name: part for part in parts if isinstance(part, Leaf) and part.op == "=="}
    found: list[Exactly] = []
    done: list[Condition] = []
    wide = [each for each in table.buckets if isinstance(each.index, Composite)]
    for buckets in sorted(wide, key=lambda each: -len(each.columns)):
        names = [column.name for column in buckets.columns]
        if all(name in equal for name in names) and not any(equal[name] in done for name in names):
            found.append(Exactly(buckets, tuple(normal(equal[name].operand) for name in names)))
            done += [equal[name] for name in names]
    return found, done


def _lookup(table: Table, part: Condition) -> Lookup | None:
    """Return how an index finds what a condition may hold of; `None` if there is none that does."""
    if isinstance(part, AnyOf):
        plans = [plan(table, each) for each in part.conditions]
        return Either(plans) if all(each.exact or each.others for each in plans) else None
    if isinstance(part, All):
        inner = plan(table, part)
        return Either([inner]) if inner.exact or inner.others else None
    if not isinstance(part, Leaf):
        return None
    name = part.column.name
    for states in table.states:
        if states.name == name and part.op == ("contains" if states.is_each else part.op):
            return _in_state(table, states, part)
    for buckets in table.buckets:
        if buckets.name == name and len(buckets.columns) == 1:
            return _in_buckets(buckets, part)
    return None


def _in_state(table: Table, states: StateBuckets, leaf: Leaf) -> InState | None:
    if leaf.op == "in":
        return InState(table, states, [normal(each) for each in leaf.operand])
    return InState(table, states, [normal(leaf.operand)]) if leaf.op in ("==", "contains") else None


def _in_buckets(buckets: Buckets, leaf: Leaf) -> Exactly | Several | None:
    if leaf.op == ("contains" if buckets.is_each else "=="):
        return Exactly(buckets, normal(leaf.operand))
    if buckets.is_each:
        return None
    if leaf.op == "in":
        return Several(buckets, leaf)
    return Several(buckets, leaf) if buckets.is_ordered and is_ordered(leaf) else None


def is_ordered(leaf: Leaf) -> bool:
    """Tell whether a comparison is one that an ordered index answers."""
    if leaf.op == "startswith":
        return True
    operands = leaf.operand if leaf.op == "between" else (leaf.operand,)
    return leaf.op in ("<", "<=", ">", ">=", "between") and all(
        kind_of(operand) in ORDERED_KINDS for operand in operands
    )
