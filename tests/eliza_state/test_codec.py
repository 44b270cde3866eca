"""Events as JSON text, and the persistent collections in any value."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_serializers import Seal
from eliza_serializers.errors import SerializationError
from eliza_serializers.json import JsonSerializer
from eliza_serializers.sealing import SecretKeys
from eliza_serializers.secret import Secret
from eliza_state.codec import (
    PLAIN,
    SERIALIZER,
    Codec,
    codec_of,
    decode,
    encode,
    register_collections,
    structure,
)
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.errors import InvalidEvent
from eliza_state.event import event, event_type


@attrs.frozen
class Place:
    name: str
    tags: frozenset[str] = frozenset()


class Mood(enum.Enum):
    FINE = "fine"


@event("visited")
class Visited:
    user: str
    place: Place
    times: int = 1
    at: datetime.datetime | None = None
    extra: Any = None


@event("grown", version=2, upcasters={1: lambda old: {"length_cm": round(old["length_m"] * 100)}})
class Grown:
    length_cm: int


PLACE = {"name": "home"}


def roundtrip(happened: Any) -> Any:
    kind = event_type(type(happened))
    return decode(kind, encode(happened), schema_version=kind.version)


def test_an_event_comes_back():
    noon = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
    visited = Visited(
        user="ada", place=Place("home", frozenset({"a"})), times=2, at=noon, extra={1: (2, b"3")}
    )

    assert visited == roundtrip(visited)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**70), 2**70))
def test_any_text_and_number_comes_back(text, number):
    visited = Visited(user=text, place=Place(text), times=number, extra=[text, number])

    assert visited == roundtrip(visited)


def test_the_payload_is_json():
    assert json.loads(encode(Visited(user="ada", place=Place("home"))))["place"]["name"] == "home"


@pytest.mark.parametrize(
    ("happened", "field"),
    [
        (Visited(user=5, place=Place("home")), "user"),
        (Visited(user="ada", place="home"), "place"),
        (Visited(user="ada", place=Place(5)), "place.name"),
        (Visited(user="ada", place=Place("home"), times="often"), "times"),
        (Visited(user="\ud800", place=Place("home")), "user"),
        (Visited(user="ada", place=Place("home"), extra=object()), "extra"),
        (Visited(user="ada", place=Place("home"), extra=[1, {"deep": object()}]), r"extra\[1\]\.?\[?.*deep"),
    ],
)
def test_a_value_that_cannot_be_written_is_named(happened, field):
    with pytest.raises(InvalidEvent, match=rf"visited: .*{field}"):
        encode(happened)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"place": PLACE}, "user"),
        ({"user": "ada"}, "place"),
        ({"user": 5, "place": PLACE}, "user"),
        ({"user": "ada", "place": {"name": None}}, "place.name"),
        ({"user": "ada", "place": PLACE, "times": "x"}, "times"),
        ({"user": "ada", "place": PLACE, "time": 2}, "time"),
    ],
)
def test_a_payload_that_does_not_fit_names_the_field(payload, message):
    with pytest.raises(InvalidEvent, match=rf"visited: .*{message}"):
        structure(event_type(Visited), payload)


def test_a_plain_payload_becomes_the_event():
    made = structure(event_type(Visited), {"user": "ada", "place": PLACE, "at": "2024-05-01T12:00:00+00:00"})

    assert (
        Visited(user="ada", place=Place("home"), at=datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC))
        == made
    )


def test_an_older_payload_is_upcast():
    assert Grown(length_cm=150) == decode(event_type(Grown), b'{"length_m": 1.5}', schema_version=1)


def test_payloads_are_decoded_together() -> None:
    events = [Visited(user=str(number), place=Place("home"), extra={number: (1,)}) for number in range(3)]

    assert events == PLAIN.decode_all(event_type(Visited), [encode(each) for each in events])
    assert [] == PLAIN.decode_all(event_type(Visited), [])


@pytest.mark.parametrize("odd", [b'{"user":5}', b"", b"no JSON", b"{},{}"])
def test_a_payload_that_does_not_fit_is_told_among_others(odd: bytes) -> None:
    fine = encode(Visited(user="ada", place=Place("home")))

    with pytest.raises(InvalidEvent, match="visited: "):
        PLAIN.decode_all(event_type(Visited), [fine, odd, fine])


@attrs.frozen
class Marks:
    """What only its declared type can read whole."""

    ids: frozenset[uuid.UUID]
    pairs: set[tuple[int, str]]
    places: dict[tuple[int, str], datetime.date]
    days: Log[datetime.date]
    owned: Map[uuid.UUID, Place]
    known: Entities[Place]
    pin: Secret[str]
    extra: Any = None


@event("marked")
class OldMarked:
    marks: Marks


@event("marked", version=2, upcasters={1: lambda old: {**old, "is_upcast": True}})
class Marked:
    marks: Marks
    is_upcast: bool


def test_what_an_upcaster_leaves_alone_comes_out_as_it_was():
    key, day = uuid.uuid4(), datetime.date(2024, 5, 1)
    marks = Marks(
        ids=frozenset({key}),
        pairs={(1, "a")},
        places={(1, "a"): day},
        days=Log([day]),
        owned=Map({key: Place("home")}),
        known=Entities([Place("home")], key="name"),
        pin=Secret("1234"),
        extra=(1, {2}, [Map({"a": 1})]),
    )
    payload = encode(OldMarked(marks=marks))

    assert Marked(marks=marks, is_upcast=True) == decode(event_type(Marked), payload, schema_version=1)


def test_an_upcaster_sees_plain_data():
    data = PLAIN.plain(
        b'{"text": "x", "at": "2024-05-01", "tags": {"_type": "Set", "data": ["a"]},'
        b' "pairs": {"_type": "Set", "data": [[1, "a"]]}, "pin": {"_type": "Secret", "data": "1234"}}'
    )

    assert {
        "text": "x",
        "at": "2024-05-01",
        "tags": {"a"},
        "pairs": {"_type": "Set", "data": [[1, "a"]]},
        "pin": Secret("1234"),
    } == data


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"a": "\xff"}', b"[" * 100_000])
def test_plain_data_comes_from_json_alone(text):
    with pytest.raises(SerializationError):
        PLAIN.plain(text)


def test_a_payload_of_a_newer_version_is_refused():
    with pytest.raises(InvalidEvent, match="run the newer code"):
        decode(event_type(Grown), b"{}", schema_version=3)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"length_cm": "x"}', b"\xff"])
def test_a_damaged_payload_is_refused(text):
    with pytest.raises(InvalidEvent, match="grown"):
        decode(event_type(Grown), text, schema_version=2)


@pytest.mark.parametrize(
    "value",
    [
        Log(["a", "b"]),
        Set(["b", "a"]),
        Map({"a": 1, 2: [3]}),
        Entities([Place("home")], key="name"),
        {"nested": [Log([Set([1]), Map({"a": Log([1])})])]},
        Log(),
    ],
)
def test_collections_come_back_in_any_value(value):
    serializer = register_collections(JsonSerializer())
    serializer.register_type(
        Place,
        tag="Place",
        to_data=lambda place: place.name,
        from_data=Place,
        shape=str,
    )
    restored = serializer.deserialize(serializer.serialize(value))

    assert (type(value), value) == (type(restored), restored)


# One codec for all, or one of a store's own


@attrs.frozen
class Registered:
    """What stands in a field of any type."""

    text: str


@event("anything_held")
class AnythingHeld:
    value: Any


@pytest.mark.parametrize("secrets", [None, SecretKeys({"a": b"k" * 32})])
def test_what_is_registered_stands_in_any_event(secrets: Seal | None) -> None:
    SERIALIZER.register(Registered, name="tests.codec.Registered")
    codec = codec_of(secrets)
    held = AnythingHeld(value=[Registered("a")])

    assert held == codec.decode(event_type(AnythingHeld), codec.encode(held), schema_version=1)


def test_a_class_may_be_registered_once_its_event_was_refused() -> None:
    @attrs.frozen
    class Late:
        text: str

    held = AnythingHeld(value=Late("a"))
    with pytest.raises(InvalidEvent, match="register"):
        codec_of(None).encode(held)
    SERIALIZER.register(Late, name="tests.codec.Late")

    assert held == roundtrip(held)


@attrs.frozen
class Amount:
    cents: int


@event("amount_paid")
class AmountPaid:
    amount: Amount


def test_a_class_that_is_taught_later_is_written_the_new_way_in_events_written_before() -> None:
    codec = Codec()
    paid = AmountPaid(amount=Amount(5))
    before = codec.encode(paid)
    codec.serializer.register_type(
        Amount,
        tag="tests.codec.Amount",
        to_data=lambda amount: str(amount.cents),
        from_data=lambda data: Amount(int(data)),
        bare=True,
        shape=str,
    )

    assert (b'{"amount":{"cents":5}}', b'{"amount":"5"}') == (before, codec.encode(paid))
    assert paid == codec.decode(event_type(AmountPaid), codec.encode(paid), schema_version=1)
    assert [paid] == codec.decode_all(event_type(AmountPaid), [codec.encode(paid)])


def test_stores_without_keys_share_what_is_compiled() -> None:
    assert codec_of(None) is codec_of(None)
    assert codec_of(SecretKeys({"a": b"k" * 32})) is not codec_of(None)


def test_threads_may_meet_a_class_for_the_first_time_together() -> None:
    with ThreadPoolExecutor(8) as threads:
        for number in range(20):

            @event(f"met_{number}")
            class Met:
                place: Place
                moods: dict[str, Mood]

            met = Met(place=Place("home", frozenset({"a"})), moods={"a": Mood.FINE})
            assert all(met == each for each in threads.map(roundtrip, [met] * 32))


def test_an_event_whose_types_cannot_be_had_is_refused() -> None:
    class Hidden:
        pass

    @event("hiding")
    class Hiding:
        what: Hidden

    with pytest.raises(
        InvalidEvent, match=r"hiding: .*'Hidden'.* is not known: define the class at module level"
    ):
        encode(Hiding(what=Hidden()))
