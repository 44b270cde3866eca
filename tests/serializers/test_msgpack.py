"""MessagePack: what each type looks like in it, and what is particular to bytes."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from attrs import frozen

from eliza_serializers import MsgpackSerializer, Secret, SerializationError
from tests.serializers.formats import registered
from tests.serializers.strategies import Mood, same

NAN = float("nan")
NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
TYPE, DATA = b"\xa5_type", b"\xa4data"
WIDE = b"\xc7\x14\x0118446744073709551616"


class Wide(IntEnum):
    BIG = 2**64


def tagged(name: str, data: bytes) -> bytes:
    return b"\x82" + TYPE + msgspec.msgpack.encode(name) + DATA + data


TABLE: list[tuple[Any, bytes]] = [
    # as MessagePack has it
    ([1, 2.5, None, True, "a"], b"\x95\x01\xcb\x40\x04\0\0\0\0\0\0\xc0\xc3\xa1a"),
    (b"\x00\xff", b"\xc4\x02\x00\xff"),
    (2**64 - 1, b"\xcf" + b"\xff" * 8),
    (-(2**63), b"\xd3\x80" + b"\0" * 7),
    (-0.0, b"\xcb\x80" + b"\0" * 7),
    (NAN, b"\xcb\x7f\xf8" + b"\0" * 6),
    (float("-inf"), b"\xcb\xff\xf0" + b"\0" * 6),
    (NOON, b"\xd6\xff\x65\x93\xfa\xc0"),
    (datetime(1, 1, 1, microsecond=1, tzinfo=UTC), b"\xc7\x0c\xff\0\0\x03\xe8\xff\xff\xff\xf1\x88\x6e\x09\0"),
    ({1: "a", "b": 2}, b"\x82\x01\xa1a\xa1b\x02"),
    ({None: 1, True: 2, 2.5: 3}, b"\x83\xc0\x01\xc3\x02\xcb\x40\x04\0\0\0\0\0\0\x03"),
    ({(1, b"x"): 1, NOON: 2}, b"\x82\x92\x01\xc4\x01x\x01\xd6\xff\x65\x93\xfa\xc0\x02"),
    # extension types
    (2**64, WIDE),
    (Decimal("1.50"), b"\xd6\x021.50"),
    (UUID(int=1), b"\xd8\x03" + b"\0" * 15 + b"\x01"),
    (NOON.replace(tzinfo=None), b"\xc7\x13\x042024-01-02T12:00:00"),
    (NOON.replace(fold=1), b"\xc7\x21\x042024-01-02T12:00:00+00:00[fold=1]"),
    (NOON.astimezone(timezone(timedelta(hours=1))), b"\xc7\x19\x042024-01-02T13:00:00+01:00"),
    (NOON.replace(tzinfo=ZoneInfo("UTC")), b"\xc7\x1e\x042024-01-02T12:00:00+00:00[UTC]"),
    (date(2024, 1, 2), b"\xc7\x0a\x052024-01-02"),
    (time(1, 2, 3), b"\xd7\x0601:02:03"),
    # tags, as in JSON
    ((1, 2), tagged("Tuple", b"\x92\x01\x02")),
    ({3, 1, 2}, tagged("Set", b"\x93\x01\x02\x03")),
    (timedelta(days=-1, microseconds=5), tagged("Duration", b"\x93\xff\x00\x05")),
    ({"_type": 1}, tagged("Object", b"\x91\x92\xa5_type\x01")),
    ({"_type": 1, 2: 3}, tagged("Map", b"\x92\x92\xa5_type\x01\x92\x02\x03")),
    ({Mood.CALM: 1}, tagged("Map", b"\x91\x92" + tagged("Mood", b"\xa4CALM") + b"\x01")),
    ({2**64: 1, (2**64,): -1}, b"\x82%b\x01\x91%b\xff" % (WIDE, WIDE)),
    (Secret(b"x"), tagged("Secret", b"\xc4\x01x")),
]


@pytest.mark.parametrize(("value", "content"), TABLE, ids=lambda item: str(item)[:40])
def test_each_type_has_one_form_and_comes_back(value: Any, content: bytes):
    written = registered(MsgpackSerializer).encode(value)

    assert content == written
    assert same(value, registered(MsgpackSerializer).decode(written))


@pytest.mark.parametrize(
    ("annotation", "value", "content"),
    [
        (bytes, b"x", b"\xc4\x01x"),
        (UUID, UUID(int=1), b"\xc4\x10" + b"\0" * 15 + b"\x01"),
        (datetime, NOON, b"\xd6\xff\x65\x93\xfa\xc0"),
        (datetime, NOON.replace(tzinfo=None), b"\xb32024-01-02T12:00:00"),
        (date, date(2024, 1, 2), b"\xaa2024-01-02"),
        (Decimal, Decimal("1.5"), b"\xa31.5"),
        (int, 2**64, WIDE),
        (float, NAN, b"\xcb\x7f\xf8" + b"\0" * 6),
        (dict[int, str], {1: "a"}, b"\x81\x01\xa1a"),
        (dict[int, str], {}, b"\x80"),
        (dict[date, int], {date(2024, 1, 2): 1}, b"\x81\xaa2024-01-02\x01"),
        (dict[UUID, int], {UUID(int=1): 1}, b"\x81\xc4\x10" + b"\0" * 15 + b"\x01\x01"),
        (dict[int | str, int], {"_type": 1}, tagged("Map", b"\x91\x92\xa5_type\x01")),
        (dict[int, int], {2**64: 1}, b"\x81%b\x01" % WIDE),
        (Wide, Wide.BIG, WIDE),
        (list[int | str], [2**64, "a"], b"\x92%b\xa1a" % WIDE),
        (frozenset[int], frozenset({1}), b"\x83\xa5_type\xa3Set\xa6frozen\xc3\xa4data\x91\x01"),
        # text is what the others are not
        (bytes | UUID | datetime | str, b"x", b"\xc4\x01x"),
        (bytes | UUID | datetime | str, UUID(int=1), b"\xd8\x03" + b"\0" * 15 + b"\x01"),
        (bytes | UUID | datetime | str, NOON, b"\xd6\xff\x65\x93\xfa\xc0"),
        (bytes | UUID | datetime | str, NOON.replace(tzinfo=None), b"\xc7\x13\x042024-01-02T12:00:00"),
        (bytes | UUID | datetime | str, "x", b"\xa1x"),
    ],
    ids=lambda item: str(item)[:40],
)
def test_the_form_of_a_declared_type(annotation: Any, value: Any, content: bytes):
    serializer = MsgpackSerializer()

    assert content == serializer.encode(value, as_type=annotation)
    assert same(value, serializer.decode(content, as_type=annotation))


def test_equal_sets_have_equal_bytes():
    members: list[Any] = [b"a", NOON, 2**70, "b", 1, UUID(int=1), (1, NOON), *range(100)]
    forward, backward = set(members), {*members[::-1]}

    assert MsgpackSerializer().encode(forward) == MsgpackSerializer().encode(backward)


def test_both_names_of_the_two_functions_give_bytes():
    serializer = MsgpackSerializer()

    assert serializer.serialize([1]) == serializer.encode([1]) == b"\x91\x01"
    assert serializer.deserialize(b"\x91\x01") == [1]


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b"\x81\xa1a\x91\xd4\x09x", "$.a[0]"),
        (b"\x91\xd4\x02x", "$[0]"),
        (b"\x91\xd4\x02\xff", "$[0]"),
        (b"\x91\xd4\x03x", "$[0]"),
        (b"\x91\xd4\x01x", "$[0]"),
        (b"\x91\xc8\x27\x10\x01" + b"9" * 10_000, "$[0]"),
        (b"\x91\xd4\x04x", "$[0]"),
        (b"\x91\xd4\x80x", "$[0]"),
        (b"\x81\x92\x01\xc0\xd4\x02x", "$['(1, None) (tuple)']"),
        (b"\x83\xa5_type\xa3Set\xc0\xc3\xa4data\x90", "$"),
        (b"\x83\xa5_type\xa3Set\x01\xc3\xa4data\x90", "$"),
    ],
)
def test_a_tag_that_cannot_be_read_is_an_error_with_its_path(content: bytes, path: str):
    with pytest.raises(SerializationError) as caught:
        MsgpackSerializer().decode(content)

    assert path == caught.value.path


@pytest.mark.parametrize(
    "content",
    [
        b"\x81\xd4\x02x\x01",
        b"\x81\x80\x01",
        b"\x81\x91\x91\x80\x01",
        b"\xd6\xff\xff",
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\xc7\x03\xff\xff\xff\xff",
    ],
)
def test_what_no_messagepack_writer_writes_is_refused(content: bytes):
    with pytest.raises(SerializationError, match="expected MessagePack"):
        MsgpackSerializer().decode(content)


@frozen
class Typed:
    key: bytes = b""


def test_a_field_holds_no_extension_type_but_its_own():
    serializer = MsgpackSerializer()
    content = serializer.encode({"key": Decimal(1)})
    with pytest.raises(SerializationError, match=r"\$\.key"):
        serializer.decode(content, as_type=Typed)
