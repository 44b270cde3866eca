"""Comparisons from text."""

from __future__ import annotations

import datetime
import enum
from typing import Any

import attrs
import pytest

from eliza_serializers import Secret
from eliza_state.collections import Entities, Set
from eliza_state.debugger import Comparison, InvalidStatePath
from eliza_state.errors import StateError
from tests.eliza_state.test_diff import Message


class Mood(enum.Enum):
    GOOD = "good"


@attrs.frozen
class State:
    messages: Entities[Message]
    people: Set[str]
    mood: Mood = Mood.GOOD
    at: datetime.datetime = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    token: Any = None
    topic: str | None = None
    sentiment: float = 0.5


def state() -> State:
    return State(Entities([Message("m1", "hello"), Message("m2", 3)]), Set(["ada"]), token=Secret("x"))


@pytest.mark.parametrize(
    "text",
    [
        'messages[m1].text == "hello"',
        "messages[m1].text=='hello'",
        "  messages[m2].text >= 3  ",
        "messages > 1",
        "people == 1",
        "people{ada} == 'ada'",
        "mood == 'good'",
        "at >= '2026-01-01T01:00:00+01:00'",
        "topic == null",
        "topic != 'x'",
        "sentiment < 0.75",
        "token != 'x'",
    ],
)
def test_what_holds(text: str) -> None:
    assert Comparison.parse(text)(state()) is True


@pytest.mark.parametrize(
    "text",
    [
        "messages[m9].text == 1",
        "messages[m9].text != 1",
        "token == 'x'",
        "people{bo} == 'bo'",
        "mood != 'good'",
    ],
)
def test_what_does_not_hold(text: str) -> None:
    assert Comparison.parse(text)(state()) is False


@pytest.mark.parametrize(
    ("text", "offset"),
    [("topic", 5), ("topic =", 6), ("topic == ", 9), ("topic == hello", 9), ("topic == 1 and 2", 11)],
)
def test_an_error_points_at_the_character(text: str, offset: int) -> None:
    with pytest.raises(InvalidStatePath) as caught:
        Comparison.parse(text)

    assert caught.value.offset == offset


def test_values_without_an_order_are_an_error() -> None:
    with pytest.raises(StateError, match="a NoneType cannot be compared by < with 3"):
        Comparison.parse("topic < 3")(state())
