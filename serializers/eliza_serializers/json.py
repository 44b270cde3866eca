"""The serializer that the framework uses: JSON text that keeps Python's types."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, Final, TypeVar, overload

import attrs

from eliza_serializers.codec import Codec, Limits, bounded, careful_codec, compile_codec
from eliza_serializers.errors import SerializationError
from eliza_serializers.tags import Tag, built_in_table, enum_tag, record_tag
from eliza_serializers.typed_read import TypedReader
from eliza_serializers.typed_write import TypedWriter
from eliza_serializers.untyped import check_depth, is_plain

T = TypeVar("T")

_UNTYPED: Final = object()


class JsonSerializer:
    """Write values as JSON text and read them back equal, of the same types.

    Without `as_type`, what JSON lacks travels as `{"_type": …, "data": …}`; with it, the field types say
    what the data is, and only sets, mappings and secrets keep their tag. Text nested deeper than `max_depth`
    levels or longer than `max_size_bytes` is neither written nor read. Every refusal is a
    `SerializationError` with the path inside the value. Nothing is imported by a stored name and
    nothing is executed: enums and attrs classes in untyped values are those registered here.
    """

    def __init__(self, *, max_depth: int = 200, max_size_bytes: int = 64 * 1024 * 1024) -> None:
        if max_depth < 1 or max_size_bytes < 1:
            raise ValueError(f"expected positive bounds, got {max_depth=} and {max_size_bytes=}")
        self._limits = Limits(max_depth=max_depth, max_size_bytes=max_size_bytes)
        self._tags = built_in_table()
        self._forget_compiled()

    def _forget_compiled(self) -> None:
        depth = self._limits.max_depth
        self._writer = TypedWriter(self._tags, max_depth=depth)
        self._masked_writer = TypedWriter(self._tags, max_depth=depth, mask=True)
        self._reader = TypedReader(self._tags, writer=self._writer)
        self._strict_reader = TypedReader(self._tags, writer=self._writer, strict=True)
        self._untyped = careful_codec(
            self._writer.untyped.write, read=self._reader.untyped.read, limits=self._limits
        )
        self._codecs: dict[Any, Codec[Any]] = {}

    def serialize(self, value: object, *, as_type: Any = _UNTYPED, mask_secrets: bool = False) -> str:
        """Write a value as JSON text.

        With `mask_secrets` every `Secret` becomes the text `[SECRET]`: that is for showing, not for storing.
        Raises `SerializationError` for a value that could not be read back the same.
        """
        if mask_secrets:
            return bounded(partial(self._masked_text, as_type=as_type), value).decode()
        if as_type is not _UNTYPED:
            return self.encoder(as_type)(value).decode()
        return bounded(self._untyped_text, value).decode()

    @overload
    def deserialize(self, text: str | bytes) -> Any: ...
    @overload
    def deserialize(self, text: str | bytes, *, as_type: type[T]) -> T: ...
    @overload
    def deserialize(self, text: str | bytes, *, as_type: Any) -> Any: ...
    def deserialize(self, text: str | bytes, *, as_type: Any = _UNTYPED) -> Any:
        """Read JSON text that `serialize` wrote with the same `as_type`.

        Unknown fields of a class are ignored and missing ones take their default, so that records of another
        version stay readable. Anything else that does not fit raises `SerializationError`.
        """
        data = _utf8(text)
        if as_type is not _UNTYPED:
            return self.decoder(as_type)(data)
        return bounded(self._untyped_value, data)

    def encoder(self, as_type: type[T]) -> Callable[[T], bytes]:
        """Give the function that writes values of a type, compiled once; it raises as `serialize` does."""
        return self._codec(as_type).encode

    def decoder(self, as_type: type[T]) -> Callable[[bytes], T]:
        """Give the function that reads values of a type, compiled once; it raises as `deserialize` does."""
        return self._codec(as_type).decode

    def structure(self, value: object, as_type: type[T]) -> T:
        """Make a value of a type from plain data: parsed JSON, or dicts and lists built in Python.

        Strict: an unknown field, a missing field or a wrong type raises `SerializationError`. Sets may come
        as lists, secrets as their bare content, and values that have the declared type already are taken.
        """
        structured: T = bounded(partial(self._structured, as_type=as_type), value)
        return structured

    def unstructure(self, value: object, as_type: Any) -> Any:
        """Turn a value of a type into the plain data that its JSON text holds."""
        return bounded(self._writer.writer_for(as_type), value)

    def register(self, cls: type[Any], name: str | None = None) -> None:
        """Let an enum or attrs class appear in untyped values, under its own name or the given one.

        The name is what is stored, so it must stay. Another class under the same name, a second name for a
        class, and a class of another kind raise `SerializationError`.
        """
        label = cls.__name__ if name is None else name
        if issubclass(cls, Enum):
            self._add(enum_tag(cls, name=label))
        elif attrs.has(cls):
            self._add(record_tag(cls, name=label))
        else:
            raise SerializationError(
                f"expected an enum or an attrs class, got {cls!r}: use register_type() for other classes"
            )

    def register_type(
        self,
        cls: type,
        *,
        tag: str,
        to_data: Callable[..., Any],
        from_data: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        flag: str | None = None,
        bare: bool = False,
        shape: type = object,
    ) -> None:
        """Teach a further type, by exact class, with or without type arguments.

        `to_data(value, *encode)` gives JSON data and `from_data(data, *decode)` the value. Both get one
        function per type argument, `encode(item, at)`: it writes an item at its place `at` (a key, a position
        or None) as the annotation's argument says, or as `arguments` says where there is no annotation:
        `(Any,)` for a list of anything. `from_data` gets only data that is a `shape`. A `flag` tells two
        types of one tag apart: `tag="Map", flag="persistent"` is still a map to other readers. With
        `bare`, fields annotated with the type hold the data without its envelope.
        """
        self._add(
            Tag(
                name=tag,
                cls=cls,
                to_data=to_data,
                from_data=from_data,
                arguments=arguments,
                flag=flag,
                bare=bare,
                shape=shape,
            )
        )

    def _add(self, tag: Tag) -> None:
        self._tags.add(tag)
        # What was compiled before may have refused this class, or written it by its fields.
        self._forget_compiled()

    def _codec(self, as_type: Any) -> Codec[Any]:
        codec = self._codecs.get(as_type)
        if codec is None:
            write = self._writer.writer_for(as_type)
            codec = compile_codec(as_type, write=write, reader=self._reader, limits=self._limits)
            self._codecs[as_type] = codec
        return codec

    def _untyped_text(self, value: object) -> bytes:
        if is_plain(value, self._limits.max_depth):
            return self._limits.encode_flat(value)
        return self._untyped.encode(value)

    def _untyped_value(self, text: bytes) -> Any:
        data = self._limits.decode(text)
        return self._reader.untyped.read(data) if _may_hold_tags(text) else data

    def _masked_text(self, value: object, as_type: Any) -> bytes:
        writer = self._masked_writer
        write = writer.untyped.write if as_type is _UNTYPED else writer.writer_for(as_type)
        return self._limits.encode(write(value))

    def _structured(self, value: object, as_type: Any) -> Any:
        check_depth(value, max_depth=self._limits.max_depth)
        return self._strict_reader.reader_for(as_type)(value)


def _may_hold_tags(text: bytes) -> bool:
    # An escape could spell the key too. Short needles without common letters at their end are found fastest.
    return b"_typ" in text or (b"\\" in text and b"\\u" in text)


def _utf8(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SerializationError("expected text of whole Unicode characters, got a lone surrogate") from None
