"""Values of a declared type to data: one function per type, compiled on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import GenericAlias
from typing import Any, Final

from eliza_serializers.errors import SerializationError, describe
from eliza_serializers.kinds import Kind, Shape, record_fields, shape_of
from eliza_serializers.plain import Plain
from eliza_serializers.secret import Secret
from eliza_serializers.tags import (
    FLOAT,
    MAP,
    OBJECT,
    TUPLE,
    TYPE_KEY,
    Encode,
    TagTable,
    class_of,
    place_of,
)
from eliza_serializers.unions import Member, plan_union
from eliza_serializers.untyped import (
    Envelope,
    TagWriter,
    WriteSecret,
    item_converter,
    scalar_writers,
    write_data,
)

Write = Callable[[Any], Any]


class TypedWriter:
    """Compile and keep the functions that write values of declared types.

    Each checks the value against its annotation on the way; a mismatch raises `SerializationError`.
    """

    def __init__(
        self, tags: TagTable, *, plain: Plain, envelope: Envelope, write_secret: WriteSecret, max_depth: int
    ) -> None:
        self.tags = tags
        self.plain = plain
        self.envelope = envelope
        self.write_secret = write_secret
        self.untyped = TagWriter(
            tags=tags,
            scalars=scalar_writers(tags, envelope),
            plain=plain,
            envelope=envelope,
            typed=self.writer_for,
            write_secret=write_secret,
            max_depth=max_depth,
        )
        self._writers: dict[Any, Write] = {}

    def writer_for(self, annotation: Any) -> Write:
        """Give the function that writes values of this type."""
        known = self._writers.get(annotation)
        if known is None:
            shape = shape_of(annotation, self.tags)
            known = self._writers[annotation] = _FACTORIES[shape.kind](self, shape, annotation)
        return known

    def item(self, annotation: Any) -> Encode:
        """Give the function that writes an item of this type at its place in a container."""
        return item_converter(self.writer_for(annotation))


def expected(what: str, value: object) -> SerializationError:
    """Say what was expected and what came."""
    return SerializationError(f"expected {what}, got {describe(value)}")


def enum_data(member: Enum) -> Any:
    """Give what a field of an enum type holds: the value where it is text or an integer, else the name."""
    return member.value if by_value(type(member)) else member.name


def by_value(cls: type[Enum]) -> bool:
    """Tell whether the members of an enum are written by value."""
    return all(type(member.value) in (str, int) for member in cls)


def _any(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    return writer.untyped.write


def _exact(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    cls = shape.cls

    def write(value: Any) -> Any:
        if class_of(value) is not cls:
            raise expected(cls.__name__, value)
        return value

    return write


def _float(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    fits = writer.plain.within.get(float)

    def write(value: Any) -> Any:
        number = float(value) if class_of(value) is int and _exactly_float(value) else value
        if class_of(number) is not float:
            raise expected("float", value)
        if fits is None or fits(number):
            return number
        return writer.envelope(FLOAT, write_data(FLOAT, number))

    return write


def _exactly_float(value: int) -> bool:
    try:
        return float(value) == value
    except OverflowError:
        return False


def _literal(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    allowed = [(class_of(value), value) for value in shape.arguments]

    def write(value: Any) -> Any:
        if not any(class_of(value) is cls and value == known for cls, known in allowed):
            raise expected(f"one of {shape.arguments!r}", value)
        return enum_data(value) if isinstance(value, Enum) else writer.untyped.write(value)

    return write


def _enum(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    cls = shape.cls
    is_by_value = by_value(cls)

    def write(value: Any) -> Any:
        if class_of(value) is not cls:
            raise expected(cls.__name__, value)
        return value.value if is_by_value else value.name

    return write


def _list(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    encode = writer.item(shape.arguments[0])

    def write(value: Any) -> Any:
        if class_of(value) is not list:
            raise expected("list", value)
        return [encode(item, index) for index, item in enumerate(value)]

    return write


def _sequence(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    encode = writer.item(shape.arguments[0])

    def write(value: Any) -> Any:
        if class_of(value) not in (list, tuple):
            raise expected("list or tuple", value)
        data = [encode(item, index) for index, item in enumerate(value)]
        return data if class_of(value) is list else writer.envelope(TUPLE, data)

    return write


def _fixed_tuple(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    encoders = [writer.item(argument) for argument in shape.arguments]

    def write(value: Any) -> Any:
        if class_of(value) is not tuple or len(value) != len(encoders):
            raise expected(f"tuple of {len(encoders)}", value)
        return [encode(item, index) for index, (encode, item) in enumerate(zip(encoders, value, strict=True))]

    return write


def _mapping(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    encode_key, encode_value = (writer.item(argument) for argument in shape.arguments)
    key_kind = shape_of(shape.arguments[0], writer.tags).kind
    keys = writer.plain.keys and writer.plain.keys | {str}

    def write(value: Any) -> Any:
        if class_of(value) is not dict:
            raise expected("dict", value)
        data = [
            [encode_key(key, place_of(key)), encode_value(item, place_of(key))] for key, item in value.items()
        ]
        textual = key_kind is Kind.STR or (key_kind is Kind.ANY and all(type(key) is str for key in value))
        if textual:
            return writer.envelope(OBJECT, data) if TYPE_KEY in value else dict(data)
        carried = dict(data) if keys and keys.issuperset(type(key) for key, _ in data) else None
        if carried is None or TYPE_KEY in carried or len(carried) != len(data):
            return writer.envelope(MAP, data)
        return carried

    return write


def _abstract_set(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    argument = shape.arguments[0]
    writers = {cls: writer.writer_for(GenericAlias(cls, (argument,))) for cls in (set, frozenset)}

    def write(value: Any) -> Any:
        if class_of(value) not in writers:
            raise expected("set or frozenset", value)
        return writers[class_of(value)](value)

    return write


def _tagged(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    cls = shape.cls
    if cls is Secret:
        return _secret(writer, shape.arguments[0])
    tag = writer.tags.by_class[cls]
    encoders = [writer.item(argument) for argument in shape.arguments]

    def write(value: Any) -> Any:
        if class_of(value) is not cls:
            raise expected(cls.__name__, value)
        data = write_data(tag, value, *encoders)
        return data if tag.bare else writer.envelope(tag, data)

    return write


def _secret(writer: TypedWriter, argument: Any) -> Write:
    encode = writer.item(argument)

    def write(value: Any) -> Any:
        if class_of(value) is not Secret:
            raise expected(Secret.__name__, value)
        return writer.write_secret(value, argument, encode)

    return write


def _record(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    cls = shape.cls
    compiled: list[list[tuple[str, str, Encode]]] = []

    def write(value: Any) -> Any:
        if class_of(value) is not cls:
            raise expected(cls.__name__, value)
        if not compiled:
            # Compiled at the first value: a record may contain itself.
            compiled.append(
                [(item.name, item.key, writer.item(item.type)) for item in record_fields(annotation)]
            )
        return {key: encode(getattr(value, name), name) for name, key, encode in compiled[0]}

    return write


def _union(writer: TypedWriter, shape: Shape, annotation: Any) -> Write:
    if any(shape_of(argument, writer.tags).kind is Kind.ANY for argument in shape.arguments):
        return writer.untyped.write
    by_class: dict[type, list[tuple[Member, Write]]] = {}
    for member in plan_union(shape.arguments, writer.tags):
        for cls in member.classes:
            by_class.setdefault(cls, []).append((member, writer.writer_for(member.annotation)))
    if float in by_class:
        by_class.setdefault(int, by_class[float])
    names = " or ".join(dict.fromkeys(cls.__name__ for cls in by_class))

    def write(value: Any) -> Any:
        error = expected(names, value)
        for member, write_member in by_class.get(class_of(value), ()):
            try:
                data = write_member(value)
            except SerializationError as refused:
                error = refused
                continue
            return data if member.envelope is None else writer.envelope(member.envelope, data)
        raise error

    return write


_FACTORIES: Final[Mapping[Kind, Callable[[TypedWriter, Shape, Any], Write]]] = {
    Kind.ANY: _any,
    Kind.NONE: _exact,
    Kind.BOOL: _exact,
    Kind.INT: _exact,
    Kind.FLOAT: _float,
    Kind.STR: _exact,
    Kind.LITERAL: _literal,
    Kind.ENUM: _enum,
    Kind.LIST: _list,
    Kind.SEQUENCE: _sequence,
    Kind.FIXED_TUPLE: _fixed_tuple,
    Kind.MAPPING: _mapping,
    Kind.ABSTRACT_SET: _abstract_set,
    Kind.UNION: _union,
    Kind.RECORD: _record,
    Kind.TAGGED: _tagged,
}
