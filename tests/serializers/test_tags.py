"""The table of tags: what each type looks like as text."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from eliza_serializers import Secret, SerializationError
from tests.serializers.strategies import Level, Mood, Place, same, serializer

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
    written = serializer().serialize(value)

    assert text == written
    assert same(value, serializer().deserialize(written))


def test_equal_sets_have_equal_text():
    forward, backward = set(range(100)), {*range(99, -1, -1)}

    assert serializer().serialize(forward) == serializer().serialize(backward)


MALFORMED = [
    ('{"a":[{"_type":"Nothing","data":1}]}', "$.a[0]"),
    ('{"_type":"Map"}', "$"),
    ('{"_type":1,"data":[]}', "$"),
    ('{"_type":["Map"],"data":[]}', "$"),
    ('{"_type":"Map","data":{}}', "$"),
    ('{"_type":"Map","data":[1]}', "$[0]"),
    ('{"_type":"Map","data":[[1,2,3]]}', "$[0]"),
    ('{"_type":"Map","data":[[1,2],[1,3]]}', "$[1]"),
    ('{"_type":"Map","data":[[1,2],[true,3]]}', "$[1]"),
    ('{"_type":"Map","data":[[[],1]]}', "$[0]"),
    ('{"_type":"Map","data":[[{"_type":"Tuple","data":[[]]},1]]}', "$[0]"),
    ('{"_type":"Map","data":[],"other":1}', "$"),
    ('{"_type":"Object","data":[[1,2]]}', "$[0]"),
    ('{"_type":"Set","data":[1,1]}', "$"),
    ('{"_type":"Set","data":[{}]}', "$[0]"),
    ('{"_type":"Set","frozen":false,"data":[]}', "$"),
    ('{"_type":"Tuple","data":"ab"}', "$"),
    ('{"_type":"Bytes","data":"a"}', "$"),
    ('{"_type":"Bytes","data":"ab!="}', "$"),
    ('{"_type":"Bytes","data":"\\u00e9"}', "$"),
    ('{"_type":"DateTime","data":"yesterday"}', "$"),
    ('{"_type":"DateTime","data":5}', "$"),
    ('{"_type":"DateTime","data":"2024-01-01T00:00:00[x"}', "$"),
    ('{"_type":"Date","data":"2024-02-30"}', "$"),
    ('{"_type":"Time","data":"25:00"}', "$"),
    ('{"_type":"Duration","data":[1,2]}', "$"),
    ('{"_type":"Duration","data":[99999999999,0,0]}', "$"),
    ('{"_type":"Decimal","data":"one"}', "$"),
    ('{"_type":"Decimal","data":1}', "$"),
    ('{"_type":"UUID","data":"1"}', "$"),
    ('{"_type":"Int","data":"1e5"}', "$"),
    ('{"_type":"Int","data":"' + "9" * 5000 + '"}', "$"),
    ('{"_type":"Float","data":"1.5"}', "$"),
    ('{"_type":"Mood","data":"ANGRY"}', "$"),
    ('{"_type":"Mood","data":["CALM"]}', "$"),
    ('{"_type":"Place","data":{"name":5}}', "$.name"),
    ('{"_type":"Place","data":{"name":"x","extra":{"deep":[{"_type":"?","data":0}]}}}', "$.extra.deep[0]"),
    ('{"_type":"Place","data":[]}', "$"),
]


@pytest.mark.parametrize(("text", "path"), MALFORMED, ids=lambda item: item[:50])
def test_malformed_data_is_an_error_with_its_path(text: str, path: str):
    with pytest.raises(SerializationError) as caught:
        serializer().deserialize(text)

    assert path == caught.value.path
