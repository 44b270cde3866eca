"""A persistent set in the order of insertion."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar, cast, final

from eliza_state.collections.keyed import Keyed, live, live_backwards, live_count
from eliza_state.collections.log import Log

T = TypeVar("T")
U = TypeVar("U")


@final
class Set(Keyed, AbstractSet[T]):
    """Keep different elements, immutable, in the order in which they came.

    Adding costs the same at any size, removing copies one chunk and a row of pointers. Equal to any set of
    equal elements, frozenset and set included, and hashes like the frozenset. The operators return a `Set`
    that starts with the elements of the left side in their order.
    """

    __slots__ = ()

    def __init__(self, iterable: Iterable[T] = (), /) -> None:
        """Take the different elements of `iterable` in the order of first appearance."""
        elements = dict.fromkeys(iterable)
        self._fill(Log(elements), None, live=len(elements))

    @classmethod
    def from_columns(cls, columns: Mapping[str, Log[Any]]) -> "Set[T]":
        """Put a set together from its column `keys`, loading none of its chunks.

        Other columns raise `ValueError`. The first look-up of an element loads all of them.
        """
        collection = cls()
        collection._fill(columns["keys"], None, live=live_count(columns, "keys"))
        return collection

    def add(self, element: T) -> "Set[T]":
        """Return a set with `element`; the same set when it is there."""
        return self if self._find(element) >= 0 else self._appended(element, None)

    def discard(self, element: T) -> "Set[T]":
        """Return a set without `element`; the same set when it is not there."""
        slot = self._find(element)
        return self if slot < 0 else self._removed(slot)

    def remove(self, element: T) -> "Set[T]":
        """Return a set without `element`; one that is not there raises `KeyError`."""
        slot = self._find(element)
        if slot < 0:
            raise KeyError(element)
        return self._removed(slot)

    def union(self, *others: Iterable[T]) -> "Set[T]":
        """Return a set with the elements of the others too; the same set when it has them all."""
        changed = self
        for other in others:
            for element in other:
                changed = changed.add(element)
        return changed

    def __or__(self, other: AbstractSet[U]) -> "Set[T | U]":
        return cast("Set[T | U]", self).union(other)

    def __and__(self, other: AbstractSet[Any]) -> "Set[T]":
        return Set(element for element in self if element in other)

    def __sub__(self, other: AbstractSet[Any]) -> "Set[T]":
        changed = self
        for element in other:
            changed = changed.discard(element)
        return changed

    def __xor__(self, other: AbstractSet[U]) -> "Set[T | U]":
        return cast("Set[T | U]", self - other).union(element for element in other if element not in self)

    def __contains__(self, element: object) -> bool:
        return self._find(element) >= 0

    def __iter__(self) -> Iterator[T]:
        return live(self._keys)

    def __reversed__(self) -> Iterator[T]:
        return live_backwards(self._keys)

    def __eq__(self, other: Any) -> bool:
        kind: type[object] = other.__class__
        if not issubclass(kind, AbstractSet):
            return NotImplemented
        if len(self) != len(other):
            return False
        if kind is Set:
            mine, theirs = self._changed(other)
            return mine.keys() == theirs.keys()
        return frozenset(self) == frozenset(other)

    def __hash__(self) -> int:
        return hash(frozenset(self))

    def __repr__(self) -> str:
        return f"Set({list(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Set, (tuple(self),)
