"""The table of tags: which types travel inside `{"_type": …, "data": …}`, and how it is written and read."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, EnumMeta, Flag
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from attrs import field, frozen

from eliza_serializers.errors import Segment, SerializationError, describe
from eliza_serializers.moments import (
    clock_text,
    date_from,
    datetime_from,
    duration_data,
    duration_from,
    time_from,
)
from eliza_serializers.secret import Secret

Encode = Callable[[Any, Segment | None], Any]
"""Write one item; the second argument is its place in the container (key, position), for the error's path."""

Decode = Callable[[Any, Segment | None], Any]
"""Read one item; the second argument is its place in the container."""

TYPE_KEY: Final = "_type"
DATA_KEY: Final = "data"

_INTEGER: Final = re.compile(r"-?[0-9]+")


@frozen(kw_only=True)
class Tag:
    """Say how one type is written and read.

    `to_data(value, *encode)` gives JSON data, `from_data(data, *decode)` the value; both get one function per
    type argument. `arguments` says the types assumed where no annotation does, `shape` what the data must be:
    one type, or a tuple of those that it may be.
    A `flag` makes a second envelope under the same name (`{"_type": "Set", "frozen": true, "data": …}`).
    With `bare`, a field annotated with the type holds the data without the envelope.
    """

    name: str
    cls: type
    to_data: Callable[..., Any]
    from_data: Callable[..., Any]
    shape: type | tuple[type, ...] = object
    arguments: tuple[Any, ...] = ()
    flag: str | None = None
    bare: bool = True

    @property
    def shapes(self) -> tuple[type, ...]:
        """Give the types that the data may be of."""
        return self.shape if isinstance(self.shape, tuple) else (self.shape,)

    def envelope(self, data: object) -> dict[str, Any]:
        """Put data of this type into its envelope."""
        if self.flag is None:
            return {TYPE_KEY: self.name, DATA_KEY: data}
        return {TYPE_KEY: self.name, self.flag: True, DATA_KEY: data}

    def read(self, data: object, *decode: Decode) -> Any:
        """Read data of this type; whatever is wrong with it is a `SerializationError`."""
        if not isinstance(data, self.shape):
            expected = " or ".join(shape.__name__ for shape in self.shapes)
            raise self.malformed(f"expected {expected}, got {describe(data)}")
        try:
            return self.from_data(data, *decode)
        except SerializationError:
            raise
        except Exception as error:
            raise self.malformed(f"{type(error).__name__}: {error}") from error

    def malformed(self, reason: str) -> SerializationError:
        """Say that data does not fit this tag."""
        return SerializationError(f"cannot read the data of {self.name!r}: {reason}")


@frozen
class TagTable:
    """Hold tags by type and by name; a second class under a name, or a second name of a class, is refused."""

    by_class: dict[type, Tag] = field(factory=dict[Any, Any], init=False)
    by_name: dict[tuple[str, str | None], Tag] = field(factory=dict[Any, Any], init=False)

    def add(self, tag: Tag) -> None:
        """Add a tag; adding the same class under the same name again changes nothing."""
        present = self.by_name.get((tag.name, tag.flag), tag)
        if present.cls is not tag.cls:
            raise SerializationError(
                f"the tag {tag.name!r} belongs to {present.cls.__qualname__} already: "
                f"register {tag.cls.__qualname__} under another name"
            )
        earlier = self.by_class.get(tag.cls, tag)
        if (earlier.name, earlier.flag) != (tag.name, tag.flag):
            raise SerializationError(f"{tag.cls.__qualname__} is registered as {earlier.name!r} already")
        self.by_class.setdefault(tag.cls, tag)
        self.by_name.setdefault((tag.name, tag.flag), tag)

    def of_envelope(self, envelope: Mapping[str, Any]) -> Tag:
        """Find the tag that an envelope names; its shape must be `_type`, `data` and at most one flag."""
        name = envelope[TYPE_KEY]
        if len(envelope) == 2 and DATA_KEY in envelope and type(name) is str:
            plain = self.by_name.get((name, None))
            if plain is not None:
                return plain
        extra = envelope.keys() - {TYPE_KEY, DATA_KEY}
        flag = next(iter(extra), None)
        is_flagged = len(extra) == 1 and isinstance(flag, str)
        if not isinstance(name, str) or DATA_KEY not in envelope or (extra and not is_flagged):
            raise SerializationError(f"expected the keys '_type' and 'data', got {describe(list(envelope))}")
        tag = self.by_name.get((name, flag))
        if tag is None or (flag is not None and envelope[flag] is not True):
            label = name if flag is None else f"{name} with {flag}"
            raise SerializationError(f"unknown tag {describe(label)}: register its class before reading")
        return tag


def enum_tag(cls: type[Enum], *, name: str) -> Tag:
    """Make the tag of an enum: members by name, combinations of a `Flag` by value."""
    if issubclass(cls, Flag):
        return Tag(name=name, cls=cls, to_data=_member_value, from_data=cls, shape=int)
    return Tag(name=name, cls=cls, to_data=member_name, from_data=cls.__getitem__, shape=str)


def record_tag(cls: type, *, name: str) -> Tag:
    """Make the tag of an attrs class: its data is what its field types say."""
    return Tag(name=name, cls=cls, to_data=_whole, from_data=_whole, arguments=(cls,))


def set_data(value: Iterable[Any], encode: Encode, *, order: Callable[[Any], Any]) -> list[Any]:
    """Write the elements of a set in the `order` of what is written: equal sets give equal data."""
    written = value if encode is as_it_is else [encode(item, None) for item in value]
    return sorted(written, key=order)


def as_it_is(item: Any, _at: Segment | None) -> Any:
    """Write or read an item that is known to be the same either way; containers need not call it."""
    return item


def pairs_of(data: list[Any]) -> list[tuple[Any, Any]]:
    """Check that data is a list of two-element lists, and give the pairs."""
    for index, pair in enumerate(data):
        if class_of(pair) is not list or len(pair) != 2:
            raise SerializationError(f"expected [key, value], got {describe(pair)}", segments=(index,))
    return [(pair[0], pair[1]) for pair in data]


def class_of(value: object) -> type[Any]:
    """Give the exact class of a value; type checkers then keep what they know of the value itself."""
    return type(value)


def place_of(key: object) -> Segment:
    """Name a mapping's key as a step of a path."""
    return key if isinstance(key, (str, int)) else describe(key)


def write_pairs(value: Mapping[Any, Any], encode_key: Encode, encode_value: Encode) -> list[list[Any]]:
    """Write a mapping as `[[key, value], …]` in its own order."""
    return [
        [encode_key(key, place_of(key)), encode_value(item, place_of(key))] for key, item in value.items()
    ]


def read_pairs(data: list[Any], decode_key: Decode, decode_value: Decode) -> dict[Any, Any]:
    """Read `[[key, value], …]`; a key twice, or two keys that are equal in Python, is an error."""
    found: dict[Any, Any] = {}
    for index, (key_data, item) in enumerate(pairs_of(data)):
        key = decode_key(key_data, index)
        value = decode_value(item, place_of(key))
        if not _hashable(key) or key in found:
            raise SerializationError(
                f"expected a new, hashable key, got {describe(key)}", segments=(index,)
            ) from None
        found[key] = value
    return found


def read_elements(data: list[Any], decode: Decode) -> list[Any]:
    """Read the elements of a set; two that are equal in Python, or one that has no hash, is an error."""
    elements = data if decode is as_it_is else [decode(item, index) for index, item in enumerate(data)]
    try:
        count = len(set(elements))
    except TypeError:
        index = next(index for index, element in enumerate(elements) if not _hashable(element))
        raise SerializationError(
            f"expected a hashable element, got {describe(elements[index])}", segments=(index,)
        ) from None
    if count != len(elements):
        raise SerializationError("expected different elements, got some that are equal in Python")
    return elements


def base64_text(value: bytes) -> str:
    """Write bytes as base64 text."""
    return base64.b64encode(value).decode("ascii")


def base64_bytes(text: str) -> bytes:
    """Read bytes from base64 text."""
    return base64.b64decode(text, validate=True)


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _read_int(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f"expected decimal digits, got {text[:40]!r}")
    return int(text)


def _whole(value: object, convert: Encode) -> Any:
    return convert(value, None)


def member_name(member: Enum) -> str:
    """Write a member of an enum as its name."""
    return member.name


def is_by_name(tag: Tag) -> bool:
    """Tell whether a tag is that of an enum whose members are certainly found again by their names."""
    # A metaclass of one's own may find others.
    return tag.to_data is member_name and type(tag.cls) is EnumMeta


def read_uuid(data: str | bytes) -> UUID:
    """Read a UUID from any text that `UUID` takes, or from its bytes."""
    try:
        return msgspec.convert(data, UUID)  # several times as fast, for the form that is written
    except msgspec.ValidationError:
        return UUID(data) if isinstance(data, str) else UUID(bytes=data)


def _member_value(member: Flag) -> int:
    return member.value


def _write_each(value: Iterable[Any], encode: Encode) -> list[Any]:
    if encode is as_it_is:
        return list(value)
    return [encode(item, index) for index, item in enumerate(value)]


def _read_tuple(data: list[Any], decode: Decode) -> tuple[Any, ...]:
    if decode is as_it_is:
        return tuple(data)
    return tuple([decode(item, index) for index, item in enumerate(data)])


_write_set: Final = partial(set_data, order=msgspec.json.encode)


def _read_set(data: list[Any], decode: Decode) -> set[Any]:
    return set(read_elements(data, decode))


def _read_frozenset(data: list[Any], decode: Decode) -> frozenset[Any]:
    return frozenset(read_elements(data, decode))


def _float_name(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


_NOT_FINITE: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _write_object(value: Mapping[str, Any], encode: Encode) -> list[list[Any]]:
    return [[key, encode(item, key)] for key, item in value.items()]


def _read_object(data: list[Any], decode: Decode) -> dict[str, Any]:
    for index, (key, _) in enumerate(pairs_of(data)):
        if type(key) is not str:
            raise SerializationError(f"expected a text key, got {describe(key)}", segments=(index,))
    return read_pairs(data, lambda key, _: key, decode)


def _write_secret(value: Secret[Any], encode: Encode) -> Any:
    with suppress(SerializationError):
        return encode(value.reveal(), None)
    # In other words than the error's, and without its path: neither message nor chain carries the content.
    raise SerializationError(f"cannot write the value of a Secret: a {type(value.reveal()).__name__}")


def _read_secret(data: object, decode: Decode) -> Secret[Any]:
    with suppress(SerializationError):
        return Secret(decode(data, None))
    raise SerializationError("cannot read the value of a Secret: it is not what its type says")


# A dict is written as a plain object or under one of these two; no class is looked up for them.
MAP: Final = Tag(
    name="Map",
    cls=dict,
    to_data=write_pairs,
    from_data=read_pairs,
    shape=list,
    arguments=(Any, Any),
    bare=False,
)
OBJECT: Final = Tag(
    name="Object", cls=dict, to_data=_write_object, from_data=_read_object, shape=list, arguments=(Any,)
)
# Numbers are written as they are unless the format cannot hold them.
INT: Final = Tag(name="Int", cls=int, to_data=str, from_data=_read_int, shape=str)
FLOAT: Final = Tag(name="Float", cls=float, to_data=_float_name, from_data=_NOT_FINITE.__getitem__, shape=str)
SET: Final = Tag(
    name="Set", cls=set, to_data=_write_set, from_data=_read_set, shape=list, arguments=(Any,), bare=False
)
FROZENSET: Final = Tag(
    name="Set",
    flag="frozen",
    cls=frozenset,
    to_data=_write_set,
    from_data=_read_frozenset,
    shape=list,
    arguments=(Any,),
    bare=False,
)
TUPLE: Final = Tag(
    name="Tuple", cls=tuple, to_data=_write_each, from_data=_read_tuple, shape=list, arguments=(Any,)
)
SECRET: Final = Tag(
    name="Secret", cls=Secret, to_data=_write_secret, from_data=_read_secret, arguments=(Any,), bare=False
)
# The same, encrypted: only the name in the envelope, for text and value are the business of who has the keys.
SEALED: Final = Tag(name="Secret", flag="sealed", cls=Secret, to_data=_whole, from_data=_whole, bare=False)

BUILT_IN: Final[tuple[Tag, ...]] = (
    SET,
    FROZENSET,
    TUPLE,
    SECRET,
    INT,
    FLOAT,
    Tag(name="Bytes", cls=bytes, to_data=base64_text, from_data=base64_bytes, shape=str),
    Tag(name="DateTime", cls=datetime, to_data=clock_text, from_data=datetime_from, shape=str),
    Tag(name="Date", cls=date, to_data=date.isoformat, from_data=date_from, shape=str),
    Tag(name="Time", cls=time, to_data=clock_text, from_data=time_from, shape=str),
    Tag(name="Duration", cls=timedelta, to_data=duration_data, from_data=duration_from, shape=list),
    Tag(name="Decimal", cls=Decimal, to_data=str, from_data=Decimal, shape=str),
    Tag(name="UUID", cls=UUID, to_data=msgspec.to_builtins, from_data=read_uuid, shape=str),
)


def built_in_table(tags: Iterable[Tag] = BUILT_IN) -> TagTable:
    """Make a table that holds the tags of the built-in types, as JSON writes them or as a format does."""
    table = TagTable()
    for tag in tags:
        table.add(tag)
    for tag in (MAP, OBJECT, SEALED):
        table.by_name[tag.name, tag.flag] = tag
    return table
