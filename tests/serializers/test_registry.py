"""Serializers by name: those that are installed, and what is wrong with an entry point."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from eliza_serializers import JsonSerializer, MsgpackSerializer, Serializer, registry
from eliza_serializers.errors import RegistryError
from eliza_serializers.registry import serializer


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing looked up by one test is known in the next."""
    registry._factory.cache_clear()
    yield
    registry._factory.cache_clear()


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let only the given names and places be announced."""

    def announced(*points: tuple[str, str]) -> list[int]:
        asked: list[int] = []

        def entry_points(group: str) -> list[EntryPoint]:
            asked.append(1)
            return [EntryPoint(name, value, group) for name, value in points]

        monkeypatch.setattr(metadata, "entry_points", entry_points)
        return asked

    return announced


class Named(JsonSerializer):
    name = "mine"


class TooLong(JsonSerializer):
    name = "m" * 33


def make_mine() -> Serializer:
    return Named(max_depth=5)


HERE = __name__


@pytest.mark.parametrize(("name", "cls"), [("json", JsonSerializer), ("msgpack", MsgpackSerializer)])
def test_the_ready_made_ones_are_announced_under_their_own_names(name: str, cls: type[Serializer]):
    found = serializer(name)

    assert (name, cls) == (found.name, type(found))


def test_every_call_makes_a_serializer_without_registrations():
    assert serializer("json") is not serializer("json")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(RegistryError, match=r"\('json', 'msgpack'\), got 'yaml'"):
        serializer("yaml")


@pytest.mark.parametrize("place", ["Named", "make_mine"])
def test_another_distribution_announces_a_class_or_a_function(announce: Any, place: str):
    announce(("mine", f"{HERE}:{place}"), ("broken", "nowhere_at_all:Serializer"))

    assert isinstance(serializer("mine"), Named)


def test_what_is_announced_is_looked_up_once(announce: Any):
    asked = announce(("mine", f"{HERE}:Named"))
    serializer("mine")
    serializer("mine")

    assert [1] == asked


@pytest.mark.parametrize(
    ("points", "name", "reason"),
    [
        ([("mine", f"{HERE}:Named"), ("mine", "other:Mine")], "mine", "one serializer named 'mine', got"),
        ([("mine", "nowhere_at_all:Mine")], "mine", "'mine' .* cannot be loaded: ModuleNotFoundError"),
        ([("mine", f"{HERE}:Missing")], "mine", "cannot be loaded: AttributeError"),
        ([("mine", "builtins:dict")], "mine", "to be a Serializer, got {}"),
        ([("other", f"{HERE}:Named")], "other", "named 'other' as it is announced, got 'mine'"),
        ([("Mine", f"{HERE}:Named")], "Mine", "a name that matches"),
        ([(TooLong.name, f"{HERE}:TooLong")], TooLong.name, "a name that matches"),
        ([("", f"{HERE}:Named")], "", "a name that matches"),
    ],
)
def test_what_is_wrong_with_an_entry_point_is_told(announce: Any, points: Any, name: str, reason: str):
    announce(*points)

    with pytest.raises(RegistryError, match=reason):
        serializer(name)
