"""Whatever the bytes: a value, or a SerializationError, and nothing else."""

import random
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import JsonSerializer, MsgpackSerializer, Secret, SerializationError, Serializer
from tests.effort import examples
from tests.serializers.formats import Kind, ready_made_kinds, registered
from tests.serializers.strategies import Mood, Place, same, values

SERIALIZERS: dict[Kind, Serializer] = {kind: registered(kind) for kind in (JsonSerializer, MsgpackSerializer)}


@frozen
class Target:
    name: str
    at: datetime | None = None
    number: float = 0.0
    places: list[Place] = field(factory=list)
    by_key: Mapping[tuple[int, str], Decimal] = field(factory=dict)
    mixed: Mood | Place | set[int] | None = None
    secret: Secret[bytes] | None = None
    anything: Any = None


FLIPPED: dict[Kind, bytes] = {
    JsonSerializer: b'"[]{},:0\\u-e. \xff\x00',
    MsgpackSerializer: b"\x00\x7f\x80\x81\x91\xa1\xc0\xc1\xc3\xc4\xc7\xcb\xcf\xd3\xd4\xd6\xd7\xd8\xdc\xff",
}
TYPES: list[Any] = [
    Target,
    list[Target],
    dict[str, Any],
    set[Decimal],
    Place | None,
    bytes | UUID | str,
    dict[int, bytes],
    float,
    int,
    str,
    datetime,
]


def check(kind: Kind, content: bytes) -> None:
    serializer = SERIALIZERS[kind]
    for options in ({}, *({"as_type": as_type} for as_type in TYPES)):
        try:
            value = serializer.decode(content, **options)
        except SerializationError:
            continue

        assert same(value, serializer.decode(serializer.encode(value, **options), **options))


@ready_made_kinds
@given(data=st.binary(max_size=60))
@settings(max_examples=examples(150), deadline=None)
def test_any_bytes(kind: Kind, data: bytes):
    check(kind, data)


tags = st.sampled_from(
    [
        *(
            [
                "Map",
                "Set",
                "Tuple",
                "Object",
                "Int",
                "Float",
                "Bytes",
                "DateTime",
                "Date",
                "Time",
                "Duration",
                "Decimal",
                "UUID",
                "Secret",
            ]
        ),
        *(["Mood", "Level", "Place", "Nothing"]),
    ]
)
json_text = st.sampled_from(
    [
        "",
        "nan",
        "1",
        "CALM",
        "2024-01-01",
        "2024-01-01T00:00:00+00:00[UTC]",
        "00:00[fold=1]",
        "YQ==",
        "1e9",
        "-0",
    ]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | json_text | st.text(max_size=4),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(st.tuples(inner, inner).map(list), max_size=3),
        st.fixed_dictionaries({"_type": tags, "data": inner}),
        st.fixed_dictionaries({"_type": tags, "data": inner, "frozen": st.booleans()}),
        st.fixed_dictionaries(
            {"name": inner}, optional=dict.fromkeys(["at", "places", "mixed", "secret"], inner)
        ),
        st.dictionaries(st.sampled_from(["_type", "data", "a"]), inner, max_size=3),
    ),
    max_leaves=10,
)


# What MessagePack has beside JSON: extension types of every code, other keys, arrays among them.
extensions = st.builds(
    msgspec.msgpack.Ext,
    st.integers(-2, 8),
    st.binary(max_size=16) | json_text.map(str.encode),
)
binary_keys = st.integers(-2, 2) | st.binary(max_size=2) | st.none() | st.tuples(st.integers(0, 2))
binary_documents = st.recursive(
    documents | extensions | st.binary(max_size=4),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.fixed_dictionaries({"_type": tags, "data": inner}),
        st.fixed_dictionaries({"name": inner}, optional=dict.fromkeys(["at", "by_key", "secret"], inner)),
        st.dictionaries(binary_keys | st.sampled_from(["_type", "data", "a"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@ready_made_kinds
@given(data=documents)
@settings(max_examples=examples(200), deadline=None)
def test_documents_of_tags_in_wrong_places(kind: Kind, data: Any):
    check(kind, kind.format.encode(data))


@given(binary_documents)
@settings(max_examples=examples(200), deadline=None)
def test_documents_of_extension_types_in_wrong_places(data: Any):
    check(MsgpackSerializer, MsgpackSerializer.format.encode(data))


@ready_made_kinds
@given(value=values, randomness=st.randoms(use_true_random=False))
@settings(max_examples=examples(100), deadline=None)
def test_valid_documents_with_bytes_changed(kind: Kind, value: Any, randomness: random.Random):
    data = bytearray(SERIALIZERS[kind].encode(value))
    for _ in range(randomness.randint(1, 3)):
        place = randomness.randrange(len(data))
        change = randomness.choice(["flip", "drop", "copy"])
        if change == "flip":
            data[place] = randomness.choice(FLIPPED[kind])
        elif change == "drop":
            del data[place : place + randomness.randint(1, 4)]
        else:
            data[place:place] = data[: randomness.randint(0, 20)]
        if not data:
            break
    check(kind, bytes(data))


BOMBS = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"_type":"Tuple","data":[' * 50_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"name":"x","anything":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b"1e999999",
    b"-1e999999",
    b"1e-999999",
    b"9" * 100_000,
    b'{"_type":"Int","data":"' + b"9" * 100_000 + b'"}',
    b'{"_type":"Set","data":[{"_type":"Decimal","data":"1e999999999"},1]}',
    b'{"_type":"Decimal","data":"1e99999999999999999999999"}',
    b'{"_type":"Set","data":[{"_type":"Decimal","data":"sNaN"}]}',
    b'{"_type":"Map","data":[[{"_type":"Decimal","data":"sNaN"},1]]}',
    b'"\\ud800"',
    b'"\xed\xa0\x80"',
    b"\xff\xfe",
    b"\xef\xbb\xbf1",
    b"",
    b"nul",
    b"NaN",
    b"1 1",
    b'{"a":1,"a":2}',
    b'{"_type":"DateTime","data":"0001-01-01T00:00:00+23:59[America/New_York]"}',
    b'{"_type":"DateTime","data":"9999-12-31T23:59:59-23:59[America/New_York]"}',
    b'{"_type":"Time","data":"24:00"}',
]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: repr(bomb[:40]))
def test_bombs(bomb: bytes):
    check(JsonSerializer, bomb)


TUPLE = b"\x82\xa5_type\xa5Tuple\xa4data\x91"

PACKED_BOMBS = [
    b"\x91" * 100_000,
    b"\x81\xa1a" * 100_000,
    b"\x81" * 100_000,
    TUPLE * 50_000,
    b"\x91" * 100_000 + b"\x90",
    b"\x81" + b"\x91" * 500 + b"\x01\x01",
    b"\x81" + b"\x91" * 100_000 + b"\x01\x01",
    b"\x82\xa4name\xa1x\xa8anything" + b"\x91" * 500 + b"\x90",
    b"\x82\xa4name\xa1x\xa8anything" + b"\x91" * 5_000 + b"\x90",
    # lengths that are not there
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xdd\x0f\xff\xff\xff" * 900,
    b"\x81\xdd\xff\xff\xff\xff",
    b"\xc8\x27\x10\x01" + b"9" * 10_000,
    b"\xc7\x0b\x021e999999999",
    tagged_set := b"\x82\xa5_type\xa3Set\xa4data\x92\xc7\x0b\x021e999999999\x01",
    tagged_set.replace(b"\xc7\x0b\x021e999999999", b"\xd6\x02sNaN"),
    b"\x82\xa5_type\xa3Map\xa4data\x91\x92\xd6\x02sNaN\x01",
    b"\xc7\x2c\x040001-01-01T00:00:00+23:59[America/New_York]",
    b"\xa3\xed\xa0\x80",
    b"\x82\xa1a\x01\xa1a\x02",
    b"\x82\x01\x01\xc3\x02",
    b"\x81\xcb\x7f\xf8\0\0\0\0\0\0\x01",
    b"\xca\x7f\xc0\0\0",
    b"\xc1",
    b"",
    b"\x01\x01",
]


@pytest.mark.parametrize("bomb", PACKED_BOMBS, ids=lambda bomb: repr(bomb[:40]))
def test_packed_bombs(bomb: bytes):
    check(MsgpackSerializer, bomb)


@pytest.mark.parametrize("kind", SERIALIZERS)
def test_a_document_of_the_other_format_is_refused(kind: Kind):
    other = MsgpackSerializer if kind is JsonSerializer else JsonSerializer
    with pytest.raises(SerializationError):
        kind().decode(other().encode({"a": [1, "text"]}))
