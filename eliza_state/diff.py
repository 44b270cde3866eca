"""What differs between two states, found through the structure that they share."""

import reprlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cache
from itertools import compress, count, islice
from math import isnan
from operator import is_not
from typing import Any, Final, Literal, TypeAlias

import attrs

from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.collections.chunk import Tombstone
from eliza_state.collections.keyed import unlike


@attrs.frozen
class Field:
    """A step into a field of an attrs object."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@attrs.frozen
class Key:
    """A step to the value at a key of a mapping, or to the entity of an id."""

    key: Hashable

    def __str__(self) -> str:
        return f"[{abbreviated(self.key)}]"


@attrs.frozen
class Index:
    """A step to a position of a log, list or tuple."""

    position: int

    def __str__(self) -> str:
        return f"[{self.position}]"


@attrs.frozen
class Element:
    """A step to an element of a set; always the last of a path."""

    element: Hashable

    def __str__(self) -> str:
        return ""


Step: TypeAlias = Field | Key | Index | Element
Path: TypeAlias = tuple[Step, ...]
Kind: TypeAlias = Literal["added", "removed", "changed", "moved"]


@attrs.frozen
class Difference:
    """One difference, at the end of `path`, which is empty for the whole state.

    `added`: there was nothing at the path; a position is the end of its sequence, an id goes after all
    others. `removed`: there is nothing any more. `changed`: another value is there. `moved`: the entity of
    that id goes behind all others, its own changes are told apart. `before` is None for what was added,
    `after` for what was removed, both for what moved.
    """

    path: Path
    kind: Kind
    before: Any = None
    after: Any = None


def diff(before: Any, after: Any) -> tuple[Difference, ...]:
    """Return what to do to `before`, in this order, to arrive at `after`; empty when there is nothing to do.

    Objects of one type are compared inside: attrs objects by field, `Map` and dict by key, `Set`, set and
    frozenset by element, `Entities` by id, `Log`, list and tuple by position. Anything else, subclasses of
    those included, is compared by `==` as a whole. Objects of different types differ (True is not 1), two
    float NaN do not; keys and elements follow the rules of a dict. One object on both sides, a chunk in
    common and two unloaded chunks of one address are equal unseen, so states that descend from each other
    cost what differs between them.

    A class with a repr of its own, and an object of which a field with `repr=False` or `init=False` differs,
    is compared as a whole, so that nothing is shown that it hides. A field with `eq=False` is left out.
    """
    return tuple(_differences(before, after, path=()))


def render(differences: Iterable[Difference]) -> str:
    """Return a line for each difference, for people to read; an empty text when there are none.

    `+` added, `-` removed, `~` changed, `>` moved to the end. Values are abbreviated and show themselves by
    their own repr, so what masks itself stays masked.
    """
    return "\n".join(map(_line, differences))


def _differences(before: Any, after: Any, *, path: Path) -> Iterator[Difference]:
    if before is after:
        return
    cls: Any = before.__class__
    if cls is not after.__class__:
        yield Difference(path, "changed", before, after)
    else:
        yield from _way(cls)(before, after, path)


Way: TypeAlias = Callable[[Any, Any, Path], Iterator[Difference]]


@cache
def _way(cls: Any) -> Way:
    if cls in _WAYS:
        return _WAYS[cls]
    return _between_objects if is_open(cls) else _between_wholes


@cache
def is_open(cls: Any) -> bool:
    """Tell whether a class is an attrs class that shows itself by the repr that attrs makes."""
    code = getattr(cls.__repr__, "__code__", None)
    return attrs.has(cls) and code is not None and code.co_filename.startswith("<attrs generated")


def _between_wholes(before: Any, after: Any, path: Path) -> Iterator[Difference]:
    if before != after and not (isinstance(before, float) and isnan(before) and isnan(after)):
        yield Difference(path, "changed", before, after)


def _between_objects(before: Any, after: Any, path: Path) -> Iterator[Difference]:
    found: list[Difference] = []
    for name, is_shown in _fields(before.__class__):
        old, new = getattr(before, name), getattr(after, name)
        inner = [] if old is new else list(_differences(old, new, path=(*path, Field(name))))
        if inner and not is_shown:
            yield Difference(path, "changed", before, after)
            return
        found += inner
    yield from found


@cache
def _fields(cls: Any) -> tuple[tuple[str, bool], ...]:
    return tuple((field.name, field.repr is True and field.init) for field in attrs.fields(cls) if field.eq)


def _between_dicts(before: dict[Any, Any], after: dict[Any, Any], path: Path) -> Iterator[Difference]:
    for key, value in before.items():
        if key not in after:
            yield Difference((*path, Key(key)), "removed", before=value)
    for key, value in before.items():
        if key in after and value is not after[key]:
            yield from _differences(value, after[key], path=(*path, Key(key)))
    for key, value in after.items():
        if key not in before:
            yield Difference((*path, Key(key)), "added", after=value)


def _between_maps(before: Map[Any, Any], after: Map[Any, Any], path: Path) -> Iterator[Difference]:
    mine, theirs = unlike(before.columns(), after.columns())
    old = {key: value for key, _, value in mine}
    new = {key: value for key, _, value in theirs}
    yield from _between_dicts(old, new, path)


def _between_sets(before: Iterable[Any], after: Iterable[Any], path: Path) -> Iterator[Difference]:
    """Compare built-in sets, in an order that does not depend on hashes."""
    old, new = frozenset(before), frozenset(after)
    yield from _left_and_come(sorted(old - new, key=repr), sorted(new - old, key=repr), path)


def _between_persistent_sets(before: Set[Any], after: Set[Any], path: Path) -> Iterator[Difference]:
    mine, theirs = unlike(before.columns(), after.columns())
    old = dict.fromkeys(key for key, _, _ in mine)
    new = dict.fromkeys(key for key, _, _ in theirs)
    left = [element for element in old if element not in new]
    yield from _left_and_come(left, [element for element in new if element not in old], path)


def _left_and_come(left: Iterable[Any], come: Iterable[Any], path: Path) -> Iterator[Difference]:
    for element in left:
        yield Difference((*path, Element(element)), "removed", before=element)
    for element in come:
        yield Difference((*path, Element(element)), "added", after=element)


def _between_sequences(before: Sequence[Any], after: Sequence[Any], path: Path) -> Iterator[Difference]:
    yield from _between_runs(before, after, path)
    yield from _beyond(before, after, path)


def _between_logs(before: Log[Any], after: Log[Any], path: Path) -> Iterator[Difference]:
    size = before.chunk_size
    if after.chunk_size != size:
        after = Log(after, chunk_size=size)
    for number in before.unshared(after):
        yield from _between_runs(before.part(number), after.part(number), path, start=number * size)
    yield from _beyond(before, after, path)


def _between_runs(
    before: Sequence[Any], after: Sequence[Any], path: Path, *, start: int = 0
) -> Iterator[Difference]:
    for offset in compress(count(), map(is_not, before, after)):
        yield from _differences(before[offset], after[offset], path=(*path, Index(start + offset)))


def _beyond(before: Sequence[Any], after: Sequence[Any], path: Path) -> Iterator[Difference]:
    """Tell what one of two sequences has past the end of the other."""
    for position in range(len(before) - 1, len(after) - 1, -1):
        yield Difference((*path, Index(position)), "removed", before=before[position])
    for position in range(len(before), len(after)):
        yield Difference((*path, Index(position)), "added", after=after[position])


def _between_entities(before: Entities[Any], after: Entities[Any], path: Path) -> Iterator[Difference]:
    if before.key != after.key:
        yield Difference(path, "changed", before, after)
        return
    mine, theirs = unlike(before.columns(), after.columns())
    old = {key: value for key, _, value in mine}
    new = {key: value for key, _, value in theirs}
    for key, value in old.items():
        if key not in new:
            yield Difference((*path, Key(key)), "removed", before=value)
    for key, value in new.items():
        if key in old:
            yield from _differences(old[key], value, path=(*path, Key(key)))
    origins = {key: slot for key, slot, _ in mine}
    first = next((slot for key, slot, _ in theirs if origins.get(key) != slot), None)
    if first is not None:
        keys = after.columns()["keys"]
        ids = keys.last(len(keys) - first)
        yield from _arrivals(ids, first, origins=origins, new=new, path=path)


def _arrivals(
    ids: Iterable[Any], first: int, *, origins: dict[Any, int], new: dict[Any, Any], path: Path
) -> Iterator[Difference]:
    """Tell which entities, of those from slot `first` on, came to the end, in order.

    An entity stays while the ones that stay before it were before it on the other side too; after the first
    that does not, all go to the end. An id that is not among the `new` has the same slot on both sides.
    """
    highest = first - 1
    stays = True
    for slot, key in enumerate(ids, first):
        if type(key) is Tombstone:
            continue
        origin = origins.get(key) if key in new else slot
        stays = stays and origin is not None and origin > highest
        if stays and origin is not None:
            highest = origin
        elif origin is None:
            yield Difference((*path, Key(key)), "added", after=new[key])
        else:
            yield Difference((*path, Key(key)), "moved")


_WAYS: Final[dict[type, Way]] = {
    Entities: _between_entities,
    Log: _between_logs,
    Map: _between_maps,
    Set: _between_persistent_sets,
    dict: _between_dicts,
    frozenset: _between_sets,
    list: _between_sequences,
    set: _between_sets,
    tuple: _between_sequences,
}

_SIGNS: Final[dict[Kind, str]] = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}


def _line(difference: Difference) -> str:
    place = "".join(map(str, difference.path)).removeprefix(".") or "state"
    match difference.kind:
        case "added":
            text = f"{place}: {abbreviated(difference.after)}"
        case "removed":
            text = f"{place}: {abbreviated(difference.before)}"
        case "changed":
            text = f"{place}: {abbreviated(difference.before)} → {abbreviated(difference.after)}"
        case "moved":
            text = f"{place}: to the end"
    return f"{_SIGNS[difference.kind]} {text}"


class _Abbreviation(reprlib.Repr):
    """Abbreviate values without making the whole text of a large one first."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlevel = 3

    def repr1(self, x: Any, level: int) -> str:
        """Return the abbreviated repr of a value; `level` is how much deeper to look."""
        cls: Any = x.__class__
        if cls in (Entities, Log, Map, Set):
            return self._collection(x, level)
        if is_open(cls):
            return self._object(x, level)
        return super().repr1(x, level)

    def _collection(self, collection: Any, level: int) -> str:
        texts: list[str] = []
        if level > 0:
            for item in islice(collection, self.maxlist):
                value = f": {self.repr1(collection[item], level - 1)}" if collection.__class__ is Map else ""
                texts.append(self.repr1(item, level - 1) + value)
        if len(texts) < len(collection):
            texts.append(f"… {len(collection) - len(texts)} more")
        return f"{collection.__class__.__name__}({', '.join(texts)})"

    def _object(self, value: Any, level: int) -> str:
        fields = [field for field in attrs.fields(value.__class__) if field.repr]
        texts: list[str] = []
        for field in fields[: self.maxdict if level > 0 else 0]:
            shown = getattr(value, field.name)
            text = field.repr(shown) if callable(field.repr) else self.repr1(shown, level - 1)
            texts.append(f"{field.name}={text}")
        if len(texts) < len(fields):
            texts.append("…")
        return f"{type(value).__name__}({', '.join(texts)})"


abbreviated: Final = _Abbreviation().repr
