"""The table of tags: malformed data under each."""

import pytest

from eliza_serializers import SerializationError
from tests.serializers.formats import Kind, document, every_kind, registered

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


@every_kind
@pytest.mark.parametrize(("text", "path"), MALFORMED, ids=lambda item: item[:50])
def test_malformed_data_is_an_error_with_its_path(kind: Kind, text: str, path: str):
    with pytest.raises(SerializationError) as caught:
        registered(kind).decode(document(kind, text))

    assert path == caught.value.path
