"""What a declared type says about the values at a place: kinds, fields, whether they are secret."""

from __future__ import annotations

import datetime
import enum
import types
import uuid
from collections.abc import Collection, Mapping
from decimal import Decimal
from functools import cache, reduce
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map
from eliza_state.ordering import Kind

_KINDS: Final[Mapping[type, frozenset[Kind]]] = {
    type(None): frozenset({Kind.NOTHING}),
    bool: frozenset({Kind.TRUTH}),
    datetime.datetime: frozenset({Kind.MOMENT, Kind.LOCAL}),
    str: frozenset({Kind.TEXT}),
    int: frozenset({Kind.NUMBER}),
    float: frozenset({Kind.NUMBER}),
    Decimal: frozenset({Kind.NUMBER}),
    bytes: frozenset({Kind.BYTES}),
    datetime.date: frozenset({Kind.DATE}),
    datetime.timedelta: frozenset({Kind.DURATION}),
    uuid.UUID: frozenset({Kind.UUID}),
}
_NO_KIND: Final[frozenset[Kind]] = frozenset()


@attrs.frozen
class Shape:
    """What is known of the values at a place.

    `kinds` are those that they may have, `None` for any. `members` are the declared types of their fields;
    with `is_open` there may be others, as in a mapping. `elements` is the type of what they hold, where they
    hold anything, `values` that of what a mapping has at its keys. `choices` are the enumerations whose
    members they may be. `is_mixed` values are of one of several types.
    """

    kinds: frozenset[Kind] | None = None
    members: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    is_open: bool = True
    is_secret: bool = False
    elements: Any = None
    values: Any = Any
    choices: tuple[type[enum.Enum], ...] = ()
    is_mixed: bool = False

    @property
    def holds_elements(self) -> bool:
        """Tell whether the values may be collections."""
        return self.kinds is None or self.elements is not None


ANYTHING: Final = Shape()


@cache
def _shape_of_hashable(annotation: Any) -> Shape:
    return _shape(annotation)


def shape_of(annotation: Any) -> Shape:
    """Return what a type says; nothing is known of `Any`, of a type variable and of what is no type."""
    try:
        return _shape_of_hashable(annotation)
    except TypeError:  # an annotation that has no hash
        return _shape(annotation)


def _shape(annotation: Any) -> Shape:
    if type(annotation).__name__ == "TypeAliasType":
        return shape_of(annotation.__value__)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated or str(origin) in ("typing.Final", "typing.ClassVar"):
        return shape_of(arguments[0])
    if origin in (Union, types.UnionType):
        return reduce(_either, map(shape_of, arguments))
    if origin is Literal:
        return reduce(_either, (shape_of(type(value)) for value in arguments))
    cls = type(None) if annotation is None else origin or annotation
    return _shape_of_class(cls, arguments) if isinstance(cls, type) and cls is not object else ANYTHING


def _shape_of_class(cls: type, arguments: tuple[Any, ...]) -> Shape:
    if cls is Secret:
        return Shape(frozenset({Kind.OTHER}), is_open=False, is_secret=True)
    if attrs.has(cls):
        return Shape(frozenset({Kind.OTHER}), members_of(cls), is_open=False)
    choices = (cls,) if issubclass(cls, enum.Enum) else ()
    kinds = next((kinds for base, kinds in _KINDS.items() if issubclass(cls, base)), None)
    if kinds is not None or choices:
        return Shape(kinds or frozenset({Kind.CHOICE}), is_open=False, choices=choices)
    if issubclass(cls, Collection):
        is_mapping = issubclass(cls, Mapping)
        elements, *values = arguments or (Any,)
        inside = values[0] if is_mapping and values else Any
        return Shape(frozenset({Kind.OTHER}), is_open=is_mapping, elements=elements, values=inside)
    return ANYTHING


def _either(one: Shape, other: Shape) -> Shape:
    return Shape(
        kinds=None if one.kinds is None or other.kinds is None else one.kinds | other.kinds,
        members={**one.members, **other.members},
        is_open=one.is_open or other.is_open,
        is_secret=one.is_secret or other.is_secret,
        elements=one.elements if other.elements is None else other.elements,
        values=one.values if other.values is Any else other.values,
        choices=one.choices + other.choices,
        is_mixed=True,
    )


@cache
def members_of(cls: Any) -> Mapping[str, Any]:
    """Return the fields of an attrs class and their types; `Any` where those cannot be found out."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError):  # classes of a function's body
        hints = {}
    found = {field.name: hints.get(field.name, field.type) for field in attrs.fields(cls)}
    return {name: Any if annotation is None else annotation for name, annotation in found.items()}


def member(shape: Shape, name: str) -> Shape | None:
    """Return the shape of a field's values; `None` if there is no such field."""
    if name in shape.members:
        return shape_of(shape.members[name])
    return shape_of(shape.values) if shape.is_open else None


def collection_of(annotation: Any) -> tuple[type, Any] | None:
    """Return a persistent collection's class and the type of its entries; `None` for other types."""
    origin = get_origin(annotation) or annotation
    if origin not in (Entities, Log, Map):
        return None
    arguments = get_args(annotation)
    return origin, arguments[-1] if arguments else Any
