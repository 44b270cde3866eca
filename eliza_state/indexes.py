"""Indexes as a module declares them, and the entries of its collections as queries see them.

>>> class ForumModule(StateModule[Forum]):
...     indexes = {"posts": (Index("author"), Index("at", ordered=True), Composite("author", "topic"))}
"""

from __future__ import annotations

import difflib
import hashlib
import operator
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final, Literal, TypeAlias, get_type_hints

import attrs

from eliza_state.collections import Log, Map
from eliza_state.collections.keyed import unlike
from eliza_state.errors import RegistrationError
from eliza_state.ordering import Kind
from eliza_state.shapes import ANYTHING, Shape, collection_of, member, members_of, shape_of

Where: TypeAlias = Literal["entry", "key", "state"]
"""What a column's value is taken of: an entry of the collection, its key, the state that holds it."""


@attrs.frozen
class Index:
    """Find entries by the value of a field, or of a function of the entry.

    `name` is a field of the entry (`"user"`, `"metadata.lang"`), or else one of the state around the
    collection, which is then the same for all its entries; with `key`, a pure function of an entry, it is a
    name of its own, and what the function is annotated to return says what it can be compared with.
    `ordered` indexes also find ranges and beginnings of texts. With `each` the value is a collection and
    entries are found by its elements. `version` is to be raised when `key` gives other values without being
    another function, as when one that it calls has changed.
    """

    name: str
    key: Callable[[Any], Any] | None = attrs.field(default=None, kw_only=True)
    ordered: bool = attrs.field(default=False, kw_only=True)
    each: bool = attrs.field(default=False, kw_only=True)
    version: int = attrs.field(default=1, kw_only=True)


@attrs.frozen(init=False)
class Composite:
    """Find entries by the values of several fields of theirs at once."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        if len(set(names)) != len(names) or len(names) < 2:
            raise RegistrationError(f"a composite index takes two different names or more, got {names!r}")
        object.__setattr__(self, "names", names)

    @property
    def name(self) -> str:
        """What it is called in explanations."""
        return "+".join(self.names)


Indexes: TypeAlias = Mapping[str, tuple[Index | Composite, ...]]
"""The indexes of a module, by the name of the collection in its state."""


@attrs.frozen(eq=False)
class Column:
    """One named value of the entries: `get` takes it from what `of` says, `shape` is what is known of it."""

    name: str
    of: Where
    get: Callable[[Any], Any]
    shape: Shape


@attrs.frozen(eq=False)
class Collection:
    """A collection in a module's state whose entries can be queried.

    `field` is its name in the state, `kind` its class, `entry` what is known of its entries, `state` of the
    fields around it.
    """

    field: str
    kind: type
    entry: Shape
    state: Shape
    indexes: tuple[Index | Composite, ...] = ()

    def find(self, name: str) -> Column | None:
        """Return the column of a name; `None` if neither entries nor the state have such a field.

        `key` is an entry's key, `value` an entry that has no fields of its own.
        """
        for index in self.indexes:
            if isinstance(index, Index) and index.name == name and (index.key is not None or index.each):
                return self._indexed(index)
        return self.plain(name)

    def _indexed(self, index: Index) -> Column | None:
        """Return the column of an index that says more than the field does."""
        column = self.plain(index.name) if index.key is None else None
        if index.key is not None:
            column = Column(index.name, "entry", index.key, _returned(index.key))
        if column is None or not index.each:
            return column
        elements = Any if column.shape.elements is None else column.shape.elements
        # With elements, and no text to look for a text in.
        shape = attrs.evolve(column.shape, kinds=frozenset({Kind.OTHER}), is_open=False, elements=elements)
        return attrs.evolve(column, shape=shape)

    def plain(self, name: str) -> Column | None:
        """Return the column of a field, whatever an index makes of it."""
        column = _column(name, "entry", self.entry)
        if column is not None:
            return column
        if name == "key":
            return Column(name, "key", _same, ANYTHING)
        if name == "value" and not self.entry.members:
            return Column(name, "entry", _same, self.entry)
        return _column(name, "state", self.state)

    def names(self) -> list[str]:
        """Return the names that can be asked for, those below others left out."""
        own = [index.name for index in self.indexes if isinstance(index, Index) and index.key is not None]
        value = [] if self.entry.members else ["value"]
        return list(dict.fromkeys([*own, *self.entry.members, "key", *value, *self.state.members]))

    def fingerprint(self) -> str:
        """Return a text that differs when the indexes are declared otherwise."""
        parts = [f"{self.kind.__name__} {self.field}"]
        for index in self.indexes:
            if isinstance(index, Composite):
                parts.append(f"composite {index.names}")
                continue
            function = "" if index.key is None else _digest(index.key)
            parts.append(f"{index.name} {index.ordered} {index.each} {index.version} {function}")
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _returned(function: Any) -> Shape:
    """What is known of a function's values by its annotation, if it has one."""
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):
        return ANYTHING
    return shape_of(hints["return"]) if "return" in hints else ANYTHING


def _same(value: Any) -> Any:
    return value


def _column(name: str, of: Where, shape: Shape) -> Column | None:
    steps = name.split(".")
    if of == "entry" and not shape.members and shape.kinds is not None and not shape.is_open:
        return None
    if of == "entry" and steps[0] in ("key", "value") and steps[0] not in shape.members and len(steps) == 1:
        return None
    found: Shape | None = shape
    for step in steps:
        found = None if found is None else member(found, step)
    if found is None:
        return None
    is_plain = len(steps) == 1 and name in shape.members and not shape.is_open and not shape.is_mixed
    return Column(name, of, operator.attrgetter(name) if is_plain else _reaching(steps), found)


def _reaching(steps: list[str]) -> Callable[[Any], Any]:
    def reach(value: Any) -> Any:
        for step in steps:
            if value is None:
                return None
            value = value.get(step) if isinstance(value, Mapping) else getattr(value, step, None)
        return value

    return reach


def _digest(function: Any) -> str:
    """What a function is made of, as far as it can be seen without calling it."""
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", repr(type(function)))
    return name if code is None else f"{name} {_code_parts(code)}"


def _code_parts(code: types.CodeType) -> str:
    constants = [
        _code_parts(constant)
        if isinstance(constant, types.CodeType)
        else repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant)
        for constant in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def collections_of(module: Any) -> dict[str, Collection]:
    """Return the collections in the state of a module that can be queried, by the names of their fields."""
    cls = module.state_type
    if not (isinstance(cls, type) and attrs.has(cls)):
        return {}
    members = members_of(cls)
    around = {name: kind for name, kind in members.items() if collection_of(kind) is None}
    found: dict[str, Collection] = {}
    for name, annotation in members.items():
        kind = collection_of(annotation)
        if kind is not None:
            declared = tuple(module.indexes.get(name, ()))
            state = Shape(members=around, is_open=False)
            found[name] = Collection(name, kind[0], shape_of(kind[1]), state, declared)
    return found


def check_indexes(module: Any) -> None:
    """Raise `RegistrationError` for declared indexes of a module that cannot work."""
    kind = type(module).__qualname__
    declared: Any = module.indexes
    if not isinstance(declared, Mapping):
        raise RegistrationError(
            f"{kind}: `indexes` maps collections of the state to indexes, as in"
            f' {{"messages": (Index("user"),)}}, got {declared!r:.60}'
        )
    if not declared:
        return
    found = collections_of(module)
    for field in declared:
        if field not in found:
            known = ", ".join(found) or "none"
            raise RegistrationError(
                f"{kind}: `indexes` names {field!r}; its state has these Entities, Logs and Maps: {known}"
            )
        _check_collection(found[field], f"{kind}.indexes[{field!r}]")


def _check_collection(collection: Collection, place: str) -> None:
    seen: set[str] = set()
    for index in collection.indexes:
        if not isinstance(index, Index | Composite):
            raise RegistrationError(f"{place}: expected Index or Composite, got {index!r:.60}")
        if index.name in seen:
            raise RegistrationError(f"{place}: two indexes are named {index.name!r}")
        seen.add(index.name)
        if isinstance(index, Composite):
            for name in index.names:
                _check_part(collection, name, f"{place}: {index.name!r}")
        else:
            _check_index(collection, index, place)


def _check_part(collection: Collection, name: str, place: str) -> None:
    column = _checked(collection, name, place)
    each = any(isinstance(index, Index) and index.name == name and index.each for index in collection.indexes)
    if column.of != "entry" or each:
        raise RegistrationError(f"{place} takes fields of the entries that hold one value, got {name!r}")


def _check_index(collection: Collection, index: Index, place: str) -> None:
    if index.key is not None:
        if not callable(index.key):
            raise RegistrationError(f"{place}: the key of {index.name!r} is a function, got {index.key!r}")
        if not index.name.isidentifier() or index.name in {*collection.entry.members, *_TAKEN}:
            raise RegistrationError(
                f"{place}: an index by a function has a name of its own, got {index.name!r}"
            )
    column = _checked(collection, index.name, place)
    plain = collection.plain(index.name)
    if index.each and plain is not None and not plain.shape.holds_elements:
        raise RegistrationError(f"{place}: {index.name!r} holds no elements to find it by; leave `each` out")
    if index.each and shape_of(column.shape.elements).is_secret:
        raise RegistrationError(f"{place}: {index.name!r} holds secrets, which are not indexed")


_TAKEN: Final = ("key", "value")


def _checked(collection: Collection, name: str, place: str) -> Column:
    column = collection.find(name)
    if column is None:
        raise RegistrationError(f"{place}: there is no field {name!r}{nearest(name, collection.names())}")
    if column.shape.is_secret:
        raise RegistrationError(f"{place}: {name!r} is a secret, which is not indexed")
    return column


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: which of the known names look like this one, or else all."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return f"; did you mean {', '.join(map(repr, close))}?"
    return f"; there are {', '.join(map(repr, names))}"


# What is in a collection, and what has changed in it

ABSENT: Final = object()
"""Stands for an entry that is not there."""


def entries(collection: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the keys and entries of an `Entities`, `Log` or `Map` in order; a log's keys are positions."""
    if collection.__class__ is Log:
        return enumerate(collection)
    if collection.__class__ is Map:
        return iter(collection.items())
    return zip(collection.ids(), collection, strict=True)


def entry_at(collection: Any, key: Any) -> Any:
    """Return the entry at a key; `ABSENT` if there is none."""
    if collection.__class__ is Log:
        return collection[key] if type(key) is int and 0 <= key < len(collection) else ABSENT
    return collection.get(key, ABSENT)


def changes(before: Any, after: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield each key whose entry is another object in `after`, with the entry before and after.

    What is not there is `ABSENT`. Chunks that the two have in common are neither looked at nor loaded.
    """
    if before.__class__ is not after.__class__:
        return
    if after.__class__ is Log:
        yield from _log_changes(before, after)
        return
    old_columns, columns = before.columns(), after.columns()
    keys, values = columns["keys"], columns["values"]
    if keys.has_only_grown(old_columns["keys"]) and values.has_only_grown(old_columns["values"]):
        # What happens most: an entry was added, at once told without a look at those before it.
        for slot in range(len(old_columns["keys"]), len(keys)):
            yield keys[slot], ABSENT, values[slot]
        return
    mine, theirs = unlike(old_columns, columns)
    left = {key: entry for key, _, entry in mine}
    for key, _, entry in theirs:
        old = left.pop(key, ABSENT)
        if old is not entry:
            yield key, old, entry
    for key, old in left.items():
        yield key, old, ABSENT


def _log_changes(before: Log[Any], after: Log[Any]) -> Iterator[tuple[Any, Any, Any]]:
    if after.has_only_grown(before):
        for position in range(len(before), len(after)):
            yield position, ABSENT, after[position]
        return
    size = before.chunk_size
    if after.chunk_size != size:
        after = Log(after, chunk_size=size)
    for number in before.unshared(after):
        pairs = zip_longest(before.part(number), after.part(number), fillvalue=ABSENT)
        for key, (old, new) in enumerate(pairs, number * size):
            if old is not new:
                yield key, old, new
