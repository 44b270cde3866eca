"""The serializer that the framework uses: JSON text that keeps Python's types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from types import NoneType
from typing import Any, Final, TypeVar, overload
from uuid import UUID

import msgspec

from eliza_serializers.errors import SerializationError
from eliza_serializers.format import Decoded, Format, Native
from eliza_serializers.plain import Plain
from eliza_serializers.serializer import UNTYPED, Serializer
from eliza_serializers.tags import BUILT_IN

T = TypeVar("T")


def _decode(text: bytes) -> Decoded:
    data = msgspec.json.decode(text)
    return data, _may_hold_tags(text), text.count(b"[") + text.count(b"{")


def _may_hold_tags(text: bytes) -> bool:
    # An escape could spell the key too. Short needles without common letters at their end are found fastest.
    return b"_typ" in text or (b"\\" in text and b"\\u" in text)


def _is_exact_in_a_double(number: int) -> bool:
    # Up to here JavaScript reads every integer exactly.
    return -(2**53) < number < 2**53


def _have_offsets(moments: Sequence[datetime | None]) -> bool:
    for moment in moments:
        if moment is not None and (moment.fold or type(moment.tzinfo) not in _OFFSETS):
            return False
    return True


_OFFSETS: Final = frozenset({NoneType, timezone})

_FORMAT: Final = Format(
    title="JSON text",
    encode=msgspec.json.Encoder().encode,
    decode=_decode,
    plain=Plain(
        always=frozenset({str, bool, NoneType}),
        within={int: _is_exact_in_a_double, float: math.isfinite},
    ),
    tags=BUILT_IN,
    native=Native(
        decoder=lambda annotation: msgspec.json.Decoder(annotation).decode,
        classes=frozenset({datetime, UUID}),
        keys=frozenset({str}),
        moments=_have_offsets,
    ),
)


class JsonSerializer(Serializer):
    """Write values as JSON text, tags as objects `{"_type": …, "data": …}`."""

    name = "json"
    format = _FORMAT

    def serialize(self, value: object, *, as_type: Any = UNTYPED, mask_secrets: bool = False) -> str:
        """Write a value as `encode` does, as text."""
        return self.encode(value, as_type=as_type, mask_secrets=mask_secrets).decode()

    @overload
    def deserialize(self, text: str | bytes) -> Any: ...
    @overload
    def deserialize(self, text: str | bytes, *, as_type: type[T]) -> T: ...
    @overload
    def deserialize(self, text: str | bytes, *, as_type: Any) -> Any: ...
    def deserialize(self, text: str | bytes, *, as_type: Any = UNTYPED) -> Any:
        """Read JSON text as `decode` does."""
        return self.decode(_utf8(text), as_type=as_type)


def _utf8(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SerializationError("expected text of whole Unicode characters, got a lone surrogate") from None
