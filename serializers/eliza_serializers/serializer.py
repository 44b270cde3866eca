"""The contract of every serializer: values to bytes and back, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, ClassVar, Final, TypeVar, overload

import attrs

from eliza_serializers.codec import Codec, bounded, careful_codec, compile_codec
from eliza_serializers.errors import SerializationError
from eliza_serializers.faithful import write_told
from eliza_serializers.format import BoundedFormat, Format
from eliza_serializers.json_format import JSON
from eliza_serializers.plain import check_depth
from eliza_serializers.sealer import Sealer, mask, refuse_sealed
from eliza_serializers.secret import Seal
from eliza_serializers.tags import Tag, built_in_table, enum_tag, record_tag
from eliza_serializers.typed_read import TypedReader
from eliza_serializers.typed_write import TypedWriter
from eliza_serializers.untyped import ReaderFor

T = TypeVar("T")

UNTYPED: Final = object()
"""Stands for no declared type; None is one."""


class Serializer:
    """Write values as bytes and read them back equal, of the same types.

    A subclass gives its `name` (lower-case letters, digits, `_` and `-`, at most 32, a letter first), which
    stored data may begin with and which must stay therefore, and its `format`.

    Without `as_type`, what the format lacks travels under a tag; with it, the field types say what the data
    is, and only sets, mappings and secrets keep their tag. Data nested deeper than `max_depth` levels or
    longer than `max_size_bytes` is neither written nor read. Every refusal is a `SerializationError` with the
    path inside the value. Nothing is imported by a stored name and nothing is executed: enums and attrs
    classes in untyped values are those registered here.

    With `secrets`, the contents of secrets are written encrypted. Those that were are read without any keys
    too, and opened, where their key is given, when they are asked for their value.
    """

    name: ClassVar[str]
    format: ClassVar[Format]

    def __init__(
        self,
        *,
        secrets: Seal | None = None,
        max_depth: int = 200,
        max_size_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        if max_depth < 1 or max_size_bytes < 1:
            raise ValueError(f"expected positive bounds, got {max_depth=} and {max_size_bytes=}")
        self._bounded_format = BoundedFormat(
            format=self.format, max_depth=max_depth, max_size_bytes=max_size_bytes
        )
        self._tags = built_in_table(self.format.tags)
        self._content: Serializer = self
        if self.format is not JSON:
            self._content = _Content(secrets=secrets, max_depth=max_depth, max_size_bytes=max_size_bytes)
        self.secrets: Final = secrets
        """The keys that contents of secrets are sealed with; None for plain ones."""
        self._sealer = Sealer(self._content.encoder, self._content.decoder, keys=secrets)
        self._forget_compiled()

    def _forget_compiled(self) -> None:
        make = partial(
            TypedWriter, self._tags, plain=self.format.plain, max_depth=self._bounded_format.max_depth
        )
        envelope = self.format.envelope
        self._writer = make(envelope=envelope, write_secret=self._sealer.writer(envelope))
        self._masked_writer = make(envelope=envelope, write_secret=mask)
        # It checks what `structure` takes, which costs no encryption: nothing of it is stored.
        in_plain = Sealer(self._content.encoder, self._content.decoder, keys=None)
        self._data_writer = make(envelope=Tag.envelope, write_secret=in_plain.writer(Tag.envelope))
        reader = partial(TypedReader, self._tags, writer=self._data_writer)
        self._reader = reader(read_sealed=self._sealer.read)
        self._strict_reader = reader(read_sealed=refuse_sealed, strict=True)
        self._stored_reader = reader(read_sealed=self._sealer.read, strict=True)
        # It gets what was parsed a moment before, and nobody else has.
        self._untyped_reader = attrs.evolve(self._reader.untyped, in_place=True)
        self._untyped = careful_codec(
            self._writer.untyped.write,
            read=self._untyped_reader.read,
            bounded_format=self._bounded_format,
            tell=partial(write_told, self._writer.untyped),
        )
        self._codecs: dict[Any, Codec[Any]] = {}

    def encode(self, value: object, *, as_type: Any = UNTYPED, mask_secrets: bool = False) -> bytes:
        """Write a value as bytes.

        With `mask_secrets` every `Secret` becomes the text `[SECRET]`: that is for showing, not for storing.
        Raises `SerializationError` for a value that could not be read back the same.
        """
        if mask_secrets:
            return bounded(partial(self._masked, as_type=as_type), value)
        if as_type is not UNTYPED:
            return self.encoder(as_type)(value)
        return bounded(self._untyped_content, value)

    @overload
    def decode(self, content: bytes) -> Any: ...
    @overload
    def decode(self, content: bytes, *, as_type: type[T]) -> T: ...
    @overload
    def decode(self, content: bytes, *, as_type: Any) -> Any: ...
    def decode(self, content: bytes, *, as_type: Any = UNTYPED) -> Any:
        """Read what `encode` wrote with the same `as_type`.

        Unknown fields of a class are ignored and missing ones take their default, so that records of another
        version stay readable. Anything else that does not fit raises `SerializationError`.
        """
        if as_type is not UNTYPED:
            return self.decoder(as_type)(content)
        return bounded(self._untyped_value, content)

    def encoder(self, as_type: type[T]) -> Callable[[T], bytes]:
        """Give the function that writes values of a type, compiled once; it raises as `encode` does."""
        return self._codec(as_type).encode

    def decoder(self, as_type: type[T]) -> Callable[[bytes], T]:
        """Give the function that reads values of a type, compiled once; it raises as `decode` does."""
        return self._codec(as_type).decode

    def structure(self, value: object, as_type: type[T], *, from_store: bool = False) -> T:
        """Make a value of a type from plain data: parsed JSON, or dicts and lists built in Python.

        Strict: an unknown field, a missing field or a wrong type raises `SerializationError`. Sets may come
        as lists, secrets as their bare content, and values that have the declared type already are taken.
        Sealed secrets are refused, unless the data is `from_store`: whoever copied their text could have
        them opened.
        """
        reader = self._stored_reader if from_store else self._strict_reader
        structured: T = bounded(partial(self._structured, reader.reader_for, as_type=as_type), value)
        return structured

    def unstructure(self, value: object, as_type: Any) -> Any:
        """Turn a value of a type into plain data, with a tag wherever the stored form has one.

        Secrets are in plain, but for those that were read sealed and stay so.
        """
        return bounded(self._data_writer.writer_for(as_type), value)

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

    def learn(self, other: Serializer) -> None:
        """Take in the classes that another serializer knows by now; raises what `register` does."""
        known = built_in_table(other.format.tags).by_class
        self._add(*(tag for cls, tag in other._tags.by_class.items() if cls not in known))

    def _add(self, *tags: Tag) -> None:
        for tag in tags:
            self._tags.add(tag)
        if self._content is not self:
            self._content._add(*tags)
        # What was compiled before may have refused these classes, or written them by their fields.
        self._forget_compiled()

    def _codec(self, as_type: Any) -> Codec[Any]:
        codec = self._codecs.get(as_type)
        if codec is None:
            codec = self._codecs[as_type] = compile_codec(
                as_type,
                write=self._writer.writer_for(as_type),
                reader=self._reader,
                bounded_format=self._bounded_format,
            )
        return codec

    def _untyped_content(self, value: object) -> bytes:
        if self.format.plain.carries(value, self._bounded_format.max_depth):
            return self._bounded_format.encode_flat(value)
        return self._untyped.encode(value)

    def _untyped_value(self, content: bytes) -> Any:
        data, is_tagged = self._bounded_format.decode(content)
        return self._untyped_reader.read(data) if is_tagged else data

    def _masked(self, value: object, as_type: Any) -> bytes:
        writer = self._masked_writer
        write = writer.untyped.write if as_type is UNTYPED else writer.writer_for(as_type)
        return self._bounded_format.encode(write(value))

    def _structured(self, reader_for: ReaderFor, value: object, as_type: Any) -> Any:
        check_depth(value, max_depth=self._bounded_format.max_depth)
        return reader_for(as_type)(value)


class _Content(Serializer):
    """Write and read the contents of sealed secrets: JSON, whatever the format around them."""

    name = "json"
    format = JSON
