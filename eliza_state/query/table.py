"""Indexes in memory: of the scopes that are loaded, kept up with each change.

A table holds the entries of one collection of one module, over the loaded scopes that were asked for. Every
entry is one `Match`, made anew when the entry changes, so that what an answer holds never does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final, TypeAlias

import attrs

from eliza_state.indexes import ABSENT, Collection, Column, Composite, Index, changes, entries
from eliza_state.ordering import Kind, kind_of
from eliza_state.path import Path
from eliza_state.query.answer import Match
from eliza_state.query.binding import elements_of

Find: TypeAlias = Callable[[str], Column | None]
"""Give the column of a name, with a `get` that does not raise."""

NOT_INDEXED: Final = object()
"""What `normal` gives for a value that equals nothing."""

_PLAIN: Final = frozenset({str, int, type(None), bytes})
ORDERED_KINDS: Final = frozenset(Kind) - {Kind.NOTHING, Kind.TRUTH, Kind.CHOICE, Kind.OTHER}
"""The kinds of which an ordered index finds ranges."""


def normal(value: Any) -> Any:
    """Return what values are looked up by: equal for equal values of one kind, and never for others."""
    if value.__class__ in _PLAIN:
        return value
    kind = kind_of(value)
    if kind is Kind.OTHER:
        return NOT_INDEXED
    return (Kind.TRUTH, value) if kind is Kind.TRUTH else value


def columns_of(index: Index | Composite, find: Find) -> tuple[Column, ...]:
    """Return the columns of an index."""
    names = index.names if isinstance(index, Composite) else (index.name,)
    return tuple(column for column in map(find, names) if column is not None)


class Buckets:
    """One index: for each value the matches that have it; `columns` are more than one for a composite."""

    def __init__(self, index: Index | Composite, columns: tuple[Column, ...]) -> None:
        self.index = index
        self.name = index.name
        self.columns = columns
        self.is_ordered = isinstance(index, Index) and index.ordered
        self.is_each = isinstance(index, Index) and index.each
        self.matches: dict[Any, set[Match]] = {}
        self._get = columns[0].get
        self._sorted: dict[Kind, list[Any]] = {}
        self._unsorted: list[Any] = []

    def values(self, entry: Any) -> Iterable[Any]:
        """Return what an entry is found by."""
        if len(self.columns) > 1:
            return (tuple([normal(column.get(entry)) for column in self.columns]),)
        value = self._get(entry)
        if self.is_each:
            return {normal(element) for element in elements_of(value)} - {NOT_INDEXED}
        found = value if value.__class__ in _PLAIN else normal(value)
        return () if found is NOT_INDEXED else (found,)

    def add(self, match: Match) -> None:
        """Take a match in."""
        matches = self.matches
        for value in self.values(match.entry):
            bucket = matches.get(value)
            if bucket is None:
                matches[value] = {match}
                if self.is_ordered:
                    self._unsorted.append(value)
            else:
                bucket.add(match)

    def remove(self, match: Match) -> None:
        """Take a match out."""
        for value in self.values(match.entry):
            bucket = self.matches[value]
            bucket.discard(match)
            if not bucket:
                del self.matches[value]

    def between(self, low: Any, high: Any, *, with_low: bool = True, with_high: bool = True) -> list[Any]:
        """Return the values of one kind within bounds, in order; `ABSENT` for a bound that is not there."""
        values = self._in_order(kind_of(high if low is ABSENT else low))
        start = 0 if low is ABSENT else (bisect_left if with_low else bisect_right)(values, low)
        stop = len(values) if high is ABSENT else (bisect_right if with_high else bisect_left)(values, high)
        return values[start:stop]

    def beginning(self, text: str) -> list[str]:
        """Return the texts that begin with a text, in order."""
        values = self._in_order(Kind.TEXT)
        start = bisect_left(values, text)
        stop = bisect_left(values, True, lo=start, key=lambda value: not value.startswith(text))
        return values[start:stop]

    def _in_order(self, kind: Kind) -> list[Any]:
        """Return the values of a kind in order, and perhaps some that are gone.

        New ones are sorted in when they are asked for, which costs one pass: the others are in order.
        """
        for value in self._unsorted:
            if (found := kind_of(value)) in ORDERED_KINDS:
                self._sorted.setdefault(found, []).append(value)
        if self._unsorted:
            self._unsorted.clear()
            for values in self._sorted.values():
                values[:] = dict.fromkeys(value for value in values if value in self.matches)
                values.sort()
        return self._sorted.get(kind, [])


@attrs.define(eq=False)
class Place:
    """A scope in a table: the state of the slice as it is indexed, and its matches by key."""

    path: Path
    state: Any
    matches: dict[Any, Match]


class StateBuckets:
    """An index by a field of the state around the collection: for each value the scopes that have it."""

    def __init__(self, index: Index | Composite, column: Column) -> None:
        self.index = index
        self.name = index.name
        self.columns = (column,)
        self.is_ordered = False
        self.is_each = isinstance(index, Index) and index.each
        self.places: dict[Any, set[Place]] = {}

    def values(self, state: Any) -> Iterable[Any]:
        """Return what a scope is found by."""
        value = self.columns[0].get(state)
        values = elements_of(value) if self.is_each else (value,)
        return {normal(each) for each in values} - {NOT_INDEXED}

    def move(self, place: Place, before: Any, after: Any) -> None:
        """Follow a scope from one state to the next; `ABSENT` for one that is not there."""
        get = self.columns[0].get
        if before is not ABSENT and after is not ABSENT and get(before) is get(after):
            return
        for value in () if before is ABSENT else self.values(before):
            bucket = self.places[value]
            bucket.discard(place)
            if not bucket:
                del self.places[value]
        for value in () if after is ABSENT else self.values(after):
            self.places.setdefault(value, set()).add(place)


class Table:
    """The entries of a collection in loaded scopes, with their indexes."""

    def __init__(self, collection: Collection, find: Find) -> None:
        self.collection = collection
        self.places: dict[Path, Place] = {}
        self.buckets: list[Buckets] = []
        self.states: list[StateBuckets] = []
        self.size = 0
        for index in collection.indexes:
            columns = columns_of(index, find)
            if columns[0].of == "state":
                self.states.append(StateBuckets(index, columns[0]))
            else:
                self.buckets.append(Buckets(index, columns))

    def entries_of(self, state: Any) -> Any:
        """Return the collection in a state."""
        return getattr(state, self.collection.field)

    def build(self, path: Path, state: Any) -> Place:
        """Take a scope in, whole."""
        place = self.places[path] = Place(path, state, {})
        for key, entry in entries(self.entries_of(state)):
            self._add(place, key, entry)
        for index in self.states:
            index.move(place, ABSENT, state)
        return place

    def drop(self, path: Path) -> None:
        """Let go of a scope, if it is there."""
        place = self.places.pop(path, None)
        if place is not None:
            for match in place.matches.values():
                for index in self.buckets:
                    index.remove(match)
            self.size -= len(place.matches)
            for states in self.states:
                states.move(place, place.state, ABSENT)

    def update(self, place: Place, state: Any) -> list[tuple[Any, Any]]:
        """Follow a scope to its next state; return the changed keys with their entries, or `ABSENT`."""
        changed: list[tuple[Any, Any]] = []
        for key, old, new in changes(self.entries_of(place.state), self.entries_of(state)):
            if old is not ABSENT:
                self._remove(place, key)
            if new is not ABSENT:
                self._add(place, key, new)
            changed.append((key, new))
        for index in self.states:
            index.move(place, place.state, state)
        place.state = state
        return changed

    def _add(self, place: Place, key: Any, entry: Any) -> None:
        match = place.matches[key] = Match(place.path, key, entry)
        self.size += 1
        for index in self.buckets:
            index.add(match)

    def _remove(self, place: Place, key: Any) -> None:
        match = place.matches.pop(key)
        self.size -= 1
        for index in self.buckets:
            index.remove(match)

    def places_below(self, path: Path) -> list[Place] | None:
        """Return the scopes at and below a path; `None` for all of them."""
        if not path.steps:
            return None
        place = self.places.get(path)
        below = [place for place in self.places.values() if place.path.is_below(path)]
        return below if place is None else [place, *below]

    def matches_in(self, places: Iterable[Place]) -> Iterator[Match]:
        """Yield the matches of scopes."""
        return chain.from_iterable(place.matches.values() for place in places)
