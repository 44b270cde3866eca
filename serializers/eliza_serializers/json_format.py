"""JSON text as a format of serializers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from types import NoneType
from typing import Final
from uuid import UUID

import msgspec

from eliza_serializers.format import Decoded, Format, Native
from eliza_serializers.plain import Plain
from eliza_serializers.tags import BUILT_IN


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

JSON: Final = Format(
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
