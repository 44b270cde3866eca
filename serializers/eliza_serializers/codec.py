"""One declared type to bytes and back, compiled: at C speed where that is faithful, with care elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import frozen

from eliza_serializers.errors import SerializationError
from eliza_serializers.exact import exact_check
from eliza_serializers.format import BoundedFormat, children_of
from eliza_serializers.native import Check, native_part
from eliza_serializers.tags import place_of
from eliza_serializers.typed_read import Read, TypedReader
from eliza_serializers.typed_write import Write

T = TypeVar("T")

WriteTold = Callable[[Any], tuple[Any, bool]]
"""Write a value as data, and tell whether it certainly comes back the same and is not nested too deeply."""


@frozen
class Codec(Generic[T]):
    """Hold the two functions of one declared type.

    What `encode` returns can be read again as the same value: it reads it back and compares, unless the
    types of all parts of the value tell already.
    """

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def compile_codec(
    annotation: Any, *, write: Write, reader: TypedReader, bounded_format: BoundedFormat
) -> Codec[Any]:
    """Compile the functions of one declared type, at C speed when format and type allow it."""
    careful = careful_codec(write, read=reader.reader_for(annotation), bounded_format=bounded_format)
    native = bounded_format.format.native
    if native is None:
        return careful
    part = native_part(
        annotation,
        native=native,
        plain=bounded_format.format.plain,
        tags=reader.tags,
        max_depth=bounded_format.max_depth,
    )
    if part is None:
        return careful
    read = native.decoder(annotation)
    is_exact = exact_check(
        annotation,
        plain=bounded_format.format.plain,
        tags=reader.tags,
        max_depth=bounded_format.max_depth,
    )
    return Codec(
        _native_encode(
            is_exact, part.accepts(), read=read, careful=careful.encode, bounded_format=bounded_format
        ),
        _native_decode(part.scan, read=read, careful=careful.decode, bounded_format=bounded_format),
    )


def _native_encode(
    is_exact: Callable[[Any], bool] | None,
    check: Check,
    *,
    read: Read,
    careful: Callable[[Any], bytes],
    bounded_format: BoundedFormat,
) -> Callable[[Any], bytes]:
    write = bounded_format.format.encode
    max_size_bytes = bounded_format.max_size_bytes

    def encode(value: Any) -> bytes:
        try:
            content = write(value)
            if len(content) <= max_size_bytes:
                if is_exact is not None and is_exact(value):
                    return content
                if read(content) == value and check((value,)):
                    return content
        except Exception:  # noqa: BLE001, S110 - a validator may raise anything: the careful way names it
            pass
        return careful(value)

    return encode


def _native_decode(
    scan: Check | None, *, read: Read, careful: Callable[[bytes], Any], bounded_format: BoundedFormat
) -> Callable[[bytes], Any]:
    max_size_bytes = bounded_format.max_size_bytes

    def decode(content: bytes) -> Any:
        if len(content) <= max_size_bytes:
            try:
                value = read(content)
                if scan is None or scan((value,)):
                    return value
            except Exception:  # noqa: BLE001, S110 - a validator may raise anything: the careful way names it
                pass
        return careful(content)

    return decode


def careful_codec(
    write: Write, *, read: Read, bounded_format: BoundedFormat, tell: WriteTold | None = None
) -> Codec[Any]:
    """Make a codec of a writer and a reader: what is written is read back and written again to compare.

    With `tell`, only a value of which it does not tell that it comes back the same.
    """

    def verified(value: Any) -> bytes:
        data, is_told = (write(value), False) if tell is None else tell(value)
        if is_told:
            return bounded_format.encode_flat(data)
        content = bounded_format.encode(data)
        again = write(decode(content))
        if bounded_format.encode(again) != content:
            raise _difference(data, again, encode=bounded_format.format.encode)
        return content

    def decode(content: bytes) -> Any:
        data, _ = bounded_format.decode(content)
        return read(data)

    return Codec(partial(bounded, verified), partial(bounded, decode))


def bounded(convert: Callable[[Any], T], value: object) -> T:
    """Convert a value; one that needs more levels than the interpreter has raises `SerializationError`."""
    try:
        return convert(value)
    except RecursionError:
        pass
    raise SerializationError("the value is nested too deeply, or contains itself: flatten it")


def _difference(written: Any, again: Any, *, encode: Callable[[Any], bytes]) -> SerializationError:
    """Say where the data of a value that was read back differs from what was written."""
    if type(written) is type(again):
        pairs = zip(children_of(written), children_of(again), strict=False)
        for (place, left), (_, right) in pairs:
            if encode(left) != encode(right):
                return _difference(left, right, encode=encode).inside(place_of(place))
    return SerializationError(
        "the value would come back different: its class must take its own fields unchanged"
    )
