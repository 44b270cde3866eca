"""How values of different types compare: by kind, and within a kind as Python compares them.

Every value has a kind. Values of different kinds are never equal (True is not 1) and stand in the order of
their kinds, None first. `encode` gives bytes that sort and differ as the values do, in the manner of the
tuple layer of FoundationDB (https://apple.github.io/foundationdb/data-modeling.html#tuples).
"""

from __future__ import annotations

import datetime
import enum
import math
import struct
import sys
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

_EPOCH: Final = datetime.datetime(1970, 1, 1)  # noqa: DTZ001  # one for times with and without a zone
_EPOCH_UTC: Final = _EPOCH.replace(tzinfo=datetime.UTC)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_END: Final = b"\x00"
_SIGN: Final = 1 << 63
_ALL: Final = (1 << 64) - 1
_LOWEST: Final = -(1 << 16_384)


class Kind(enum.IntEnum):
    """What sort of value it is; the numbers say which kinds come first, and begin the encoded form."""

    NOTHING = 1
    TRUTH = 2
    NUMBER = 3
    TEXT = 4
    BYTES = 5
    MOMENT = 6
    """A time with a zone."""
    LOCAL = 7
    """A time without a zone."""
    DATE = 8
    DURATION = 9
    UUID = 10
    CHOICE = 11
    """A member of an enumeration that is neither text nor number."""
    OTHER = 12
    """Anything else, NaN among it: equals nothing and has no order."""


_KINDS: Final[Mapping[type, Kind]] = {
    type(None): Kind.NOTHING,
    bool: Kind.TRUTH,
    int: Kind.NUMBER,
    str: Kind.TEXT,
    bytes: Kind.BYTES,
    datetime.date: Kind.DATE,
    datetime.timedelta: Kind.DURATION,
    uuid.UUID: Kind.UUID,
}


def kind_of(value: Any) -> Kind:
    """Return the kind of a value."""
    kind = _KINDS.get(value.__class__)
    if kind is not None:
        return kind
    if isinstance(value, float | Decimal):
        return Kind.OTHER if math.isnan(value) else Kind.NUMBER
    if isinstance(value, datetime.datetime):
        return Kind.LOCAL if value.utcoffset() is None else Kind.MOMENT
    for base in (str, int, bytes, datetime.date, datetime.timedelta, uuid.UUID):
        if isinstance(value, base):
            return _KINDS[base]
    return Kind.CHOICE if isinstance(value, enum.Enum) else Kind.OTHER


def order_key(value: Any) -> tuple[Kind, Any]:
    """Return a key that sorts values of all kinds."""
    kind = kind_of(value)
    if kind is Kind.CHOICE:
        return kind, _choice(value)
    return kind, 0 if kind in (Kind.OTHER, Kind.NOTHING) else value


def encode(value: Any) -> bytes:
    """Return bytes that sort as the values do and are equal for equal values alone.

    No encoded value begins another one, so that they can stand in a row. Two decimals with the same integer
    part between the same two floats are told apart but not ordered; all of kind OTHER look the same.
    """
    kind = kind_of(value)
    writer = _WRITERS.get(kind)
    return bytes((kind,)) + (writer(value) if writer is not None else b"")


def encode_prefix(text: str) -> tuple[bytes, bytes]:
    """Return bounds, the first inclusive, of the encoded texts that start with a text."""
    start = bytes((Kind.TEXT,)) + _escaped(_utf8(text))
    return start, start + b"\xff"  # no byte of UTF-8


def after_kind(kind: Kind) -> bytes:
    """Return a bound past all encoded values of a kind."""
    return bytes((kind + 1,))


def is_exact(number: Any) -> bool:
    """Tell whether a number's place among all others is known from its encoded form."""
    return isinstance(number, int) or _floor(number) == number


def decode(encoded: bytes) -> Any:
    """Return the value of one encoded value; times come back in UTC, an integral number as an int.

    Raises `ValueError` for a kind that cannot be had back.
    """
    kind, body = encoded[0], encoded[1:]
    reader = _READERS.get(Kind(kind))
    if reader is None:
        raise ValueError(f"a value of the kind {Kind(kind).name} cannot be read back")
    return reader(body)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _escaped(content: bytes) -> bytes:
    return content.replace(_END, b"\x00\xff")


def _unescaped(body: bytes) -> bytes:
    return body[:-1].replace(b"\x00\xff", _END)


def _write_text(value: str) -> bytes:
    return _escaped(_utf8(value)) + _END


def _read_text(body: bytes) -> str:
    return _unescaped(body).decode("utf-8", "surrogatepass")


def _floor(number: Any) -> float:
    """The largest float that is not greater than a number."""
    try:
        near = float(number)
    except OverflowError:
        near = math.inf if number > 0 else -sys.float_info.max
    return math.nextafter(near, -math.inf) if near > number else near


def _exactly(near: float) -> Fraction:
    """A float as a fraction; the lowest place, where no float is, begins far down."""
    return Fraction(_LOWEST) if near == -math.inf else Fraction(near)


def _write_number(value: Any) -> bytes:
    """The largest float below, and what is missing to it: whole units by size, then a fraction."""
    near = _floor(value) + 0.0  # there is but one zero
    bits = int.from_bytes(struct.pack(">d", near), "big")
    sortable = (bits ^ (_ALL if bits & _SIGN else _SIGN)).to_bytes(8, "big")
    if near == value:
        return sortable + b"\x00"
    missing = max(Fraction(value) - _exactly(near), Fraction(0))
    units = int(missing)
    size = (units.bit_length() + 7) // 8
    rest = str(missing - units).encode() if missing != units else b""
    return sortable + b"\x01" + size.to_bytes(4, "big") + units.to_bytes(size, "big") + rest + _END


def _read_number(body: bytes) -> Any:
    sortable = int.from_bytes(body[:8], "big")
    bits = sortable ^ (_SIGN if sortable & _SIGN else _ALL)
    (near,) = struct.unpack(">d", bits.to_bytes(8, "big"))
    if body[8:] == b"\x00":
        return int(near) if math.isfinite(near) and near.is_integer() else near
    size = int.from_bytes(body[9:13], "big")
    units, rest = body[13 : 13 + size], body[13 + size : -1].decode()
    number = _exactly(near) + int.from_bytes(units, "big") + Fraction(rest or 0)
    if number.denominator == 1:
        return int(number)
    return Decimal(number.numerator) / Decimal(number.denominator)


def _signed(number: int) -> bytes:
    encoded: bytes = (number + _SIGN).to_bytes(8, "big")
    return encoded


def _from_signed(body: bytes) -> int:
    return int.from_bytes(body, "big") - _SIGN


def _write_duration(value: datetime.timedelta) -> bytes:
    return (value // _MICROSECOND + (1 << 71)).to_bytes(9, "big")  # a timedelta takes 67 bits


def _choice(value: enum.Enum) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}.{value.name}"


_WRITERS: Final[Mapping[Kind, Callable[[Any], bytes]]] = {
    Kind.TRUTH: lambda value: b"\x01" if value else b"\x00",
    Kind.NUMBER: _write_number,
    Kind.TEXT: _write_text,
    Kind.BYTES: lambda value: _escaped(value) + _END,
    Kind.MOMENT: lambda value: _signed((value - _EPOCH_UTC) // _MICROSECOND),
    Kind.LOCAL: lambda value: _signed((value - _EPOCH) // _MICROSECOND),
    Kind.DATE: lambda value: _signed(value.toordinal()),
    Kind.DURATION: _write_duration,
    Kind.UUID: lambda value: value.bytes,
    Kind.CHOICE: lambda value: _write_text(_choice(value)),
}

_READERS: Final[Mapping[Kind, Callable[[bytes], Any]]] = {
    Kind.NOTHING: lambda _body: None,
    Kind.TRUTH: lambda body: body == b"\x01",
    Kind.NUMBER: _read_number,
    Kind.TEXT: _read_text,
    Kind.BYTES: _unescaped,
    Kind.MOMENT: lambda body: _EPOCH_UTC + _from_signed(body) * _MICROSECOND,
    Kind.LOCAL: lambda body: _EPOCH + _from_signed(body) * _MICROSECOND,
    Kind.DATE: lambda body: datetime.date.fromordinal(_from_signed(body)),
    Kind.DURATION: lambda body: (int.from_bytes(body, "big") - (1 << 71)) * _MICROSECOND,
    Kind.UUID: lambda body: uuid.UUID(bytes=body),
}
