"""JSON text: what each type looks like in it, and what is particular to text."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Flag, StrEnum
from typing import Any
from uuid import UUID

import pytest
from attrs import frozen

from eliza_serializers import JsonSerializer, Secret, SerializationError
from tests.serializers.strategies import Level, Mood, Place, same


class Role(StrEnum):
    AGENT = "agent"


class Rights(Flag):
    READ = 1


@frozen
class Point:
    x: int
    y: float = 0.0


def extended() -> JsonSerializer:
    made = JsonSerializer()
    for cls in (Level, Mood, Place, Point):
        made.register(cls)
    return made


TABLE = [
    ({"a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true]}'),
    ({1: "a"}, '{"_type":"Map","data":[[1,"a"]]}'),
    ({"_type": "Map"}, '{"_type":"Object","data":[["_type","Map"]]}'),
    ({3, 1, 2}, '{"_type":"Set","data":[1,2,3]}'),
    (frozenset({"b", "a"}), '{"_type":"Set","frozen":true,"data":["a","b"]}'),
    ((1, (2,)), '{"_type":"Tuple","data":[1,{"_type":"Tuple","data":[2]}]}'),
    (b"\x00\xff", '{"_type":"Bytes","data":"AP8="}'),
    (datetime(2024, 1, 2, tzinfo=UTC), '{"_type":"DateTime","data":"2024-01-02T00:00:00+00:00"}'),
    (date(2024, 1, 2), '{"_type":"Date","data":"2024-01-02"}'),
    (time(1, 2, 3, 4), '{"_type":"Time","data":"01:02:03.000004"}'),
    (timedelta(days=-1, microseconds=5), '{"_type":"Duration","data":[-1,0,5]}'),
    (Decimal("1.50"), '{"_type":"Decimal","data":"1.50"}'),
    (Decimal("1e99999999"), '{"_type":"Decimal","data":"1E+99999999"}'),
    (UUID(int=1), '{"_type":"UUID","data":"00000000-0000-0000-0000-000000000001"}'),
    (2**53 - 1, "9007199254740991"),
    (2**53, '{"_type":"Int","data":"9007199254740992"}'),
    (-(2**53), '{"_type":"Int","data":"-9007199254740992"}'),
    (-0.0, "-0.0"),
    (1e300, "1e300"),
    (float("nan"), '{"_type":"Float","data":"nan"}'),
    (float("-inf"), '{"_type":"Float","data":"-inf"}'),
    (Mood.CURIOUS, '{"_type":"Mood","data":"CURIOUS"}'),
    (Level.HIGH, '{"_type":"Level","data":"HIGH"}'),
    (
        Place("here", (1.0, 2.0), frozenset({"x"})),
        '{"_type":"Place","data":{"name":"here","at":[1.0,2.0],'
        '"labels":{"_type":"Set","frozen":true,"data":["x"]},"extra":null}}',
    ),
    (Secret(1), '{"_type":"Secret","data":1}'),
    (
        {(1, 2): {None}},
        '{"_type":"Map","data":[[{"_type":"Tuple","data":[1,2]},{"_type":"Set","data":[null]}]]}',
    ),
]


@pytest.mark.parametrize(
    ("value", "text"), TABLE, ids=lambda item: item[:40] if isinstance(item, str) else type(item).__name__
)
def test_each_type_has_one_text_and_comes_back(value: object, text: str):
    written = extended().serialize(value)

    assert text == written
    assert same(value, extended().deserialize(written))
    assert same(value, extended().deserialize(written.encode()))


def test_equal_sets_have_equal_text():
    forward, backward = set(range(100)), {*range(99, -1, -1)}

    assert JsonSerializer().serialize(forward) == JsonSerializer().serialize(backward)


TEXTS: list[tuple[Any, Any, str]] = [
    (set[int], {2, 1}, '{"_type":"Set","data":[1,2]}'),
    (frozenset[int], frozenset({1}), '{"_type":"Set","frozen":true,"data":[1]}'),
    (dict[int, str], {1: "a"}, '{"_type":"Map","data":[[1,"a"]]}'),
    (tuple[int, ...], (1, 2), "[1,2]"),
    (datetime, datetime.fromisoformat("2024-01-01"), '"2024-01-01T00:00:00"'),
    (bytes, b"ab", '"YWI="'),
    (float, 3, "3.0"),
    (float, float("nan"), '{"_type":"Float","data":"nan"}'),
    (Point | None, Point(1), '{"x":1,"y":0.0}'),
    (Place | Point, Place("a"), '{"_type":"Place","data":'),
    (Role, Role.AGENT, '"agent"'),
    (Rights, Rights.READ, "1"),
    (Mood, Mood.CURIOUS, '"CURIOUS"'),
]


@pytest.mark.parametrize(("annotation", "value", "text"), TEXTS, ids=lambda item: str(item)[:40])
def test_the_text_has_no_tag_where_the_type_says_it(annotation: Any, value: Any, text: str):
    assert extended().serialize(value, as_type=annotation).startswith(text)


def test_an_extension_looks_as_it_was_taught():
    serializer = JsonSerializer()
    serializer.register_type(
        complex,
        tag="Complex",
        flag="exact",
        to_data=lambda value: [value.real, value.imag],
        from_data=lambda data: complex(*data),
        shape=list,
    )

    assert serializer.serialize([1j]) == '[{"_type":"Complex","exact":true,"data":[0.0,1.0]}]'


def test_text_that_escapes_the_key_is_read_as_a_tag():
    assert JsonSerializer().deserialize('{"\\u005ftype":"Set","data":[1]}') == {1}


def test_text_with_a_lone_surrogate_is_refused():
    with pytest.raises(SerializationError):
        JsonSerializer().deserialize('"\ud800"')


def test_text_nested_beyond_the_interpreters_stack_is_refused():
    with pytest.raises(SerializationError):
        JsonSerializer(max_depth=10**9).deserialize("[" * 900 + '{"_type":"Tuple","data":[' * 200)


def test_a_number_beyond_any_float_is_refused():
    with pytest.raises(SerializationError):
        JsonSerializer().deserialize("1" + "0" * 400, as_type=float)


def test_the_text_of_a_view_shows_the_mask():
    assert JsonSerializer().serialize({"a": Secret("x")}, mask_secrets=True) == '{"a":"[SECRET]"}'
