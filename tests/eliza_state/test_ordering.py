from __future__ import annotations

import datetime
import enum
import math
import uuid
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.ordering import Kind, after_kind, decode, encode, encode_prefix, kind_of, order_key
from tests.effort import examples


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


numbers = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 10**400, -(10**400), 0.0, -0.0]),
)
values = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.text(),
    st.sampled_from(["a", "a\0", "a\0\0", "a\xff", "ab"]),
    st.binary(),
    st.datetimes(timezones=st.just(datetime.UTC)),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
)


@settings(max_examples=examples(500))
@given(values, values)
def test_encoded_values_sort_and_differ_as_the_values_do(one, other):
    mine, theirs = order_key(one), order_key(other)

    assert (encode(one) < encode(other)) == (mine < theirs)
    assert (encode(one) == encode(other)) == (mine == theirs)


@settings(max_examples=examples(300))
@given(values)
def test_an_encoded_value_can_be_read_back(value):
    assert order_key(decode(encode(value))) == order_key(value)


@settings(max_examples=examples(300))
@given(values, values, values, values)
def test_encoded_values_in_a_row_sort_like_tuples(one, two, three, four):
    mine, theirs = (order_key(one), order_key(two)), (order_key(three), order_key(four))

    assert (encode(one) + encode(two) < encode(three) + encode(four)) == (mine < theirs)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, Kind.NOTHING),
        (True, Kind.TRUTH),
        (1, Kind.NUMBER),
        (1.5, Kind.NUMBER),
        (Decimal("0.1"), Kind.NUMBER),
        ("a", Kind.TEXT),
        (b"a", Kind.BYTES),
        (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), Kind.MOMENT),
        (datetime.datetime(2026, 1, 1), Kind.LOCAL),  # noqa: DTZ001
        (datetime.date(2026, 1, 1), Kind.DATE),
        (datetime.timedelta(1), Kind.DURATION),
        (uuid.UUID(int=1), Kind.UUID),
        (Colour.RED, Kind.CHOICE),
        (math.nan, Kind.OTHER),
        ([1], Kind.OTHER),
    ],
)
def test_every_value_has_a_kind(value, kind):
    assert kind_of(value) is kind


def test_one_is_not_true():
    assert encode(1) != encode(True)
    assert encode(1) == encode(1.0)


def test_a_decimal_is_not_the_float_beside_it():
    assert encode(Decimal("0.1")) != encode(0.1)
    assert decode(encode(Decimal("0.1"))) == Decimal("0.1")


def test_texts_with_a_beginning_lie_within_its_bounds():
    low, high = encode_prefix("a\0")
    inside = [low <= encode(text) < high for text in ["a\0", "a\0b", "a\0\U0010ffff", "a", "b", "a\x01"]]

    assert inside == [True, True, True, False, False, False]


def test_a_kind_ends_where_the_next_one_begins():
    assert encode("\U0010ffff" * 3) < after_kind(Kind.TEXT) <= encode(b"")


def test_a_choice_cannot_be_read_back():
    with pytest.raises(ValueError, match="CHOICE"):
        decode(encode(Colour.RED))
