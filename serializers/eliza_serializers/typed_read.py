"""Data to values of a declared type: one function per type, compiled on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import cached_property, partial
from types import GenericAlias
from typing import Any, Final, cast, get_args

import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from eliza_serializers.errors import SerializationError
from eliza_serializers.kinds import Kind, Shape, record_fields, shape_of
from eliza_serializers.sealer import retyped
from eliza_serializers.secret import MASK, Secret
from eliza_serializers.tags import (
    DATA_KEY,
    FLOAT,
    MAP,
    OBJECT,
    SEALED,
    SECRET,
    TUPLE,
    TYPE_KEY,
    Decode,
    TagTable,
    class_of,
)
from eliza_serializers.typed_write import TypedWriter, by_value, expected
from eliza_serializers.unions import Member, TagKey, plan_union
from eliza_serializers.untyped import ReadSealed, TagReader, item_converter

Read = Callable[[Any], Any]

# Fields' overrides are keyword arguments beside cattrs' own, which its signature cannot express.
_compile: Callable[..., Callable[[Any, Any], Any]] = make_dict_structure_fn
_TAKEN_BY_CATTRS: Final = frozenset({"cl", "converter"})


class TypedReader:
    """Compile and keep the functions that read values of declared types.

    Reading never converts: text in an `int` field is an error. Unknown fields are ignored, so that older
    code reads newer records; with `strict` (a payload handed in by a caller) they are refused, and sets and
    secrets may come without their tag. A value that already is of the declared type is checked and taken.
    """

    def __init__(
        self, tags: TagTable, *, writer: TypedWriter, read_sealed: ReadSealed, strict: bool = False
    ) -> None:
        self.tags = tags
        self.writer = writer
        self.read_sealed = read_sealed
        self.strict = strict
        self.untyped = TagReader(tags=tags, typed=self.reader_for, read_sealed=read_sealed)
        self._readers: dict[Any, Read] = {}

    @cached_property
    def _records(self) -> cattrs.Converter:
        # Made when the first record is read: it takes a millisecond, and every type that is registered
        # begins with new readers.
        return cattrs.Converter(forbid_extra_keys=self.strict, detailed_validation=True)

    def reader_for(self, annotation: Any) -> Read:
        """Give the function that reads values of this type."""
        known = self._readers.get(annotation)
        if known is None:
            shape = shape_of(annotation, self.tags)
            known = self._readers[annotation] = _FACTORIES[shape.kind](self, shape, annotation)
        return known

    def item(self, annotation: Any) -> Decode:
        """Give the function that reads an item of this type at its place in a container."""
        return item_converter(self.reader_for(annotation))

    def taken(self, value: Any, annotation: Any) -> Any:
        """Take a value that is of the declared type already, once it is known that it can be written."""
        self.writer.writer_for(annotation)(value)
        return value

    def record_reader(self, annotation: Any, cls: type) -> Read:
        """Compile the reader of a record through cattrs, each field by its own reader."""
        reserved = _TAKEN_BY_CATTRS.intersection(item.name for item in record_fields(annotation))
        if reserved:
            raise SerializationError(f"the field {min(reserved)!r} of {cls.__qualname__} needs another name")
        overrides = {
            item.name: override(rename=item.key, struct_hook=_two_arguments(self.reader_for(item.type)))
            for item in record_fields(annotation)
        }
        # cattrs wants every type variable filled, although each field has its reader already.
        unfilled = () if get_args(annotation) else getattr(cls, "__parameters__", ())
        target: Any = cast("Any", cls)[tuple(Any for _ in unfilled)] if unfilled else annotation
        return partial(_second_argument, _compile(target, self._records, **overrides), cls)


def _second_argument(build: Callable[[Any, Any], Any], cls: type, data: Any) -> Any:
    return build(data, cls)


def _two_arguments(read: Read) -> Callable[[Any, Any], Any]:
    # cattrs hands the declared type along; the reader was compiled for it.
    return lambda data, _: read(data)


def _any(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    return reader.untyped.read


def _exact(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    cls = shape.cls

    def read(data: Any) -> Any:
        if class_of(data) is not cls:
            raise expected(cls.__name__, data)
        return data

    return read


def _float(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    def read(data: Any) -> Any:
        number = (
            FLOAT.read(_enveloped(data, FLOAT.name, tags=reader.tags)) if class_of(data) is dict else data
        )
        if class_of(number) is int:
            try:
                return float(number)
            except OverflowError:
                raise expected("float", data) from None
        if class_of(number) is not float:
            raise expected("float", data)
        return number

    return read


def _literal(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    write = reader.writer.writer_for(annotation)
    known = [(write(value), value) for value in shape.arguments]

    def read(data: Any) -> Any:
        for written, value in known:
            if (class_of(data) is class_of(written) and data == written) or data is value:
                return value
        raise expected(f"one of {shape.arguments!r}", data)

    return read


def _enum(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    cls: type[Enum] = shape.cls
    member_of: Callable[[Any], Enum] = cls if by_value(cls) else cls.__getitem__

    def read(data: Any) -> Any:
        if class_of(data) is cls:
            return data
        if class_of(data) in (str, int):
            try:
                return member_of(data)
            except (ValueError, KeyError):
                raise expected(f"a member of {cls.__name__}", data) from None
        raise expected(f"a member of {cls.__name__}", data)

    return read


def _list(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    decode = reader.item(shape.arguments[0])

    def read(data: Any) -> Any:
        if class_of(data) is not list:
            raise expected("list", data)
        return [decode(item, index) for index, item in enumerate(data)]

    return read


def _sequence(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    read_list = _list(reader, shape, annotation)
    read_tuple = reader.reader_for(GenericAlias(tuple, (shape.arguments[0], ...)))

    def read(data: Any) -> Any:
        if class_of(data) is tuple:
            return read_tuple(data)
        if class_of(data) is not dict:
            return read_list(data)
        return read_tuple(_enveloped(data, TUPLE.name, tags=reader.tags))

    return read


def _enveloped(data: dict[str, Any], *names: str, tags: TagTable) -> Any:
    if TYPE_KEY not in data or tags.of_envelope(data).name not in names:
        raise SerializationError(f"expected the tag {' or '.join(names)}, got another object")
    return data[DATA_KEY]


def _fixed_tuple(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    decoders = [reader.item(argument) for argument in shape.arguments]

    def read(data: Any) -> Any:
        if class_of(data) not in (list, tuple) or len(data) != len(decoders):
            raise expected(f"{len(decoders)} items", data)
        return tuple(
            decode(item, index) for index, (decode, item) in enumerate(zip(decoders, data, strict=True))
        )

    return read


def _mapping(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    decode_key, decode_value = (reader.item(argument) for argument in shape.arguments)

    def read(data: Any) -> Any:
        if class_of(data) is not dict:
            raise expected("dict", data)
        if TYPE_KEY in data:
            return MAP.read(
                _enveloped(data, MAP.name, OBJECT.name, tags=reader.tags), decode_key, decode_value
            )
        return MAP.read([[key, item] for key, item in data.items()], decode_key, decode_value)

    return read


def _abstract_set(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    argument = shape.arguments[0]
    readers = {cls: reader.reader_for(GenericAlias(cls, (argument,))) for cls in (set, frozenset)}

    def read(data: Any) -> Any:
        frozen = class_of(data) is frozenset or (class_of(data) is dict and "frozen" in data)
        return readers[frozenset if frozen else set](data)

    return read


def _tagged(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    if shape.cls is Secret:
        return _secret(reader, shape.arguments[0], annotation)
    tag = reader.tags.by_class[shape.cls]
    decoders = [reader.item(argument) for argument in shape.arguments]
    loose = reader.strict and tag.shape is list

    def read(data: Any) -> Any:
        if class_of(data) is shape.cls:
            try:
                return reader.taken(data, annotation)
            except SerializationError:
                if not loose:
                    raise
            # A collection of what its elements are written as, as an older payload has it that is upcast.
            return tag.read(tag.to_data(data, *[_as_it_is for _ in decoders]), *decoders)
        if tag.bare:
            return tag.read(data, *decoders)
        if class_of(data) is dict and TYPE_KEY in data and reader.tags.of_envelope(data) is tag:
            return tag.read(data[DATA_KEY], *decoders)
        if not loose:
            raise SerializationError(f"expected the tag {tag.name}, got {_type_name(data)}")
        return tag.read(data, *decoders)

    return read


def _as_it_is(item: Any, _at: object) -> Any:
    return item


def _secret(reader: TypedReader, argument: Any, annotation: Any) -> Read:
    decode = reader.item(argument)

    def read(data: Any) -> Any:
        if class_of(data) is Secret:
            return reader.taken(retyped(data, argument), annotation)
        if class_of(data) is dict and TYPE_KEY in data:
            tag = reader.tags.of_envelope(data)
            if tag.cls is Secret and tag.flag == SEALED.flag:
                return reader.read_sealed(data[DATA_KEY], argument)
            if tag.cls is Secret:
                return SECRET.read(data[DATA_KEY], decode)
        # The mask is what views show: taking it for the content would lose the secret.
        if not reader.strict or data == MASK:
            raise SerializationError(f"expected the tag {SECRET.name}, got {_type_name(data)}")
        return SECRET.read(data, decode)

    return read


def _type_name(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _record(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    cls = shape.cls
    compiled: list[Read] = []

    def read(data: Any) -> Any:
        if class_of(data) is cls:
            return reader.taken(data, annotation)
        if class_of(data) is not dict:
            raise expected(f"an object with the fields of {cls.__name__}", data)
        if not compiled:
            # Compiled at the first value: a record may contain itself.
            compiled.append(reader.record_reader(annotation, cls))
        try:
            return compiled[0](data)
        except ClassValidationError as error:
            refused = _field_error(error, cls=cls)
        raise refused

    return read


def _field_error(group: ClassValidationError, *, cls: type) -> SerializationError:
    """Turn the first error that cattrs collected into one with a path."""
    noted, others = group.group_exceptions()
    for error, note in noted:
        if isinstance(error, SerializationError):
            return error.inside(note.name)
        return SerializationError(f"the field is missing: {cls.__name__} needs it", segments=(note.name,))
    error = others[0]
    if isinstance(error, ForbiddenExtraKeysError):
        unknown = min(map(str, error.extra_fields))
        return SerializationError(f"unknown field: {cls.__name__} has none of this name", segments=(unknown,))
    return SerializationError(f"{cls.__name__} refuses these fields: {type(error).__name__}: {error}")


def _union(reader: TypedReader, shape: Shape, annotation: Any) -> Read:
    if any(shape_of(argument, reader.tags).kind is Kind.ANY for argument in shape.arguments):
        return reader.untyped.read
    members = plan_union(shape.arguments, reader.tags)
    enveloped: dict[TagKey, tuple[Member, Read]] = {}
    by_type: dict[type, list[Read]] = {}
    for member in members:
        read_member = reader.reader_for(member.annotation)
        keys = member.own if member.envelope is None else {(member.envelope.name, member.envelope.flag)}
        enveloped.update(dict.fromkeys(keys, (member, read_member)))
        for kind in (*sorted(member.plain, key=lambda kind: kind.__name__), *member.classes):
            by_type.setdefault(kind, []).append(read_member)

    def read(data: Any) -> Any:
        if class_of(data) is dict and TYPE_KEY in data:
            tag = reader.tags.of_envelope(data)
            member, read_member = enveloped.get((tag.name, tag.flag), (None, None))
            if member is not None and read_member is not None:
                return read_member(data if member.envelope is None else data[DATA_KEY])
        return _first_that_reads(data, by_type.get(class_of(data), []), annotation=annotation)

    return read


def _first_that_reads(data: Any, readers: list[Read], *, annotation: Any) -> Any:
    error = SerializationError(f"expected {annotation}, got {_type_name(data)}")
    for read in readers:
        try:
            return read(data)
        except SerializationError as refused:
            error = refused
    raise error


_FACTORIES: Final[Mapping[Kind, Callable[[TypedReader, Shape, Any], Read]]] = {
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
