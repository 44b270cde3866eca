"""What Map, Set and Entities share: columns of slots and an index of hints."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, compress, count
from operator import is_not
from typing import Any, Final, Self

from eliza_state.collections.chunk import TOMBSTONE, Tombstone, live_items
from eliza_state.collections.log import Log

ALONE: Final = 32
"""Versions of fewer slots hand on a copy of their index, so that an initial state gathers no foreign keys."""

SLACK: Final = 64
"""Dead slots, or stale hints, that are put up with before columns, or an index, are made anew."""

_new: Callable[[Any], Any] = object.__new__


class Index(dict[Any, "int | list[int]"]):
    """Hint at the slots where a key may be: one slot, or several in ascending order.

    Versions that descend from each other share one index and add to it. It names slots that other versions
    filled, so a hint counts only when the version's own column of keys bears it out; but of every live key
    of every version that uses the index, the slot is among the hints.
    """

    extra: int = 0
    """Hints beyond the first of each key."""

    def hint(self, key: Any, slot: int) -> None:
        """Remember one more slot where the key may be."""
        known = self.setdefault(key, slot)
        if isinstance(known, list):
            if slot > known[-1]:
                known.append(slot)
            elif slot in known:
                return
            else:
                self[key] = sorted((*known, slot))
        elif known != slot:
            self[key] = sorted((known, slot))
        else:
            return
        self.extra += 1


class Keyed:
    """Keep keys, and values where there are any, in columns of slots in the order of arrival.

    A slot is never used twice: removal leaves a tombstone in it. When more than half of the slots are dead
    the columns are made anew.
    """

    __slots__ = ("_attribute", "_index", "_keys", "_live", "_values")

    _keys: Log[Any]
    _values: Log[Any] | None
    _live: int
    _index: Index | None
    _attribute: str
    """Where an entity carries its key; empty where there are no entities."""

    def __len__(self) -> int:
        return self._live

    def __copy__(self) -> Self:
        return self

    def columns(self) -> dict[str, Log[Any]]:
        """Return the logs this collection is stored as: `keys`, and `values` where there are any.

        Slots of removed elements hold a tombstone in every column; store a chunk in the form that
        `chunk_to_data` gives and restore it with `chunk_from_data`, so that columns keep their slots aligned.
        """
        columns = {"keys": self._keys}
        if self._values is not None:
            columns["values"] = self._values
        return columns

    def _fill(self, keys: Log[Any], values: Log[Any] | None, *, live: int, attribute: str = "") -> None:
        self._keys = keys
        self._values = values
        self._live = live
        self._index = None
        self._attribute = attribute

    def _find(self, key: Any) -> int:
        """Return the slot of a live key, -1 when there is none."""
        index = self._index
        if index is None:
            index = self._index = self._indexed()
        hint = index.get(key)
        if hint is None:
            return -1
        if type(hint) is not int:
            return self._search(key, hint)
        found = self._keys.get(hint, TOMBSTONE)
        if found is key or (type(found) is not Tombstone and found == key):
            return hint
        return -1

    def _search(self, key: Any, hints: Any) -> int:
        for slot in reversed(hints):
            found = self._keys.get(slot, TOMBSTONE)
            if type(found) is Tombstone:
                if found.key is key or found.key == key:
                    return -1  # a key that comes back takes a later slot, and those were looked at
            elif found is key or found == key:
                return int(slot)
        return -1

    def _indexed(self) -> Index:
        index = Index(zip(self._keys, count(), strict=False))
        if self._live < len(self._keys):
            for key in [key for key in index if type(key) is Tombstone]:
                del index[key]
        if len(index) != self._live:
            raise ValueError(f"expected {self._live} different keys in the stored columns, got {len(index)}")
        return index

    def _appended(self, key: Any, value: Any) -> Self:
        """Return a version with a new last slot; the key is known not to be alive."""
        keys = self._keys
        values = self._values
        slot = len(keys)
        index: Any = self._index  # made when the key was looked up
        if slot < ALONE:
            index = Index(index) if not index.extra else self._indexed()
        elif len(index) + index.extra > 2 * slot + SLACK:
            index = self._index = self._indexed()
        if index.setdefault(key, slot) != slot:
            index.hint(key, slot)
        version: Self = _new(type(self))
        version._keys = keys.append(key)
        version._values = values if values is None else values.append(value)
        version._live = self._live + 1
        version._index = index
        version._attribute = self._attribute
        return version

    def _replaced(self, slot: int, value: Any) -> Self:
        """Return a version with another value in a live slot; the same one when it is that very object."""
        present = self._values
        values = present if present is None else present.set(slot, value)
        return self if values is present else self._with(self._keys, values, live=self._live)

    def _removed(self, slot: int) -> Self:
        keys = self._keys
        if len(keys) > 2 * self._live + SLACK:
            return self._compact(slot)
        values = self._values
        if values is not None:
            values = values.set(slot, TOMBSTONE)
        return self._with(keys.set(slot, Tombstone(keys[slot])), values, live=self._live - 1)

    def _compact(self, dropped: int) -> Self:
        """Return a version of fresh columns that hold the live elements but the one in the dropped slot."""
        keys, values = self._keys, self._values
        alive = [type(key) is not Tombstone for key in keys]
        alive[dropped] = False
        size = keys.chunk_size
        version: Self = _new(type(self))
        version._fill(
            Log(compress(keys, alive), chunk_size=size),
            values if values is None else Log(compress(values, alive), chunk_size=size),
            live=self._live - 1,
            attribute=self._attribute,
        )
        return version

    def _with(self, keys: Log[Any], values: Log[Any] | None, *, live: int) -> Self:
        version: Self = _new(type(self))
        version._keys = keys
        version._values = values
        version._live = live
        version._index = self._index
        version._attribute = self._attribute
        return version

    def _changed(self, other: "Keyed") -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Return what is only here and what is only there, as keys and values; see `unlike`."""
        mine, theirs = unlike(self.columns(), other.columns())
        return {key: value for key, _, value in mine}, {key: value for key, _, value in theirs}


def live(column: Log[Any]) -> Iterator[Any]:
    """Yield the live elements of a column in order, loading a chunk when its turn comes."""
    return chain.from_iterable(map(live_items, column.chunks()))


def live_backwards(column: Log[Any]) -> Iterator[Any]:
    """Yield the live elements of a column, the newest first, loading a chunk when its turn comes."""
    return (item for item in reversed(column) if type(item) is not Tombstone)


Found = list[tuple[Any, int, Any]]
"""Live elements as key, slot and value, in the order of slots; a set has its keys for values."""


def unlike(before: Mapping[str, Log[Any]], after: Mapping[str, Log[Any]]) -> tuple[Found, Found]:
    """Return the live elements of either side whose slots do not hold the same objects on both.

    A key found on neither side has the same slot and the same value in both. Chunks in common are skipped
    unseen and unloaded.
    """
    keys, values = before["keys"], before.get("values", before["keys"])
    other_keys, other_values = after["keys"], after.get("values", after["keys"])
    if keys.chunk_size != other_keys.chunk_size:
        other_keys = Log(other_keys, chunk_size=keys.chunk_size)
        other_values = Log(other_values, chunk_size=keys.chunk_size)
    mine: Found = []
    theirs: Found = []
    for number in sorted({*keys.unshared(other_keys), *values.unshared(other_values)}):
        pair = keys.part(number), other_keys.part(number)
        value_pair = values.part(number), other_values.part(number)
        offsets = _offsets(pair, value_pair)
        start = number * keys.chunk_size
        _collect(mine, start, offsets, keys=pair[0], values=value_pair[0])
        _collect(theirs, start, offsets, keys=pair[1], values=value_pair[1])
    return mine, theirs


def _offsets(*pairs: tuple[list[Any], list[Any]]) -> list[int]:
    """Return where, in any of the pairs of runs, the two do not hold the same object."""
    offsets: set[int] = set()
    for left, right in pairs:
        if left is right:
            continue
        offsets.update(compress(count(), map(is_not, left, right)))
        offsets.update(range(*sorted((len(left), len(right)))))
    return sorted(offsets)


def _collect(found: Found, start: int, offsets: Iterable[int], *, keys: list[Any], values: list[Any]) -> None:
    for offset in offsets:
        if offset >= len(keys):
            break
        key = keys[offset]
        if type(key) is not Tombstone:
            found.append((key, start + offset, values[offset]))


def live_count(columns: Mapping[str, Log[Any]], *names: str) -> int:
    """Return how many elements in stored columns are alive, loading none of them.

    Columns other than the named ones, or columns that do not agree in their chunks, raise `ValueError`.
    """
    if sorted(columns) != sorted(names):
        raise ValueError(f"expected the columns {sorted(names)}, got {sorted(columns)}")
    logs = [columns[name] for name in names]
    sizes = {log.chunk_size for log in logs}
    shapes = [[(len(chunk), chunk.dead) for chunk in log.chunks()] for log in logs]
    if len(sizes) > 1 or shapes.count(shapes[0]) != len(shapes):
        raise ValueError("expected columns of the same chunks with the same slots dead, got others")
    return sum(length - dead for length, dead in shapes[0])
