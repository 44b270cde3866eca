"""A persistent collection of entities, in order and by id."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar, cast, final, overload

from eliza_state.collections.chunk import live_items
from eliza_state.collections.keyed import Keyed, live, live_backwards, live_count
from eliza_state.collections.log import Log
from eliza_state.evolve import evolve

T = TypeVar("T")
D = TypeVar("D")


@final
class Entities(Keyed, Generic[T]):
    """Keep entities, immutable, in the order in which they came and reachable by their id.

    The id is an attribute of the entity, `id` unless `key` names another; it is hashable and never changes.
    Iteration gives the entities, `in` and `[]` ask for an id. Adding costs the same at any size; replacing an
    entity keeps its place and copies one chunk and a row of pointers. Equal to other Entities with the same
    `key` and equal entities in the same order; hashable when the entities are.
    """

    __slots__ = ()

    def __init__(self, entities: Iterable[T] = (), *, key: str = "id") -> None:
        """Take the entities in order; two of one id raise `ValueError`."""
        items = list(entities)
        ids = [getattr(entity, key) for entity in items]
        if len(set(ids)) != len(ids):
            twice = next(id_ for place, id_ in enumerate(ids) if id_ in ids[:place])
            raise ValueError(f"expected entities of different {key}, got {key}={twice!r} twice")
        self._fill(Log(ids), Log(items), live=len(items), attribute=key)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Log[Any]], *, key: str = "id") -> "Entities[T]":
        """Put entities together from the columns `keys` (the ids) and `values`, loading none of their chunks.

        Columns that do not fit together raise `ValueError`. The first look-up of an id loads the ids.
        """
        collection = cls()
        live = live_count(columns, "keys", "values")
        collection._fill(columns["keys"], columns["values"], live=live, attribute=key)
        return collection

    @property
    def key(self) -> str:
        """Name the attribute that carries the id."""
        return self._attribute

    def add(self, entity: T) -> "Entities[T]":
        """Return entities with this one at the end; an id that is there raises `ValueError`."""
        key = getattr(entity, self._attribute)
        if self._find(key) >= 0:
            raise ValueError(f"{self._attribute}={key!r} is already there: use upsert() to replace it")
        return self._appended(key, entity)

    def upsert(self, entity: T) -> "Entities[T]":
        """Return entities with this one in the place of the one of its id, or else at the end.

        The same entities when this very object is there.
        """
        key = getattr(entity, self._attribute)
        slot = self._find(key)
        return self._appended(key, entity) if slot < 0 else self._replaced(slot, entity)

    def update(self, key: Hashable, /, **changes: Any) -> "Entities[T]":
        """Return entities in which the one of that id has other fields, as `evolve` gives it.

        The same entities when nothing changes. Raises `KeyError` for an id that is not there, `TypeError` for
        a field that the entity does not have, `ValueError` for an attempt to change the id.
        """
        slot = self._slot(key)
        return self._with_entity(slot, evolve(self._entities[slot], **changes))

    def update_with(self, key: Hashable, function: Callable[[T], T], /) -> "Entities[T]":
        """Return entities in which `function` of the one of that id stands in its place.

        The same entities when it returns what it was given. Errors are those of `update`.
        """
        slot = self._slot(key)
        return self._with_entity(slot, function(self._entities[slot]))

    def remove(self, key: Hashable, /) -> "Entities[T]":
        """Return entities without the one of that id; an id that is not there raises `KeyError`."""
        return self._removed(self._slot(key))

    def discard(self, key: Hashable, /) -> "Entities[T]":
        """Return entities without the one of that id; the same entities when it is not there."""
        slot = self._find(key)
        return self if slot < 0 else self._removed(slot)

    @overload
    def get(self, key: Hashable, /) -> T | None: ...
    @overload
    def get(self, key: Hashable, default: D, /) -> T | D: ...
    def get(self, key: Hashable, default: Any = None, /) -> Any:
        """Return the entity of that id, or `default` when there is none."""
        slot = self._find(key)
        return default if slot < 0 else self._entities[slot]

    def ids(self) -> tuple[Any, ...]:
        """Return the ids in the order of their entities."""
        return tuple(live(self._keys))

    def last(self, size: int) -> tuple[T, ...]:
        """Return the last `size` entities, oldest first, or all there are; loads only their chunks."""
        if size < 0 or self._live == len(self._entities):
            return self._entities.last(size)
        return tuple(islice(reversed(self), size))[::-1]

    def at(self, position: int) -> T:
        """Return the entity at a position in the order, from the end when negative; `IndexError` past it."""
        place = position + self._live if position < 0 else position
        if not 0 <= place < self._live:
            raise IndexError(f"position {position} is out of range for {self._live} entities")
        if self._live == len(self._entities):
            return self._entities[place]
        for chunk in self._entities.chunks():
            alive = len(chunk) - chunk.dead
            if place < alive:
                return cast("T", live_items(chunk)[place])
            place -= alive
        raise AssertionError("chunks count their dead")

    def __getitem__(self, key: Hashable) -> T:
        return self._entities[self._slot(key)]

    def __contains__(self, key: object) -> bool:
        return self._find(key) >= 0

    def __iter__(self) -> Iterator[T]:
        return live(self._entities)

    def __reversed__(self) -> Iterator[T]:
        return live_backwards(self._entities)

    def __eq__(self, other: Any) -> bool:
        kind: type[object] = other.__class__
        if kind is not Entities:
            return NotImplemented
        if self._attribute != other._attribute or self._live != other._live:
            return False
        mine, theirs = self._changed(other)
        return list(mine.items()) == list(theirs.items())

    def __hash__(self) -> int:
        return hash((self._attribute, tuple(self)))

    def __repr__(self) -> str:
        key = "" if self._attribute == "id" else f", key={self._attribute!r}"
        return f"Entities({list(self)!r}{key})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Entities, key=self._attribute), (tuple(self),)

    @property
    def _entities(self) -> Log[T]:
        return cast("Log[T]", self._values)

    def _slot(self, key: Any) -> int:
        slot = self._find(key)
        if slot < 0:
            raise KeyError(f"no entity with {self._attribute}={key!r}")
        return slot

    def _with_entity(self, slot: int, entity: T) -> "Entities[T]":
        present, given = self._keys[slot], getattr(entity, self._attribute)
        if given is not present and given != present:
            raise ValueError(
                f"expected the entity to keep {self._attribute}={present!r}, got {given!r}: "
                "remove it and add another instead"
            )
        return self._replaced(slot, entity)
