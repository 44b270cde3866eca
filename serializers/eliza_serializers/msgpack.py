"""The compact serializer: MessagePack that keeps Python's types.

Bytes, all floats, integers of 64 bits and moments in UTC travel as MessagePack has them, and so do keys that
are one of these or a tuple of them. Other scalars are extension types; the tags of containers are JSON's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timezone
from functools import partial
from operator import attrgetter
from types import NoneType
from typing import Any, Final
from uuid import UUID

import msgspec
from attrs import evolve

from eliza_serializers.errors import SerializationError
from eliza_serializers.format import Decoded, Format, Native
from eliza_serializers.moments import clock_text, datetime_from
from eliza_serializers.plain import Plain
from eliza_serializers.serializer import Serializer
from eliza_serializers.tags import (
    BUILT_IN,
    DATA_KEY,
    INT,
    TYPE_KEY,
    Tag,
    base64_bytes,
    class_of,
    read_uuid,
    set_data,
)

# What is stored: a code keeps its meaning.
_CODES: Final[Mapping[str, int]] = {
    INT.name: 1,
    "Decimal": 2,
    "UUID": 3,
    "DateTime": 4,
    "Date": 5,
    "Time": 6,
}
_NAMES: Final[Mapping[int, str]] = {code: name for name, code in _CODES.items()}

# Every other byte may begin a mapping, a list or an extension type.
_FLAT: Final = bytes(
    {*range(256)} - {*range(0x80, 0xA0), *range(0xDC, 0xE0), *range(0xC7, 0xCA), *range(0xD4, 0xD9)}
)


def _envelope(tag: Tag, data: Any) -> Any:
    """Put data under its tag: nothing where the format carries it, an extension type where it has a code."""
    if type(data) is tag.cls:
        return data
    code = _CODES.get(tag.name)
    if code is None or tag.flag is not None:
        return tag.envelope(data)
    return msgspec.msgpack.Ext(code, data.encode() if isinstance(data, str) else data)


class _Wide:
    """Hold an integer that MessagePack has no form for; a key must be hashable, which `Ext` is not."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def _write_wide(value: Any) -> msgspec.msgpack.Ext:
    if type(value) is not _Wide:
        raise TypeError(f"a {type(value).__name__} has no form")
    return msgspec.msgpack.Ext(_CODES[INT.name], str(value.number).encode())


_pack: Final = msgspec.msgpack.Encoder(enc_hook=_write_wide, uuid_format="bytes").encode


def _encode(data: Any) -> bytes:
    try:
        return _pack(data)
    except OverflowError:
        return _pack(_widened(data))


def _widened(data: Any) -> Any:
    """Mark the integers beyond 64 bits, wherever they are."""
    kind = class_of(data)
    if kind is int:
        return data if -(2**63) <= data < 2**64 else _Wide(data)
    if kind is dict:
        return {_widened(key): _widened(item) for key, item in data.items()}
    return kind(map(_widened, data)) if kind in (list, tuple) else data


def _decode(content: bytes) -> Decoded:
    codes: list[int] = []

    def opened(code: int, payload: memoryview) -> Any:
        codes.append(code)
        name = _NAMES.get(code, f"extension type {code}")
        # Where there should be text and is none, the tag refuses what stands in for it, with the path.
        data = bytes(payload) if name == "UUID" else str(payload, "utf-8", "replace")
        if name == INT.name:
            with suppress(SerializationError):
                return INT.read(data)
        return {TYPE_KEY: name, DATA_KEY: data}

    data = msgspec.msgpack.decode(content, ext_hook=opened)
    return data, bool(codes) or b"_typ" in content, len(content.translate(None, _FLAT))


def _is_utc(moment: datetime) -> bool:
    zone = moment.tzinfo
    return not moment.fold and (zone is UTC or (type(zone) is timezone and zone == UTC))


def _are_utc_or_naive(moments: Sequence[datetime | None]) -> bool:
    for moment in moments:
        if moment is not None:
            zone = moment.tzinfo
            if moment.fold or (zone is not UTC and zone is not None):
                return False
    return True


def _write_moment(moment: datetime) -> datetime | str:
    return moment if _is_utc(moment) else clock_text(moment)


def _read_moment(data: datetime | str) -> datetime:
    return data if isinstance(data, datetime) else datetime_from(data)


def _read_bytes(data: bytes | str) -> bytes:
    return data if isinstance(data, bytes) else base64_bytes(data)


_CHANGES: Final[Mapping[type, Mapping[str, Any]]] = {
    bytes: {"to_data": bytes, "from_data": _read_bytes, "shape": (bytes, str)},
    datetime: {"to_data": _write_moment, "from_data": _read_moment, "shape": (datetime, str)},
    UUID: {"to_data": attrgetter("bytes"), "from_data": read_uuid, "shape": (bytes, str)},
    set: {"to_data": partial(set_data, order=_encode)},
    frozenset: {"to_data": partial(set_data, order=_encode)},
}

_FORMAT: Final = Format(
    title="MessagePack",
    encode=_encode,
    decode=_decode,
    plain=Plain(
        always=frozenset({str, bool, NoneType, bytes, float, int}),
        within={datetime: _is_utc},
        keys=frozenset({bool, NoneType, bytes, float, int, datetime, tuple}),
    ),
    tags=tuple(evolve(tag, **_CHANGES.get(tag.cls, {})) for tag in BUILT_IN),
    envelope=_envelope,
    native=Native(
        decoder=lambda annotation: msgspec.msgpack.Decoder(annotation).decode,
        classes=frozenset({datetime, UUID, bytes}),
        keys=frozenset({str, int}),
        moments=_are_utc_or_naive,
    ),
)


class MsgpackSerializer(Serializer):
    """Write values as MessagePack: smaller than JSON, and for programs alone."""

    name = "msgpack"
    format = _FORMAT
    # The two names that `JsonSerializer` has for its text.
    serialize = Serializer.encode
    deserialize = Serializer.decode
