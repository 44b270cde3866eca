"""One declared type to bytes and back, compiled: at C speed where that is faithful, with care elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

import msgspec
from attrs import frozen

from eliza_serializers.errors import Segment, SerializationError
from eliza_serializers.native import Check, native_part
from eliza_serializers.tags import class_of
from eliza_serializers.typed_read import Read, TypedReader
from eliza_serializers.typed_write import Write
from eliza_serializers.untyped import check_depth, is_deeper

T = TypeVar("T")

_encode: Final = msgspec.json.Encoder().encode


@frozen(kw_only=True)
class Limits:
    """Bound what is written and read: levels of lists and objects, and bytes of text."""

    max_depth: int
    max_size_bytes: int

    def check_size(self, data: bytes) -> None:
        """Refuse text of more than `max_size_bytes`."""
        if len(data) > self.max_size_bytes:
            raise SerializationError(
                f"expected at most {self.max_size_bytes} bytes of text, got {len(data)}: "
                "split the value or raise max_size_bytes"
            )

    def encode(self, data: object) -> bytes:
        """Write JSON data as text."""
        self._check_depth(data)
        return self.encode_flat(data)

    def encode_flat(self, data: object) -> bytes:
        """Write JSON data whose depth is known to be within bounds."""
        try:
            text = _encode(data)
        except UnicodeEncodeError as error:
            surrogate = error.object[error.start]
            raise SerializationError(
                f"expected whole Unicode characters, got the lone surrogate {surrogate!r}: replace it first",
                segments=surrogate_path(data, surrogate=surrogate) or (),
            ) from None
        except (ValueError, OverflowError) as error:
            raise SerializationError(f"expected a number that text can hold: {error}") from None
        self.check_size(text)
        return text

    def decode(self, text: bytes) -> Any:
        """Read text as JSON data; text that is not JSON raises `SerializationError`."""
        self.check_size(text)
        try:
            data = msgspec.json.decode(text)
        except RecursionError:
            raise SerializationError(
                f"the text is nested too deeply: at most {self.max_depth} levels"
            ) from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise SerializationError(f"expected JSON text: {_reason(error)}") from None
        if text.count(b"[") + text.count(b"{") > self.max_depth:
            self._check_depth(data)
        return data

    def _check_depth(self, data: object) -> None:
        if is_deeper(data, max_depth=self.max_depth):
            check_depth(data, max_depth=self.max_depth)


def _reason(error: Exception) -> str:
    # A UnicodeDecodeError quotes the text itself, which may hold secrets.
    return error.reason if isinstance(error, UnicodeDecodeError) else str(error)


def surrogate_path(data: Any, *, surrogate: str) -> tuple[Segment, ...] | None:
    """Find the text that holds a lone surrogate: its path, that of its mapping where it is a key, or None."""
    if isinstance(data, str):
        return () if surrogate in data else None
    for place, child in _children(data):
        if isinstance(place, str) and surrogate in place:
            return ()
        below = surrogate_path(child, surrogate=surrogate)
        if below is not None:
            return (place, *below)
    return None


def _children(data: Any) -> Iterable[tuple[Segment, Any]]:
    kind = class_of(data)
    if kind is dict:
        return cast("dict[str, Any]", data).items()
    return enumerate(cast("list[Any]", data)) if kind is list else ()


@frozen
class Codec(Generic[T]):
    """Hold the two functions of one declared type.

    `encode` reads back what it wrote and compares: what it returns can be read again as the same value.
    """

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def compile_codec(annotation: Any, *, write: Write, reader: TypedReader, limits: Limits) -> Codec[Any]:
    """Compile the functions of one declared type, at C speed when its parts allow it."""
    careful = careful_codec(write, read=reader.reader_for(annotation), limits=limits)
    part = native_part(annotation, tags=reader.tags, max_depth=limits.max_depth)
    if part is None:
        return careful
    native = msgspec.json.Decoder(annotation).decode
    return Codec(
        _native_encode(part.accepts(), native=native, careful=careful.encode, limits=limits),
        _native_decode(part.scan, native=native, careful=careful.decode, limits=limits),
    )


def _native_encode(
    check: Check, *, native: Callable[[bytes], Any], careful: Callable[[Any], bytes], limits: Limits
) -> Callable[[Any], bytes]:
    max_size_bytes = limits.max_size_bytes

    def encode(value: Any) -> bytes:
        try:
            text = _encode(value)
            if native(text) == value and check((value,)) and len(text) <= max_size_bytes:
                return text
        except Exception:  # noqa: BLE001, S110 - a validator may raise anything: the careful way names it
            pass
        return careful(value)

    return encode


def _native_decode(
    scan: Check | None, *, native: Callable[[bytes], Any], careful: Callable[[bytes], Any], limits: Limits
) -> Callable[[bytes], Any]:
    max_size_bytes = limits.max_size_bytes

    def decode(text: bytes) -> Any:
        if len(text) <= max_size_bytes:
            try:
                value = native(text)
                if scan is None or scan((value,)):
                    return value
            except Exception:  # noqa: BLE001, S110 - a validator may raise anything: the careful way names it
                pass
        return careful(text)

    return decode


def careful_codec(write: Write, *, read: Read, limits: Limits) -> Codec[Any]:
    """Make a codec of a writer and a reader: what is written is read back and written again to compare."""

    def verified(value: Any) -> bytes:
        data = write(value)
        text = limits.encode(data)
        again = write(read(limits.decode(text)))
        if limits.encode(again) != text:
            raise difference(data, again)
        return text

    def decode(text: bytes) -> Any:
        return read(limits.decode(text))

    return Codec(partial(bounded, verified), partial(bounded, decode))


def bounded(convert: Callable[[Any], T], value: object) -> T:
    """Convert a value; one that needs more levels than the interpreter has raises `SerializationError`."""
    try:
        return convert(value)
    except RecursionError:
        pass
    raise SerializationError("the value is nested too deeply, or contains itself: flatten it")


def difference(written: Any, again: Any) -> SerializationError:
    """Say where the data of a value that was read back differs from what was written."""
    if type(written) is type(again):
        pairs = zip(_children(written), _children(again), strict=False)
        for (place, left), (_, right) in pairs:
            if _encode(left) != _encode(right):
                return difference(left, right).inside(place)
    return SerializationError(
        "the value would come back different: its class must take its own fields unchanged"
    )
