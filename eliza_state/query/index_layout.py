"""What the rows of indexes on disk say.

For each index a row says which entry has which value, in the encoding of `eliza_state.ordering`; the entries
themselves stay in the states. A row with an empty key tells of the state around a collection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import attrs

from eliza_state.indexes import Collection, Column, Composite, Index
from eliza_state.ordering import encode
from eliza_state.query.binding import elements_of
from eliza_state.query.table import Find, columns_of

STATE_KEY: Final = b""
"""The key under which the values of the state around a collection stand."""

Row: TypeAlias = tuple[int, bytes, bytes]
"""One row of a scope: the number of the label, the value, the key of the entry."""


@attrs.frozen(eq=False)
class Label:
    """One index on disk: its number, and the columns that it holds, of entries or of the state around."""

    number: int
    index: Index | Composite
    columns: tuple[Column, ...]

    @property
    def of(self) -> str:
        """What the values are taken of."""
        return self.columns[0].of

    @property
    def is_each(self) -> bool:
        """Whether it holds the elements of a collection; otherwise it has one row for each entry."""
        return isinstance(self.index, Index) and self.index.each

    @property
    def is_ordered(self) -> bool:
        """Whether it finds ranges."""
        return isinstance(self.index, Index) and self.index.ordered

    def values(self, source: Any) -> Iterable[bytes]:
        """Return what an entry, or a state, is found by."""
        if self.is_each:
            return {encode(element) for element in elements_of(self.columns[0].get(source))}
        return (b"".join([encode(column.get(source)) for column in self.columns]),)


@attrs.frozen(eq=False)
class Layout:
    """Where the indexes of a collection are in the file: `name` names it there, `slice` is its slice."""

    name: str
    slice: str
    level: str
    fingerprint: str
    collection: Collection
    labels: tuple[Label, ...]

    @classmethod
    def of(cls, slice_name: str, module: Any, collection: Collection, *, find: Find) -> Layout:
        """Return the layout of a collection of a module."""
        labels = [
            Label(number, index, columns_of(index, find)) for number, index in enumerate(collection.indexes)
        ]
        name = f"{slice_name}.{collection.field}"
        fingerprint = f"{module.version} {module.since_position} {collection.fingerprint()}"
        return cls(name, slice_name, module.level, fingerprint, collection, tuple(labels))

    def rows(self, found: Iterable[tuple[Any, Any]], state: Any) -> list[Row]:
        """Return the rows of some entries, and of the state around them."""
        own = [label for label in self.labels if label.of != "state"]
        rows: list[Row] = []
        for key, entry in found:
            encoded = encode(key)
            rows += [(label.number, value, encoded) for label in own for value in label.values(entry)]
        around = (label for label in self.labels if label.of == "state")
        rows += [(label.number, value, STATE_KEY) for label in around for value in label.values(state)]
        return rows

    @property
    def every_entry(self) -> Label | None:
        """An index that has one row for each entry, if there is one."""
        return next((label for label in self.labels if label.of != "state" and not label.is_each), None)
