"""Values without a declared type come back equal, of the same types, or are refused with their path."""

import threading
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings

from eliza_serializers import JsonSerializer, SerializationError
from tests.serializers.strategies import same, serializer, values

SERIALIZER = serializer()


@given(values)
@settings(max_examples=500, deadline=None)
def test_every_value_comes_back_equal_and_of_the_same_types(value: Any):
    text = SERIALIZER.serialize(value)

    assert same(value, SERIALIZER.deserialize(text))
    assert same(value, SERIALIZER.deserialize(text.encode()))


@given(values)
@settings(max_examples=100, deadline=None)
def test_writing_leaves_the_value_alone(value: Any):
    before = repr(value)
    SERIALIZER.serialize([value, {"a": value}])

    assert before == repr(value)


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Text(str):
    pass


Pair = namedtuple("Pair", "left right")


@attrs.frozen
class Unregistered:
    x: int = 1


UNWRITABLE: list[Callable[[], Any]] = [
    threading.Lock,
    lambda: test_writing_leaves_the_value_alone,
    lambda: (i for i in ()),
    Unregistered,
    object,
    lambda: int,
    lambda: Colour.RED,
    lambda: Size.SMALL,
    lambda: Text("a"),
    lambda: Pair(1, 2),
    OrderedDict,
    lambda: defaultdict(int),
    lambda: MappingProxyType({}),
    lambda: bytearray(b"a"),
    lambda: 1j,
    lambda: range(3),
    lambda: "\ud800",
    lambda: {"\udfff": 1},
    lambda: 10**5000,
]


@pytest.mark.parametrize("make", UNWRITABLE)
def test_what_would_not_come_back_the_same_is_refused(make: Callable[[], Any]):
    with pytest.raises(SerializationError) as caught:
        JsonSerializer().serialize({"messages": [0, 1, 2, {"meta": make()}]})

    assert caught.value.path in ("$.messages[3].meta", "$")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"messages": [1, 2, 3, {"meta": {"lock": threading.Lock()}}]}, "$.messages[3].meta.lock"),
        ({"a b": (1, object())}, "$['a b'][1]"),
        ({1: {2: object()}}, "$[1][2]"),
        ({"_type": object()}, "$._type"),
        ({"a": ["x", {"b": "\ud800"}]}, "$.a[1].b"),
        ({"a": {"\ud800": 1}}, "$.a"),
    ],
)
def test_the_error_names_the_place(value: Any, path: str):
    with pytest.raises(SerializationError) as caught:
        JsonSerializer().serialize(value)

    assert path == caught.value.path


def test_a_cycle_is_an_error():
    cycle: list[Any] = []
    cycle.append({"again": [cycle, cycle]})

    with pytest.raises(SerializationError, match="contains itself"):
        JsonSerializer().serialize(cycle)


def test_a_shared_value_is_no_cycle():
    shared = {"a": [1]}

    assert JsonSerializer().deserialize(JsonSerializer().serialize([shared] * 3)) == [shared] * 3


def nested(depth: int, *, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: {1: v}])
@pytest.mark.parametrize("depth", [201, 5_000])
def test_depth_is_bounded_when_writing(wrap: Callable[[Any], Any], depth: int):
    with pytest.raises(SerializationError):
        JsonSerializer().serialize(nested(depth, wrap=wrap))


def test_what_is_within_the_depth_is_written_and_read():
    serializer = JsonSerializer(max_depth=10)
    value = nested(10, wrap=lambda v: [v])

    assert serializer.deserialize(serializer.serialize(value)) == value
    with pytest.raises(SerializationError):
        serializer.serialize([value])
    with pytest.raises(SerializationError):
        serializer.deserialize("[" * 11 + "]" * 11)


def test_an_interpreter_that_runs_out_of_stack_is_an_error_too():
    serializer = JsonSerializer(max_depth=10**9)

    with pytest.raises(SerializationError):
        serializer.serialize(nested(50_000, wrap=lambda v: [v]))
    with pytest.raises(SerializationError):
        serializer.deserialize("[" * 900 + '{"_type":"Tuple","data":[' * 200)


def test_size_is_bounded_both_ways():
    serializer = JsonSerializer(max_size_bytes=10)

    assert serializer.deserialize(serializer.serialize("12345678")) == "12345678"
    with pytest.raises(SerializationError, match="10 bytes"):
        serializer.serialize("123456789")
    with pytest.raises(SerializationError, match="10 bytes"):
        serializer.deserialize('"123456789"')


@pytest.mark.parametrize("options", [{"max_depth": 0}, {"max_size_bytes": 0}])
def test_bounds_are_positive(options: dict[str, int]):
    with pytest.raises(ValueError, match="positive"):
        JsonSerializer(**options)


def test_text_that_escapes_the_key_is_read_as_a_tag():
    assert JsonSerializer().deserialize('{"\\u005ftype":"Set","data":[1]}') == {1}
