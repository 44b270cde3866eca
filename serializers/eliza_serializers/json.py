"""The serializer that the framework uses: JSON text that keeps Python's types."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from eliza_serializers.errors import SerializationError
from eliza_serializers.json_format import JSON
from eliza_serializers.serializer import UNTYPED, Serializer

T = TypeVar("T")


class JsonSerializer(Serializer):
    """Write values as JSON text, tags as objects `{"_type": …, "data": …}`."""

    name = "json"
    format = JSON

    def serialize(self, value: object, *, as_type: Any = UNTYPED, mask_secrets: bool = False) -> str:
        """Write a value as `encode` does, as text."""
        return self.encode(value, as_type=as_type, mask_secrets=mask_secrets).decode()

    @overload
    def deserialize(self, text: str | bytes) -> Any: ...
    @overload
    def deserialize(self, text: str | bytes, *, as_type: type[T]) -> T: ...
    @overload
    def deserialize(self, text: str | bytes, *, as_type: Any) -> Any: ...
    def deserialize(self, text: str | bytes, *, as_type: Any = UNTYPED) -> Any:
        """Read JSON text as `decode` does."""
        return self.decode(_utf8(text), as_type=as_type)


def _utf8(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SerializationError("expected text of whole Unicode characters, got a lone surrogate") from None
