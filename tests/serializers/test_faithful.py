"""Of which untyped values the tags tell that they come back the same, without reading them back."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, EnumMeta, Flag
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from attrs import field, frozen

from eliza_serializers import JsonSerializer, Secret, SerializationError
from eliza_serializers.faithful import write_told
from eliza_serializers.json_format import JSON
from eliza_serializers.sealer import mask
from eliza_serializers.tags import Tag, built_in_table, enum_tag, record_tag
from eliza_serializers.typed_write import TypedWriter
from eliza_serializers.untyped import TagWriter

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Role(Enum):
    USER = "user"


class Right(Flag):
    READ = 1
    WRITE = 2


class Renaming(EnumMeta):
    def __getitem__(cls, name: str) -> Any:
        return super().__getitem__("SECOND" if name == "FIRST" else name)


class Renamed(Enum, metaclass=Renaming):
    FIRST = 1
    SECOND = 2


@frozen
class Doubled:
    count: int = field(converter=lambda count: count * 2)


def writer() -> TagWriter:
    tags = built_in_table()
    for cls in (Role, Right, Renamed):
        tags.add(enum_tag(cls, name=cls.__name__))
    tags.add(record_tag(Doubled, name="Doubled"))
    typed = TypedWriter(tags, plain=JSON.plain, envelope=Tag.envelope, write_secret=mask, max_depth=200)
    return typed.untyped


@pytest.mark.parametrize(
    "value",
    [
        (1, "a", ()),
        {1, 2},
        frozenset({(1, b"a")}),
        {1: "a", (2, 3): {UUID(int=7)}},
        {"_type": "not a tag"},
        2**70,
        b"\x00",
        date(2026, 1, 1),
        timedelta(days=1, microseconds=1),
        Decimal("1.10"),
        UUID(int=7),
        NOW,
        Role.USER,
    ],
    ids=repr,
)
def test_built_in_types_and_enums_are_told(value: object):
    _, is_told = write_told(writer(), {"a": [value]})

    assert is_told


@pytest.mark.parametrize(
    "value",
    [
        Doubled(1),
        Secret("a"),
        Right.READ | Right.WRITE,
        Renamed.FIRST,
        math.nan,
        NOW.astimezone(ZoneInfo("Europe/Berlin")),
        NOW.astimezone(timezone(timedelta(hours=2))),
        NOW.replace(tzinfo=None, fold=1),
        time(1, 2, tzinfo=UTC),
    ],
    ids=repr,
)
def test_what_may_come_back_different_is_left_to_reading(value: object):
    _, is_told = write_told(writer(), {"a": (value,)})

    assert not is_told


@pytest.mark.parametrize("value", [(1, {"a": 2**70}), Doubled(1)], ids=repr)
def test_the_data_is_the_same_as_without_telling(value: object):
    data, _ = write_told(writer(), value)

    assert writer().write(value) == data


@pytest.mark.parametrize(
    ("value", "reason"),
    [(Doubled(1), "would come back different"), (Renamed.FIRST, "would come back different")],
    ids=repr,
)
def test_a_value_that_is_not_told_is_read_back(value: object, reason: str):
    serializer = JsonSerializer()
    serializer.register(type(value))

    with pytest.raises(SerializationError, match=reason):
        serializer.encode({"a": (value, UUID(int=7))})


@pytest.mark.parametrize("levels", [50, 120, 198])
def test_a_tagged_value_far_down_comes_back(levels: int):
    value: Any = UUID(int=7)
    for _ in range(levels):
        value = [value]
    serializer = JsonSerializer()

    assert value == serializer.decode(serializer.encode(value))


def test_tuples_whose_envelopes_pass_the_depth_are_refused():
    value: Any = ()
    for _ in range(120):
        value = (value,)

    with pytest.raises(SerializationError, match="nested too deeply"):
        JsonSerializer().encode(value)
