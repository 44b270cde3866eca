"""What a serializer's bytes are: a format, and the bounds within which it is written and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
from attrs import frozen

from eliza_serializers.errors import Segment, SerializationError
from eliza_serializers.plain import Plain, check_depth
from eliza_serializers.tags import Tag, class_of, place_of

Decoded = tuple[Any, bool, int]
"""Data, whether tags may be in it, and how many levels it has at most."""


@frozen(kw_only=True)
class Native:
    """Say what msgspec writes and reads by itself in a format, for types that are declared.

    `decoder` compiles the reader of a type. `classes` are those that it carries faithfully beside None, bool,
    int, float, str and enums, `keys` the types of keys. `moments` tells whether it keeps all datetimes of a
    column.
    """

    decoder: Callable[[Any], Callable[[bytes], Any]]
    classes: frozenset[type]
    keys: frozenset[type]
    moments: Callable[[Sequence[datetime | None]], bool]


@frozen(kw_only=True)
class Format:
    """Describe the bytes of a serializer.

    `title` is its name in messages. `encode` writes data: what `plain` carries, and what `envelope` made of a
    tag and its data. It raises `ValueError`, `OverflowError` or `TypeError` for what it cannot hold, and
    `UnicodeEncodeError` for text with a lone surrogate.
    `decode` reads data, every envelope as a dict with the keys `_type` and `data`; bytes that are not of this
    format raise `ValueError` or `RecursionError`. `tags` are those of the built-in types, each of which must
    give back the same value: most of them are trusted, and not read back when they are written. Without
    `native` typed values are written and read by Python code alone.
    """

    title: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Decoded]
    plain: Plain
    tags: tuple[Tag, ...]
    envelope: Callable[[Tag, Any], Any] = Tag.envelope
    native: Native | None = None


@frozen(kw_only=True)
class BoundedFormat:
    """Write and read a format within bounds: levels of lists and mappings, and bytes."""

    format: Format
    max_depth: int
    max_size_bytes: int

    def encode(self, data: object) -> bytes:
        """Write data."""
        self._check_depth(data)
        return self.encode_flat(data)

    def encode_flat(self, data: object) -> bytes:
        """Write data whose depth is known to be within bounds."""
        try:
            content = self.format.encode(data)
        except UnicodeEncodeError as error:
            surrogate = error.object[error.start]
            raise SerializationError(
                f"expected whole Unicode characters, got the lone surrogate {surrogate!r}: replace it first",
                segments=_surrogate_path(data, surrogate=surrogate) or (),
            ) from None
        except (ValueError, OverflowError, TypeError) as error:
            raise SerializationError(f"expected a value that {self.format.title} can hold: {error}") from None
        self._check_size(content)
        return content

    def decode(self, content: bytes) -> tuple[Any, bool]:
        """Read data, and tell whether tags may be in it; other bytes raise `SerializationError`."""
        self._check_size(content)
        try:
            data, is_tagged, most_levels = self.format.decode(content)
        except RecursionError:
            raise SerializationError(
                f"the data is nested too deeply: at most {self.max_depth} levels"
            ) from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise SerializationError(f"expected {self.format.title}: {_reason(error)}") from None
        if most_levels > self.max_depth:
            self._check_depth(data)
        return data, is_tagged

    def _check_size(self, content: bytes) -> None:
        if len(content) > self.max_size_bytes:
            raise SerializationError(
                f"expected at most {self.max_size_bytes} bytes, got {len(content)}: "
                "split the value or raise max_size_bytes"
            )

    def _check_depth(self, data: object) -> None:
        if self.format.plain.is_deeper(data, max_depth=self.max_depth):
            check_depth(data, max_depth=self.max_depth)


def _reason(error: Exception) -> str:
    # A UnicodeDecodeError quotes the text itself, which may hold secrets.
    return error.reason if isinstance(error, UnicodeDecodeError) else str(error)


def _surrogate_path(data: Any, *, surrogate: str) -> tuple[Segment, ...] | None:
    """Find the text that holds a lone surrogate: its path, that of its mapping where it is a key, or None."""
    if isinstance(data, str):
        return () if surrogate in data else None
    for key, child in children_of(data):
        if _surrogate_path(key, surrogate=surrogate) is not None:
            return ()
        below = _surrogate_path(child, surrogate=surrogate)
        if below is not None:
            return (place_of(key), *below)
    return None


def children_of(data: Any) -> Iterable[tuple[Any, Any]]:
    """Give the keys or positions of a container with what stands there; of anything else, nothing."""
    kind = class_of(data)
    if kind is dict:
        return cast("dict[Any, Any]", data).items()
    return enumerate(cast("list[Any]", data)) if kind in (list, tuple) else ()
