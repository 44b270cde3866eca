"""Which values one object may stand for, whoever reads it."""

from __future__ import annotations

import datetime
import decimal
import enum
import sys
import types
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

import attrs
import pytest

from eliza_serializers import JsonSerializer, Secret
from eliza_serializers.sealing import SecretKeys
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.storage.immutable import WrittenForm, is_immutable, kept, size_of


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@attrs.frozen
class Frozen:
    value: Any


@attrs.define(frozen=True, slots=False)
class FrozenWithDict:
    value: Any


@attrs.define
class Changing:
    value: Any


@dataclass(frozen=True)
class FrozenData:
    value: Any


class Pair(NamedTuple):
    left: Any
    right: Any


class Text(str):
    """A text that carries attributes."""


FIXED = [
    None, True, 1, 1.5, 2j, "a", b"a", decimal.Decimal(1), uuid.UUID(int=1),
    datetime.date(2024, 1, 1), datetime.time(1), datetime.timedelta(1),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    Colour.RED, Level.LOW, (), (1, ("a", None)), frozenset({1, (2,)}), Frozen(1), Frozen((Frozen("a"),)),
    Secret("a"), Map({"a": 1}), Set(["a"]), Log([1, (2,)]), Map({"a": Log([Frozen(1)])}), Entities(),
]  # fmt: skip
CHANGING = [
    [], {}, set(), bytearray(), object(), ([],), (1, ({},)), frozenset({Text("a")}), Frozen([]),
    Frozen((1, {})), Changing(1), Secret([1]), Map({"a": []}), Log([1, {}]), types.SimpleNamespace(),
    Text("a"), lambda: None, types.MappingProxyType({}), Colour,
]  # fmt: skip


def test_a_secret_that_was_read_sealed_is_not_opened_to_find_out():
    content = JsonSerializer(secrets=SecretKeys({"a": b"k" * 32})).encode(Secret([1]))

    assert is_immutable(JsonSerializer().decode(content))


@pytest.mark.parametrize("value", FIXED, ids=lambda value: type(value).__name__)
def test_what_cannot_change_may_be_shared(value):
    assert is_immutable(value)


@pytest.mark.parametrize("value", CHANGING, ids=lambda value: type(value).__name__)
def test_what_could_change_may_not(value):
    assert not is_immutable(value)


@pytest.mark.parametrize("value", [FrozenData(1), FrozenData([]), Pair(1, 2), Pair([], 1)], ids=repr)
def test_what_is_not_known_to_be_fixed_is_taken_for_changing(value):
    assert not is_immutable(value)


def test_a_frozen_class_with_a_dict_is_as_fixed_as_its_fields():
    assert is_immutable(FrozenWithDict(1))
    assert not is_immutable(FrozenWithDict([]))


def test_of_what_could_change_the_written_form_is_kept():
    fixed, changing = (1,), [1]

    assert fixed is kept(fixed, b"written")
    form = kept(changing, b"written")
    assert isinstance(form, WrittenForm)
    assert b"written" == form.content


@pytest.mark.parametrize("value", [tuple(range(1_000, 1_100)), tuple(n / 2 for n in range(100)), "ä" * 100])
def test_what_is_kept_takes_no_more_than_is_counted(value):
    content = JsonSerializer().encode(value)
    elements = value if isinstance(value, tuple) else ()

    assert sys.getsizeof(value) + sum(map(sys.getsizeof, elements)) <= size_of(value, content)
