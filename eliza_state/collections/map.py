"""A persistent mapping in the order of insertion."""

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import Any, TypeVar, cast, final, overload

from eliza_state.collections.keyed import Keyed, live, live_backwards, live_count
from eliza_state.collections.log import Log

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


@final
class Map(Keyed, Mapping[K, V]):
    """Map keys to values, immutable, in the order in which the keys came.

    Keys are those of a dict (hashable; 1, 1.0 and True are one key). A new key costs the same at any size;
    giving a key another value copies one chunk and a row of pointers, removing it does so twice. Equal to any
    mapping of equal items in whatever order, dict included; hashable when the values are.
    """

    __slots__ = ()

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = (), /) -> None:
        """Take the items of a mapping or of pairs; of pairs with one key the last counts, as in a dict."""
        entries = dict(items)
        self._fill(Log(entries), Log(entries.values()), live=len(entries))

    @classmethod
    def from_columns(cls, columns: Mapping[str, Log[Any]]) -> "Map[K, V]":
        """Put a map together from its columns `keys` and `values`, loading none of their chunks.

        Columns that do not fit together raise `ValueError`. The first look-up of a key loads the keys.
        """
        collection = cls()
        live = live_count(columns, "keys", "values")
        collection._fill(columns["keys"], columns["values"], live=live)
        return collection

    def set(self, key: K, value: V) -> "Map[K, V]":
        """Return a map with `value` at `key`; the same map when that very object is there."""
        slot = self._find(key)
        return self._appended(key, value) if slot < 0 else self._replaced(slot, value)

    def update(self, items: Mapping[K, V] | Iterable[tuple[K, V]], /) -> "Map[K, V]":
        """Return a map with these items set; the same map when none of them is new."""
        changed = self
        for key, value in dict(items).items():
            changed = changed.set(key, value)
        return changed

    def delete(self, key: K) -> "Map[K, V]":
        """Return a map without `key`; a key that is not there raises `KeyError`."""
        slot = self._find(key)
        if slot < 0:
            raise KeyError(key)
        return self._removed(slot)

    def discard(self, key: K) -> "Map[K, V]":
        """Return a map without `key`; the same map when it is not there."""
        slot = self._find(key)
        return self if slot < 0 else self._removed(slot)

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V, /) -> V: ...
    @overload
    def get(self, key: K, default: D, /) -> V | D: ...
    def get(self, key: K, default: Any = None, /) -> Any:
        """Return the value at `key`, or `default` when there is none."""
        slot = self._find(key)
        return default if slot < 0 else cast("Log[V]", self._values)[slot]

    def items(self) -> ItemsView[K, V]:
        """Return a view of the pairs of key and value, in order."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return a view of the values, in order."""
        return _Values(self)

    def __getitem__(self, key: K) -> V:
        slot = self._find(key)
        if slot < 0:
            raise KeyError(key)
        return cast("Log[V]", self._values)[slot]

    def __contains__(self, key: object) -> bool:
        return self._find(key) >= 0

    def __iter__(self) -> Iterator[K]:
        return live(self._keys)

    def __reversed__(self) -> Iterator[K]:
        return live_backwards(self._keys)

    def __eq__(self, other: Any) -> bool:
        kind: type[object] = other.__class__
        if not issubclass(kind, Mapping):
            return NotImplemented
        if len(self) != len(other):
            return False
        if kind is Map:
            mine, theirs = self._changed(other)
            return mine == theirs
        return dict(self.items()) == dict(other)

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return f"Map({dict(self.items())!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Map, (tuple(self.items()),)


class _Items(ItemsView[K, V]):
    _mapping: Map[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        columns = self._mapping.columns()
        return zip(live(columns["keys"]), live(columns["values"]), strict=True)


class _Values(ValuesView[V]):
    _mapping: Map[Any, V]

    def __iter__(self) -> Iterator[V]:
        return live(self._mapping.columns()["values"])

    def __contains__(self, value: object) -> bool:
        values: Any = iter(self)
        return value in values
