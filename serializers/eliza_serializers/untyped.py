"""Values without a declared type: as they are where the format says it all, tags where it does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from attrs import frozen

from eliza_serializers.errors import Segment, SerializationError, describe
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

ReadSealed = Callable[[object, Any], Secret[Any]]
"""Make a secret of the data of a sealed one, given the declared type of its value."""

_CONTAINERS: Final = frozenset({dict, list})
_COLLECTIONS: Final = frozenset({tuple, set, frozenset})
_TEXT: Final = frozenset({str})


@frozen(kw_only=True)
class TagWriter:
    """Turn a value into data of a format, tagging what the format does not carry by itself.

    A container that needs no tag is given back itself, not a copy. `envelope` puts data under its tag,
    `write_secret` says what stands for a secret.
    """

    tags: TagTable
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
        always = self.plain.always
        index = 0
        try:
            for index, item in enumerate(items):
                if type(item) in always:
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
        always = self.plain.always
        key = None
        try:
            for key, item in items.items():
                if type(item) in always:
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
            return self.envelope(tag, write_data(tag, value, _as_it_is))
        encoders = (self._encoder(argument, budget) for argument in tag.arguments)
        return self.envelope(tag, write_data(tag, value, *encoders))

    def _encoder(self, argument: Any, budget: int) -> Encode:
        if argument is Any:
            return lambda item, at: self._item(item, at, budget)
        return item_converter(self.typed(argument))


@frozen(kw_only=True)
class TagReader:
    """Turn data back into the value that a `TagWriter` wrote.

    Containers are new ones, or with `in_place` those of the data, which nobody else may hold then.
    """

    tags: TagTable
    typed: ReaderFor
    read_sealed: ReadSealed
    in_place: bool = False

    def read(self, data: Any) -> Any:
        """Read one value; an unknown tag or malformed data raises `SerializationError` with its path."""
        kind = type(data)
        if kind is list:
            found: Any = data if self.in_place else data.copy()
            for index, item in enumerate(data):
                if type(item) in _CONTAINERS:
                    found[index] = self.item(item, index)
            return found
        if kind is not dict:
            return data
        if TYPE_KEY in data:
            return self.envelope(data)
        found = data if self.in_place else data.copy()
        for key, item in data.items():
            if type(item) in _CONTAINERS:
                found[key] = self.item(item, key if type(key) is str else place_of(key))
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
        tag = self.tags.of_envelope(data)
        if tag is SEALED:
            return self.read_sealed(data[DATA_KEY], Any)
        if not tag.arguments:
            return tag.read(data[DATA_KEY])
        return tag.read(data[DATA_KEY], *map(self._decoder, tag.arguments))

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


def _as_it_is(item: Any, _at: Segment | None) -> Any:
    return item


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
