"""What an annotation means to the serializer: its kind, its class, its arguments, the fields of a record."""

from __future__ import annotations

import collections.abc
import dataclasses
from collections.abc import Mapping
from enum import Enum, auto
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, TypeVar, Union, cast, get_args, get_origin
from typing import get_type_hints as resolve_hints

import attrs

from eliza_serializers.errors import SerializationError
from eliza_serializers.tags import TagTable


class Kind(Enum):
    """Name the ways in which a declared type is written and read."""

    ANY = auto()
    NONE = auto()
    BOOL = auto()
    INT = auto()
    FLOAT = auto()
    STR = auto()
    LITERAL = auto()
    ENUM = auto()
    LIST = auto()
    SEQUENCE = auto()
    FIXED_TUPLE = auto()
    MAPPING = auto()
    ABSTRACT_SET = auto()
    UNION = auto()
    RECORD = auto()
    TAGGED = auto()


@attrs.frozen
class Shape:
    """Hold what an annotation comes down to: its kind, its class and its type arguments."""

    kind: Kind
    cls: Any
    arguments: tuple[Any, ...] = ()


@attrs.frozen
class RecordField:
    """Hold one constructor argument of an attrs class or dataclass: attribute, JSON key, declared type."""

    name: str
    key: str
    type: Any


_PLAIN: Final[Mapping[Any, Kind]] = {
    Any: Kind.ANY,
    object: Kind.ANY,
    None: Kind.NONE,
    NoneType: Kind.NONE,
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.FLOAT,
    str: Kind.STR,
}

_GENERIC: Final[Mapping[Any, tuple[Kind, tuple[Any, ...]]]] = {
    Union: (Kind.UNION, ()),
    UnionType: (Kind.UNION, ()),
    Literal: (Kind.LITERAL, ()),
    list: (Kind.LIST, (Any,)),
    collections.abc.MutableSequence: (Kind.LIST, (Any,)),
    collections.abc.Sequence: (Kind.SEQUENCE, (Any,)),
    dict: (Kind.MAPPING, (Any, Any)),
    collections.abc.Mapping: (Kind.MAPPING, (Any, Any)),
    collections.abc.MutableMapping: (Kind.MAPPING, (Any, Any)),
    collections.abc.Set: (Kind.ABSTRACT_SET, (Any,)),
}


def shape_of(annotation: Any, tags: TagTable) -> Shape:
    """Find the kind of a declared type; one that the serializer does not know raises `SerializationError`."""
    target = _unwrapped(annotation)
    if target in _PLAIN:
        return Shape(_PLAIN[target], NoneType if target is None else target)
    origin: Any = get_origin(target) or target
    arguments = get_args(target)
    if origin is tuple and arguments:
        return _tuple_shape(arguments)
    if origin in _GENERIC:
        kind, assumed = _GENERIC[origin]
        return Shape(kind, origin, arguments or assumed)
    shape = _class_shape(cast("Any", origin), arguments, tags) if isinstance(origin, type) else None
    if shape is not None:
        return shape
    raise SerializationError(
        f"the type {target!r} cannot be serialized: use a type that can, or teach it with register_type()"
    )


def record_fields(annotation: Any) -> list[RecordField]:
    """List what the constructor of a record takes, with type arguments filled in."""
    cls = get_origin(annotation) or annotation
    hints = _hints_of(cls)
    filled = _type_arguments(annotation)
    if attrs.has(cls):
        found = [(item.name, item.alias or item.name, item.type) for item in attrs.fields(cls) if item.init]
    else:
        found = [(item.name, item.name, item.type) for item in dataclasses.fields(cls) if item.init]
    return [
        RecordField(name, key, _filled(_field_type(cls, name, hints.get(name, declared)), filled))
        for name, key, declared in found
    ]


def _unwrapped(annotation: Any) -> Any:
    if isinstance(annotation, NewType):
        return _unwrapped(annotation.__supertype__)
    if isinstance(annotation, TypeVar):
        return _unwrapped(annotation.__bound__ or Any)
    if get_origin(annotation) in (Annotated, Final):
        return _unwrapped(get_args(annotation)[0])
    # `type Name = …` of Python 3.12: the alias is an object of its own.
    if type(annotation).__name__ == "TypeAliasType":
        return _unwrapped(annotation.__value__)
    return annotation


def _tuple_shape(arguments: tuple[Any, ...]) -> Shape:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return Shape(Kind.TAGGED, tuple, arguments[:1])
    return Shape(Kind.FIXED_TUPLE, tuple, () if arguments == ((),) else arguments)


def _class_shape(cls: type[Any], arguments: tuple[Any, ...], tags: TagTable) -> Shape | None:
    if issubclass(cls, Enum):
        return Shape(Kind.ENUM, cls)
    if (attrs.has(cls) or dataclasses.is_dataclass(cls)) and not _has_own_form(cls, tags):
        return Shape(Kind.RECORD, cls, arguments)
    if cls in tags.by_class:
        return Shape(Kind.TAGGED, cls, arguments or tags.by_class[cls].arguments)
    return None


def _has_own_form(cls: type[Any], tags: TagTable) -> bool:
    # A registered record's own tag says "as its fields say"; only an extension's tag replaces the fields.
    tag = tags.by_class.get(cls)
    return tag is not None and tag.arguments != (cls,)


def _hints_of(cls: type) -> dict[str, Any]:
    try:
        return resolve_hints(cls, include_extras=True)
    except NameError:
        # Classes of a function's body: attrs.resolve_types() may have put the types into the fields.
        return {}


def _field_type(cls: type, name: str, declared: Any) -> Any:
    if isinstance(declared, str):
        raise SerializationError(
            f"the type {declared!r} of {cls.__qualname__}.{name} is not known: "
            "define the class at module level, or call attrs.resolve_types() on it"
        )
    return Any if declared is None else declared


def _type_arguments(annotation: Any) -> dict[Any, Any]:
    """Map the type variables of a class and of its generic bases to what fills them here."""
    origin = get_origin(annotation) or annotation
    parameters = getattr(origin, "__parameters__", ())
    filled = dict(zip(parameters, get_args(annotation), strict=False))
    for base in getattr(origin, "__orig_bases__", ()):
        inner = _type_arguments(base) if get_origin(base) is not None else {}
        filled.update({variable: _filled(value, filled) for variable, value in inner.items()})
    return filled


def _filled(annotation: Any, filled: Mapping[Any, Any]) -> Any:
    if annotation in filled:
        return filled[annotation]
    variables = cast("tuple[Any, ...]", getattr(annotation, "__parameters__", ()))
    if not variables or isinstance(annotation, type):
        return annotation
    return annotation[tuple(filled.get(variable, variable) for variable in variables)]
