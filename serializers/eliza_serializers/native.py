"""Which declared types msgspec may write and read by itself, and what is left to check when it does.

msgspec works on attrs classes at C speed, but says nothing about what it loses: a set becomes a list, a
named zone an offset, a subclass its base. So a type takes this path only when all its parts are listed here
or in the format's `Native`. Every value written is read back, compared, and checked for what equality does
not see, unless the types of its parts tell already that it comes back the same (`exact`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum, Flag
from functools import partial
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any, Final, Generic

import attrs

from eliza_serializers.errors import SerializationError
from eliza_serializers.format import Native
from eliza_serializers.kinds import Kind, record_fields, shape_of
from eliza_serializers.plain import Plain
from eliza_serializers.tags import TYPE_KEY, TagTable, class_of

Check = Callable[[Sequence[Any]], bool]
"""Check many values of one type together: a column costs a few calls, however long it is."""


@attrs.frozen(kw_only=True)
class Part:
    """Hold what must be checked of values besides equality with what is read back.

    `types` are the exact types allowed, None for any. `check` is what else must hold after writing. `scan` is
    what must hold after reading: no tag and no excess of depth, where the type alone does not say so.
    """

    types: frozenset[type] | None
    check: Check | None = None
    scan: Check | None = None

    def accepts(self) -> Check:
        """Give one function that makes the whole check."""
        return partial(_accepts, self.types, self.check)


class NotNative(Exception):
    """Say that msgspec alone is not faithful for a type."""


def native_part(
    annotation: Any, *, native: Native, plain: Plain, tags: TagTable, max_depth: int
) -> Part | None:
    """Plan the checks for a type, or give None when msgspec must not handle it by itself."""
    try:
        part = _part(annotation, _Planner(native, plain, tags, max_depth))
        native.decoder(annotation)  # refuses what msgspec cannot tell apart
    except (NotNative, SerializationError, TypeError, NameError, LookupError, NotImplementedError):
        return None
    return part


@attrs.frozen
class _Planner:
    """Carry what the format can do, the levels that remain below a part, and the classes above it."""

    native: Native
    plain: Plain
    tags: TagTable
    budget: int
    above: tuple[type, ...] = ()

    def below(self, *classes: type) -> _Planner:
        if self.budget == 0:
            raise NotNative
        return attrs.evolve(self, budget=self.budget - 1, above=(*self.above, *classes))

    def all_carried(self) -> Check:
        return partial(_all_carried, self.plain, self.budget)


_SCALARS: Final[Mapping[Kind, type]] = {
    Kind.NONE: NoneType,
    Kind.BOOL: bool,
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.STR: str,
}


def _part(annotation: Any, planner: _Planner) -> Part:
    # An annotation that carries metadata may carry constraints of msgspec's own.
    if hasattr(annotation, "__metadata__"):
        raise NotNative
    shape = shape_of(annotation, planner.tags)
    if shape.kind in _SCALARS:
        return Part(types=frozenset({_SCALARS[shape.kind]}))
    factory = _FACTORIES.get(shape.kind)
    if factory is None:
        raise NotNative
    return factory(shape.cls, shape.arguments, planner)


def _any(cls: Any, arguments: tuple[Any, ...], planner: _Planner) -> Part:
    carried = planner.all_carried()
    return Part(types=None, check=carried, scan=carried)


def _tagged(cls: Any, arguments: tuple[Any, ...], planner: _Planner) -> Part:
    if cls not in planner.native.classes:
        raise NotNative
    return Part(types=frozenset({cls}), check=planner.native.moments if cls is datetime else None)


def _enum(cls: type[Enum], arguments: tuple[Any, ...], planner: _Planner) -> Part:
    values = {class_of(member.value) for member in cls}
    if values not in ({str}, {int}) or issubclass(cls, Flag) or "_missing_" in cls.__dict__:
        raise NotNative
    return Part(types=frozenset({cls}))


def _literal(cls: Any, arguments: tuple[Any, ...], planner: _Planner) -> Part:
    types = frozenset(class_of(value) for value in arguments)
    if not types <= {str, int, NoneType}:
        raise NotNative
    return Part(types=types)


def _list(cls: Any, arguments: tuple[Any, ...], planner: _Planner) -> Part:
    item = _part(arguments[0], planner.below())
    scan = None if item.scan is None else partial(_items, item.scan)
    return Part(types=frozenset({list}), check=partial(_items, item.accepts()), scan=scan)


def _mapping(cls: Any, arguments: tuple[Any, ...], planner: _Planner) -> Part:
    if arguments[0] not in planner.native.keys:
        raise NotNative
    kind = frozenset({dict})
    if arguments[0] is str and shape_of(arguments[1], planner.tags).kind is Kind.ANY:
        carried = planner.all_carried()
        return Part(types=kind, check=carried, scan=carried)
    item = _part(arguments[1], planner.below())
    check = partial(_entries, frozenset({arguments[0]}), item.accepts())
    return Part(types=kind, check=check, scan=partial(_untagged, item.scan))


def _union(cls: Any, arguments: tuple[Any, ...], planner: _Planner) -> Part:
    parts = [_part(argument, planner) for argument in arguments]
    if any(part.types is None for part in parts):
        raise NotNative
    types = frozenset[type]().union(*(part.types or () for part in parts))
    checked = [part for part in parts if part.check is not None]
    if not checked:
        return Part(types=types)
    # None beside one part that has a check of its own; more members than that go the careful way.
    if len(parts) != 2 or NoneType not in types or len(checked) > 1:
        raise NotNative
    if checked[0].check is planner.native.moments:
        return Part(types=types, check=planner.native.moments)
    check, scan = (each and partial(_present, each) for each in (checked[0].check, checked[0].scan))
    return Part(types=types, check=check, scan=scan)


def _record(cls: type, arguments: tuple[Any, ...], planner: _Planner) -> Part:
    # A class that may contain itself has no bound of its own on its depth.
    if arguments or cls in planner.above or not _is_transparent(cls):
        raise NotNative
    below = planner.below(cls)
    parts = {item.name: _part(item.type, below) for item in record_fields(cls)}
    scans: list[tuple[Callable[[Any], Any], Check]] = [
        (attrgetter(name), part.scan) for name, part in parts.items() if part.scan is not None
    ]
    return Part(
        types=frozenset({cls}),
        check=_record_check(parts),
        scan=partial(_columns, scans) if scans else None,
    )


def _record_check(parts: Mapping[str, Part]) -> Check:
    """Check the types of most fields in one go, and what is left column by column."""
    columns: list[tuple[Callable[[Any], Any], Check]] = []
    together: dict[str, frozenset[type]] = {}
    for name, part in parts.items():
        if part.types is None or any(cls is float or issubclass(cls, Enum) for cls in part.types):
            # Equal to an int or a str of another field: these have their types checked alone.
            columns.append((attrgetter(name), part.accepts()))
            continue
        together[name] = part.types
        if part.check is not None:
            columns.append((attrgetter(name), part.check))
    if not together:
        return partial(_columns, columns)
    types = frozenset[type]().union(*together.values())
    names = [*together, next(iter(together))]  # twice the first: attrgetter of one name gives no tuple
    return partial(_fields, types, attrgetter(*names), columns)


def _is_transparent(cls: type) -> bool:
    """Tell whether a class is its fields alone: nothing converts, hides, adds or compares otherwise."""
    if not attrs.has(cls) or any(hasattr(cls, name) for name in _OWN_CONSTRUCTION):
        return False
    if not _is_generated(cls.__init__) or not _is_generated(cls.__eq__):
        return False
    fields = attrs.fields(cls)
    slots = {slot for parent in cls.__mro__ for slot in _slots_of(parent)} - {"__weakref__"}
    return slots == {item.name for item in fields} and all(
        item.init and item.alias == item.name and item.converter is None and item.eq and item.eq_key is None
        for item in fields
    )


_OWN_CONSTRUCTION: Final = ("__attrs_init__", "__attrs_pre_init__", "__attrs_post_init__")


def _slots_of(cls: type) -> Iterable[str]:
    slots: str | Iterable[str] = cls.__dict__.get(
        "__slots__", () if cls in (object, Generic) else ("__dict__",)
    )
    return (slots,) if isinstance(slots, str) else slots


def _is_generated(method: Any) -> bool:
    # attrs names the source of the methods it writes; one that it did not write may do anything.
    code = getattr(method, "__code__", None)
    return code is not None and code.co_filename.startswith("<attrs generated")


def _accepts(types: frozenset[type] | None, check: Check | None, values: Sequence[Any]) -> bool:
    if types is not None and not types.issuperset(map(type, values)):
        return False
    return check is None or check(values)


def _columns(columns: list[tuple[Callable[[Any], Any], Check]], values: Sequence[Any]) -> bool:
    for get, check in columns:  # noqa: SIM110 - a generator would cost more than the checks
        if not check([*map(get, values)]):
            return False
    return True


def _fields(
    types: frozenset[type],
    fields: Callable[[Any], tuple[Any, ...]],
    columns: list[tuple[Callable[[Any], Any], Check]],
    values: Sequence[Any],
    /,
) -> bool:
    found = fields(values[0]) if len(values) == 1 else chain.from_iterable(map(fields, values))
    return types.issuperset(map(type, found)) and _columns(columns, values)


def _items(check: Check, values: Sequence[list[Any]]) -> bool:
    return check(values[0] if len(values) == 1 else list(chain.from_iterable(values)))


def _entries(keys: frozenset[type], check: Check, values: Sequence[dict[Any, Any]]) -> bool:
    if any(TYPE_KEY in value or not keys.issuperset(map(type, value)) for value in values):
        return False
    return check([item for value in values for item in value.values()])


def _untagged(scan: Check | None, values: Sequence[dict[Any, Any]]) -> bool:
    for value in values:
        if TYPE_KEY in value:
            return False
    return scan is None or scan([item for value in values for item in value.values()])


def _present(check: Check, values: Sequence[Any]) -> bool:
    return check([value for value in values if value is not None])


def _all_carried(plain: Plain, budget: int, values: Sequence[Any]) -> bool:
    carries = plain.carries
    for value in values:  # noqa: SIM110 - a generator would cost more than the checks
        if (value or type(value) not in _EMPTY) and not carries(value, budget):
            return False
    return True


_EMPTY: Final = frozenset({NoneType, bool, int, float, str, dict, list})

_FACTORIES: Final[Mapping[Kind, Callable[[Any, tuple[Any, ...], _Planner], Part]]] = {
    Kind.ANY: _any,
    Kind.TAGGED: _tagged,
    Kind.ENUM: _enum,
    Kind.LITERAL: _literal,
    Kind.LIST: _list,
    Kind.SEQUENCE: _list,
    Kind.MAPPING: _mapping,
    Kind.UNION: _union,
    Kind.RECORD: _record,
}
