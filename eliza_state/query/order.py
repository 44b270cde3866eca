"""The order of an answer: by fields, and among equals by path and key, so that no two matches tie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs

from eliza_state.indexes import Column
from eliza_state.ordering import encode, order_key
from eliza_state.query.answer import Answer, Cursor, Match
from eliza_state.query.binding import Source, column_of
from eliza_state.query.errors import InvalidQuery

M = TypeVar("M")

OrderBy: TypeAlias = str | Sequence[str]
"""Fields to sort by, the first one first; `-` before a name turns its order round."""

Row: TypeAlias = tuple[tuple[Any, ...], Match]
"""A match with the values of the fields it is sorted by."""


@attrs.frozen(eq=False)
class Order:
    """Sort matches by columns; values of one kind as Python does, None first, kinds one after the other."""

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    descending: tuple[bool, ...]

    @classmethod
    def of(cls, order_by: OrderBy, source: Source) -> Order:
        """Return the order that names say; `InvalidQuery` for a field that is not there."""
        names = (order_by,) if isinstance(order_by, str) else tuple(order_by)
        if not all(isinstance(name, str) for name in names):
            raise InvalidQuery(f"order_by takes names such as 'user' and '-at', got {order_by!r}")
        columns = tuple(column_of(source, name.removeprefix("-")) for name in names)
        return cls(names, columns, tuple(name.startswith("-") for name in names))

    def row(self, match: Match, state: Any) -> Row:
        """Return a match with what it is sorted by; `state` is the one around it."""
        if not self.columns:
            return (), match
        sources = {"entry": match.entry, "key": match.key, "state": state}
        return tuple(column.get(sources[column.of]) for column in self.columns), match

    def sort(self, rows: list[Row]) -> None:
        """Sort rows in place."""
        try:
            rows.sort(key=lambda row: (row[1].path.encode(), row[1].key))
        except TypeError:  # keys of different kinds
            rows.sort(key=lambda row: (row[1].path.encode(), encode(row[1].key)))
        for place in reversed(range(len(self.columns))):
            rows.sort(key=lambda row: order_key(row[0][place]), reverse=self.descending[place])

    def cut(self, rows: list[Row], *, limit: int | None, after: Cursor | None) -> list[Row]:
        """Return the rows behind a cursor, in order, one more than `limit` where there are more."""
        if after is not None:
            rows = [row for row in rows if self.is_behind(row, after)]
        self.sort(rows)
        return rows if limit is None else rows[: limit + 1]

    def answer(
        self, rows: list[Row], *, limit: int | None, position: int, item: Callable[[Match], M]
    ) -> Answer[M]:
        """Return the answer of rows that `cut` gave; `item` is what is shown of a match."""
        has_more = limit is not None and len(rows) > limit
        kept = rows[:limit]
        cursor = self.cursor(kept[-1]) if has_more else None
        return Answer(tuple(item(match) for _, match in kept), position, cursor)

    def check(self, cursor: Cursor) -> None:
        """Raise `InvalidQuery` for a cursor of another order."""
        if not isinstance(cursor, Cursor) or cursor.order != self.names:
            raise InvalidQuery(
                f"the cursor is not of a query ordered by {list(self.names)}, got {cursor!r:.80}"
            )

    def cursor(self, row: Row) -> Cursor:
        """Return the place behind a row."""
        values, match = row
        return Cursor(self.names, values, match.path.encode(), match.key)

    def is_behind(self, row: Row, cursor: Cursor) -> bool:
        """Tell whether a row comes after a place."""
        values, match = row
        for value, other, is_descending in zip(values, cursor.values, self.descending, strict=True):
            mine, theirs = order_key(value), order_key(other)
            if mine != theirs:
                return (mine < theirs) if is_descending else (mine > theirs)
        path = match.path.encode()
        return path > cursor.path if path != cursor.path else _is_greater(match.key, cursor.key)


def check_limit(limit: object) -> None:
    """Raise `InvalidQuery` for what is no number of matches."""
    if limit is not None and not (type(limit) is int and limit > 0):
        raise InvalidQuery(f"limit is a number from 1, got {limit!r}")


def _is_greater(key: Any, other: Any) -> bool:
    try:
        return bool(key > other)
    except TypeError:
        return encode(key) > encode(other)
