"""Serializers by name, knowing the persistent collections. (Filled by the serializers' registry.)"""

from typing import Any

from eliza_serializers import JsonSerializer
from eliza_state.codec import register_collections


class _Json(JsonSerializer):
    name = "json"

    def dump(self, value: Any) -> bytes:
        return self.serialize(value).encode()

    def load(self, data: bytes) -> Any:
        return self.deserialize(data)


Serializer = _Json
_JSON = _Json()
register_collections(_JSON)


def serializer_named(name: str) -> _Json:
    if name != "json":
        raise LookupError(name)
    return _JSON
