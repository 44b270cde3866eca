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

from eliza_serializers import SerializationError
from tests.effort import examples
from tests.serializers.formats import Kind, every_kind, registered
from tests.serializers.strategies import same, values


@every_kind
@given(value=values)
@settings(max_examples=examples(200), deadline=None)
def test_every_value_comes_back_equal_and_of_the_same_types(kind: Kind, value: Any):
    serializer = registered(kind)

    assert same(value, serializer.decode(serializer.encode(value)))


@every_kind
@given(value=values)
@settings(max_examples=examples(50), deadline=None)
def test_writing_leaves_the_value_alone(kind: Kind, value: Any):
    before = repr(value)
    registered(kind).encode([value, {"a": value}])

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


@every_kind
@pytest.mark.parametrize("make", UNWRITABLE)
def test_what_would_not_come_back_the_same_is_refused(kind: Kind, make: Callable[[], Any]):
    with pytest.raises(SerializationError) as caught:
        kind().encode({"messages": [0, 1, 2, {"meta": make()}]})

    assert caught.value.path in ("$.messages[3].meta", "$")


@every_kind
@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"messages": [1, 2, 3, {"meta": {"lock": threading.Lock()}}]}, "$.messages[3].meta.lock"),
        ({"a b": (1, object())}, "$['a b'][1]"),
        ({1: {2: object()}}, "$[1][2]"),
        ({(1, b"x"): [object()]}, "$[\"(1, b'x') (tuple)\"][0]"),
        ({None: {"x": object()}}, "$['None (NoneType)'].x"),
        ({"_type": object()}, "$._type"),
        ({"a": ["x", {"b": "\ud800"}]}, "$.a[1].b"),
        ({"a": {"\ud800": 1}}, "$.a"),
    ],
)
def test_the_error_names_the_place(kind: Kind, value: Any, path: str):
    with pytest.raises(SerializationError) as caught:
        kind().encode(value)

    assert path == caught.value.path


@every_kind
def test_a_cycle_is_an_error(kind: Kind):
    cycle: list[Any] = []
    cycle.append({"again": [cycle, cycle]})

    with pytest.raises(SerializationError, match="contains itself"):
        kind().encode(cycle)


@every_kind
def test_a_shared_value_is_no_cycle(kind: Kind):
    shared = {"a": [1]}

    assert kind().decode(kind().encode([shared] * 3)) == [shared] * 3


def nested(depth: int, *, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = wrap(value)
    return value


@every_kind
@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: {1: v}])
@pytest.mark.parametrize("depth", [201, 5_000])
def test_depth_is_bounded_when_writing(kind: Kind, wrap: Callable[[Any], Any], depth: int):
    with pytest.raises(SerializationError):
        kind().encode(nested(depth, wrap=wrap))


@every_kind
def test_depth_is_bounded_inside_keys(kind: Kind):
    serializer = kind(max_depth=20)
    deep = {nested(30, wrap=lambda v: (v,)): 1}

    with pytest.raises(SerializationError):
        serializer.encode(deep)
    with pytest.raises(SerializationError):
        serializer.decode(kind().encode(deep))


@every_kind
def test_what_is_within_the_depth_is_written_and_read(kind: Kind):
    serializer = kind(max_depth=10)
    value = nested(10, wrap=lambda v: [v])

    assert serializer.decode(serializer.encode(value)) == value
    with pytest.raises(SerializationError):
        serializer.encode([value])
    with pytest.raises(SerializationError, match="deeply"):
        serializer.decode(kind().encode([value]))


@every_kind
def test_an_interpreter_that_runs_out_of_stack_is_an_error_too(kind: Kind):
    serializer = kind(max_depth=10**9)

    with pytest.raises(SerializationError):
        serializer.encode(nested(50_000, wrap=lambda v: [v]))


@every_kind
def test_size_is_bounded_both_ways(kind: Kind):
    serializer = kind(max_size_bytes=10)

    assert serializer.decode(serializer.encode("12345678")) == "12345678"
    with pytest.raises(SerializationError, match="10 bytes"):
        serializer.encode("1234567890")
    with pytest.raises(SerializationError, match="10 bytes"):
        serializer.decode(kind().encode("1234567890"))


@every_kind
@pytest.mark.parametrize("options", [{"max_depth": 0}, {"max_size_bytes": 0}])
def test_bounds_are_positive(kind: Kind, options: dict[str, int]):
    with pytest.raises(ValueError, match="positive"):
        kind(**options)
