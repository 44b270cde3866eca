"""Unions: which member a value belongs to when writing, and which one data belongs to when reading."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final, cast

from attrs import evolve, frozen

from eliza_serializers.errors import SerializationError
from eliza_serializers.kinds import Kind, Shape, shape_of
from eliza_serializers.secret import Secret
from eliza_serializers.tags import FLOAT, MAP, OBJECT, SEALED, TUPLE, Tag, TagTable, class_of

TagKey = tuple[str, str | None]


@frozen(kw_only=True)
class Member:
    """Describe one member of a union.

    `classes` are the exact types of its values, `plain` those that its data may have, `own` the envelopes
    that its data may come in by itself. `envelope` is set where the type of the data cannot tell it from
    another member.
    """

    annotation: Any
    kind: Kind
    classes: tuple[type, ...]
    plain: frozenset[type]
    own: frozenset[TagKey] = frozenset()
    envelope: Tag | None = None


_NUMBER: Final = frozenset({int})
_ANY_DATA: Final = (str, int, float, bool, bytes, datetime, list, dict)
_PLAIN: Final[Mapping[Kind, frozenset[type]]] = {
    Kind.NONE: frozenset({type(None)}),
    Kind.BOOL: frozenset({bool}),
    Kind.INT: _NUMBER,
    Kind.FLOAT: frozenset({float, int}),
    Kind.STR: frozenset({str}),
    Kind.LIST: frozenset({list}),
    Kind.SEQUENCE: frozenset({list}),
    Kind.FIXED_TUPLE: frozenset({list}),
    Kind.MAPPING: frozenset({dict}),
    Kind.ABSTRACT_SET: frozenset(),
    Kind.RECORD: frozenset({dict}),
}

_CLASSES: Final[Mapping[Kind, tuple[type, ...]]] = {
    Kind.LIST: (list,),
    Kind.SEQUENCE: (list, tuple),
    Kind.MAPPING: (dict,),
    Kind.ABSTRACT_SET: (set, frozenset),
}

_OWN: Final[Mapping[Kind, frozenset[TagKey]]] = {
    Kind.FLOAT: frozenset({(FLOAT.name, None)}),
    Kind.MAPPING: frozenset({(MAP.name, None), (OBJECT.name, None)}),
    Kind.SEQUENCE: frozenset({(TUPLE.name, None)}),
    Kind.ABSTRACT_SET: frozenset({("Set", None), ("Set", "frozen")}),
}

# The format says what these are; everything else gives way to them.
_NATURAL: Final = frozenset(
    {
        Kind.NONE,
        Kind.BOOL,
        Kind.INT,
        Kind.FLOAT,
        Kind.STR,
        Kind.LITERAL,
        Kind.LIST,
        Kind.SEQUENCE,
        Kind.MAPPING,
    }
)


def plan_union(arguments: tuple[Any, ...], tags: TagTable) -> list[Member]:
    """Decide how each member of a union is told from the others.

    Members whose data is of types that no other's has are written as they are. Of those that clash (two
    attrs classes, a datetime and text) all but the natural one come in the envelope of their tag, so they
    must be registered.
    """
    members = [_member(argument, tags) for argument in _flat(arguments, tags)]
    return [_told_apart(member, members=members, tags=tags) for member in members]


def _flat(arguments: tuple[Any, ...], tags: TagTable) -> list[Any]:
    flat: list[Any] = []
    for argument in arguments:
        shape = shape_of(argument, tags)
        flat.extend(_flat(shape.arguments, tags) if shape.kind is Kind.UNION else [argument])
    return flat


def _member(argument: Any, tags: TagTable) -> Member:
    shape = shape_of(argument, tags)
    kind = shape.kind
    if kind is Kind.LITERAL:
        classes = tuple({class_of(value) for value in shape.arguments})
        plain = frozenset[type]().union(*(_literal_data(value) for value in shape.arguments))
        return Member(annotation=argument, kind=kind, classes=classes, plain=plain)
    if kind is Kind.TAGGED:
        return _tagged_member(argument, shape=shape, tags=tags)
    plain = _enum_data(shape.cls) if kind is Kind.ENUM else _PLAIN[kind]
    return Member(
        annotation=argument,
        kind=kind,
        classes=_CLASSES.get(kind, (shape.cls,)),
        plain=plain,
        own=_OWN.get(kind, frozenset()),
    )


def _tagged_member(argument: Any, *, shape: Shape, tags: TagTable) -> Member:
    tag = tags.by_class[shape.cls]
    if tag.bare:
        plain = frozenset(tag.shapes if tag.shape is not object else _ANY_DATA)
        return Member(annotation=argument, kind=shape.kind, classes=(shape.cls,), plain=plain)
    own = frozenset({(tag.name, tag.flag)})
    if tag.cls is Secret:
        own |= {(SEALED.name, SEALED.flag)}
    return Member(annotation=argument, kind=shape.kind, classes=(shape.cls,), plain=frozenset(), own=own)


def _enum_data(cls: type[Enum]) -> frozenset[type]:
    kinds = {class_of(member.value) for member in cls}
    return frozenset(kinds if kinds <= {str, int} else {str})


def _literal_data(value: object) -> frozenset[type]:
    if isinstance(value, Enum):
        return _enum_data(type(value))
    return frozenset({dict if isinstance(value, bytes) else cast("type", type(value))})


def _told_apart(member: Member, *, members: list[Member], tags: TagTable) -> Member:
    others = (other for other in members if other is not member)
    if member.kind in _NATURAL or not any(member.plain & other.plain for other in others):
        return member
    tag = tags.by_class.get(member.classes[0])
    if tag is None:
        name = member.classes[0].__qualname__
        raise SerializationError(
            f"{name} cannot be told from the other members of its union: register({name}) gives it a tag"
        )
    return evolve(member, envelope=tag, plain=frozenset())
