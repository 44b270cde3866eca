"""The serializers that the contract suite runs over, one of them as a third party would write it."""

import json
from typing import Any, NoReturn

import msgspec
import pytest

from eliza_serializers import JsonSerializer, MsgpackSerializer
from eliza_serializers.format import Decoded, Format
from eliza_serializers.serializer import Serializer
from eliza_serializers.tags import BUILT_IN
from tests.serializers.strategies import Level, Mood, Place


def _encode(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _decode(content: bytes) -> Decoded:
    return json.loads(content.decode(), parse_constant=_refuse), True, len(content)


class StandardSerializer(Serializer):
    """JSON by the standard library: the least that a format has to say, without any fast way."""

    name = "standard"
    format = Format(
        title="standard JSON",
        encode=_encode,
        decode=_decode,
        plain=JsonSerializer.format.plain,
        tags=BUILT_IN,
    )


Kind = type[Serializer]
KINDS: tuple[Kind, ...] = (JsonSerializer, MsgpackSerializer, StandardSerializer)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
ready_made_kinds = pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)


def registered(kind: Kind) -> Serializer:
    """A serializer that knows the classes of the strategies."""
    made = kind()
    for cls in (Mood, Level, Place):
        made.register(cls)
    return made


def document(kind: Kind, text: str | bytes) -> bytes:
    """What the format writes for the data of a JSON text: tags as the text spells them."""
    return kind.format.encode(msgspec.json.decode(text))
