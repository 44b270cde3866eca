"""Values without a declared type: as they are where the format says it all, tags where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final
from uuid import UUID

from attrs import Factory, field, frozen

from eliza_serializers.errors import Segment, SerializationError, describe
from eliza_serializers.moments import is_utc
from eliza_serializers.plain import Plain
from eliza_serializers.secret import Secret
from eliza_serializers.tags import (
    DATA_KEY,
    MAP,
    OBJECT,
    SEALED,
    TYPE_KEY,
    Decode,
    Encode,
    Tag,
    TagTable,
    as_it_is,
    is_by_name,
    place_of,
)

WriterFor = Callable[[Any], Callable[[Any], Any]]
"""Give the function that writes values of a declared type."""

ReaderFor = Callable[[Any], Callable[[Any], Any]]
"""Give the function that reads values of a declared type."""

Envelope = Callable[[Tag, Any], Any]
"""Put data under its tag."""

WriteSecret = Callable[[Secret[Any], Any, Encode], Any]
"""Write a secret, given the declared type of its value and the function that writes that."""

ScalarWriters = Mapping[type, Callable[[Any], Any]]
"""The functions that write values of some types under their tags, by exact class."""

ReadSealed = Callable[[object, Any], Secret[Any]]
"""Make a secret of the data of a sealed one, given the declared type of its value."""

_CONTAINERS: Final = frozenset({dict, list})
_COLLECTIONS: Final = frozenset({tuple, set, frozenset})
_TEXT: Final = frozenset({str})


@frozen(kw_only=True)
class TagWriter:
    """Turn a value into data of a format, tagging what the format does not carry by itself.

    A container that needs no tag is given back itself, not a copy. `envelope` puts data under its tag,
    `write_secret` says what stands for a secret, `scalars` are the functions of `scalar_writers`.
    """

    tags: TagTable
    scalars: ScalarWriters
    plain: Plain
    envelope: Envelope
    typed: WriterFor
    write_secret: WriteSecret
    max_depth: int

    def write(self, value: object) -> Any:
        """Write one value; one that has no exact form raises `SerializationError` with its path."""
        return self._write(value, self.max_depth)

    def _write(self, value: object, budget: int) -> Any:  # noqa: PLR0911 - one for each way to write
        kind = type(value)
        write_scalar = self.scalars.get(kind)
        if write_scalar is not None and budget > 0 and (data := write_scalar(value)) is not None:
            return data
        if kind in self.plain.always:
            return value
        fits = self.plain.within.get(kind)
        if fits is not None and fits(value):
            return value
        if budget == 0:
            raise SerializationError(
                f"a {kind.__name__} is nested too deeply, or contains itself: flatten it or raise max_depth"
            )
        if kind is list:
            return self._write_list(value, budget - 1)
        if kind is dict:
            return self._write_dict(value, budget - 1)
        tag = self.tags.by_class.get(kind)
        if tag is None:
            raise _refusal(value)
        if not tag.arguments:
            return self.envelope(tag, write_data(tag, value))
        if isinstance(value, Secret):
            return self.write_secret(value, Any, self._encoder(Any, budget - 1))
        return self._tagged(tag, value, budget - 1)

    def _write_list(self, items: Any, budget: int) -> list[Any]:
        written: list[Any] = items
        always, within = self.plain.always, self.plain.within
        index = 0
        try:
            for index, item in enumerate(items):
                kind = type(item)
                if kind in always or (kind in within and within[kind](item)):
                    continue
                data = self._write(item, budget)
                if data is not item:
                    written = list(items) if written is items else written
                    written[index] = data
        except SerializationError as error:
            raise error.inside(index) from None
        return written

    def _write_dict(self, items: Any, budget: int) -> Any:
        if not _TEXT.issuperset(map(type, items)):
            carries_key = self.plain.carries_key
            if TYPE_KEY in items or not all(carries_key(key, budget) for key in items):
                return self._tagged(MAP, items, budget)
        elif TYPE_KEY in items:
            return self._tagged(OBJECT, items, budget)
        written: dict[Any, Any] = items
        always, within = self.plain.always, self.plain.within
        key = None
        try:
            for key, item in items.items():
                kind = type(item)
                if kind in always or (kind in within and within[kind](item)):
                    continue
                data = self._write(item, budget)
                if data is not item:
                    written = dict(items) if written is items else written
                    written[key] = data
        except SerializationError as error:
            raise error.inside(place_of(key)) from None
        return written

    def _item(self, item: object, at: Segment | None, budget: int) -> Any:
        try:
            return self._write(item, budget)
        except SerializationError as error:
            raise error.inside(at) from None

    def _tagged(self, tag: Tag, value: Any, budget: int) -> Any:
        if tag.cls in _COLLECTIONS and self.plain.always.issuperset(map(type, value)):
            return self.envelope(tag, write_data(tag, value, as_it_is))
        encoders = (self._encoder(argument, budget) for argument in tag.arguments)
        return self.envelope(tag, write_data(tag, value, *encoders))

    def _encoder(self, argument: Any, budget: int) -> Encode:
        if argument is Any:
            return lambda item, at: self._item(item, at, budget)
        return item_converter(self.typed(argument))


def scalar_writers(tags: TagTable, envelope: Envelope) -> ScalarWriters:
    """Give what writes the scalars that certainly come back the same, and never fail: in one call each.

    That of moments gives None for those that are not in UTC.
    """
    found = {
        cls: _scalar_writer(tag, envelope)
        for cls, tag in tags.by_class.items()
        if cls in _SCALARS or is_by_name(tag)
    }
    write_moment = _scalar_writer(tags.by_class[datetime], envelope)
    return {**found, datetime: lambda moment: write_moment(moment) if is_utc(moment) else None}


def _scalar_writer(tag: Tag, envelope: Envelope) -> Callable[[Any], Any]:
    to_data = tag.to_data
    return lambda value: envelope(tag, to_data(value))


_SCALARS: Final = frozenset({bytes, date, timedelta, Decimal, UUID})


def _unflagged_tags(reader: TagReader) -> Mapping[str, Tag]:
    return {name: tag for (name, flag), tag in reader.tags.by_name.items() if flag is None}


@frozen(kw_only=True)
class TagReader:
    """Turn data back into the value that a `TagWriter` wrote.

    Containers are new ones, or with `in_place` those of the data, which nobody else may hold then.
    """

    tags: TagTable
    typed: ReaderFor
    read_sealed: ReadSealed
    in_place: bool = False
    _unflagged: Mapping[str, Tag] = field(init=False, default=Factory(_unflagged_tags, takes_self=True))

    def read(self, data: Any) -> Any:
        """Read one value; an unknown tag or malformed data raises `SerializationError` with its path."""
        kind = type(data)
        if kind is list:
            return self._read_items(data, enumerate(data))
        if kind is not dict:
            return data
        if TYPE_KEY in data:
            return self.envelope(data)
        return self._read_items(data, data.items())

    def _read_items(self, data: Any, items: Iterable[tuple[Any, Any]]) -> Any:
        found = data if self.in_place else data.copy()
        place = None
        try:
            for place, item in items:
                kind = type(item)
                if kind is dict:
                    found[place] = self.envelope(item) if TYPE_KEY in item else self.read(item)
                elif kind is list:
                    found[place] = self.read(item)
        except SerializationError as error:
            raise error.inside(place_of(place)) from None
        return found

    def item(self, data: Any, at: Segment | None) -> Any:
        """Read one item of a container."""
        if type(data) not in _CONTAINERS:
            return data
        try:
            if type(data) is dict and TYPE_KEY in data:
                return self.envelope(data)
            return self.read(data)
        except SerializationError as error:
            raise error.inside(at) from None

    def envelope(self, data: dict[str, Any]) -> Any:
        """Read a tagged value."""
        name = data[TYPE_KEY]
        tag = self._unflagged.get(name) if type(name) is str and len(data) == 2 else None
        if tag is None or DATA_KEY not in data:
            tag = self.tags.of_envelope(data)
        content = data[DATA_KEY]
        if not tag.arguments:
            return self.read_sealed(content, Any) if tag is SEALED else tag.read(content)
        if tag.cls in _COLLECTIONS and type(content) is list and _CONTAINERS.isdisjoint(map(type, content)):
            return tag.read(content, as_it_is)
        return tag.read(content, *map(self._decoder, tag.arguments))

    def _decoder(self, argument: Any) -> Decode:
        return self.item if argument is Any else item_converter(self.typed(argument))


def write_data(tag: Tag, value: object, *encode: Encode) -> Any:
    """Write a value's data under its tag; what the tag's function raises becomes `SerializationError`."""
    try:
        return tag.to_data(value, *encode)
    except SerializationError:
        raise
    except Exception as error:
        raise SerializationError(
            f"cannot write a {type(value).__name__}: {type(error).__name__}: {error}"
        ) from error


def item_converter(convert: Callable[[Any], Any]) -> Encode:
    """Give a converter that knows the place of each item, for the path of an error."""
    return partial(_convert_item, convert)


def _convert_item(convert: Callable[[Any], Any], item: object, at: Segment | None) -> Any:
    try:
        return convert(item)
    except SerializationError as error:
        raise error.inside(at) from None


def _refusal(value: object) -> SerializationError:
    base = next((cls.__name__ for cls in type(value).__mro__[1:] if cls in _SUBCLASSED), None)
    if base is not None:
        advice = f"it would come back as a plain {base}; convert it or register its class"
        return SerializationError(f"cannot write {describe(value)}: {advice}")
    return SerializationError(f"cannot write {describe(value)}: store plain data, or register its class")


_SUBCLASSED: Final = frozenset({str, int, float, bytes, list, dict, tuple, set, frozenset})
