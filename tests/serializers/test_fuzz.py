"""Whatever the bytes: a value, or a SerializationError, and nothing else."""

import random
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import JsonSerializer, Secret, SerializationError
from tests.serializers.strategies import Mood, Place, same, serializer, values

SERIALIZER = serializer()


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


TYPES: list[Any] = [
    Target,
    list[Target],
    dict[str, Any],
    set[Decimal],
    Place | None,
    float,
    int,
    str,
    datetime,
]


def check(text: bytes) -> None:
    for as_type in (None, *TYPES):
        try:
            value = (
                SERIALIZER.deserialize(text)
                if as_type is None
                else SERIALIZER.deserialize(text, as_type=as_type)
            )
        except SerializationError:
            continue
        written = (
            SERIALIZER.serialize(value) if as_type is None else SERIALIZER.serialize(value, as_type=as_type)
        )
        read = (
            SERIALIZER.deserialize(written)
            if as_type is None
            else SERIALIZER.deserialize(written, as_type=as_type)
        )
        assert same(value, read)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes(data: bytes):
    check(data)


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


@given(documents)
@settings(max_examples=400, deadline=None)
def test_documents_of_tags_in_wrong_places(document: Any):
    import msgspec

    check(msgspec.json.encode(document))


@given(values, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_valid_documents_with_bytes_changed(value: Any, randomness: random.Random):
    data = bytearray(SERIALIZER.serialize(value).encode())
    for _ in range(randomness.randint(1, 3)):
        place = randomness.randrange(len(data))
        change = randomness.choice(["flip", "drop", "copy"])
        if change == "flip":
            data[place] = randomness.choice(b'"[]{},:0\\u-e. \xff\x00')
        elif change == "drop":
            del data[place : place + randomness.randint(1, 4)]
        else:
            data[place:place] = data[: randomness.randint(0, 20)]
        if not data:
            break
    check(bytes(data))


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
    check(bomb)


def test_text_with_a_lone_surrogate_is_refused():
    with pytest.raises(SerializationError):
        JsonSerializer().deserialize('"\ud800"')
