from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import pytest

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.ordering import Kind
from eliza_state.shapes import ANYTHING, collection_of, member, shape_of


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Author:
    name: str
    key: Secret[str]


@pytest.mark.parametrize(
    ("annotation", "kinds"),
    [
        (str, {Kind.TEXT}),
        (bool, {Kind.TRUTH}),
        (int | None, {Kind.NUMBER, Kind.NOTHING}),
        (Literal["a", 1], {Kind.TEXT, Kind.NUMBER}),
        (datetime.datetime, {Kind.MOMENT, Kind.LOCAL}),
        (datetime.date, {Kind.DATE}),
        (Colour, {Kind.CHOICE}),
        (Author, {Kind.OTHER}),
    ],
)
def test_a_type_says_which_kinds_its_values_have(annotation, kinds):
    assert shape_of(annotation).kinds == kinds


@pytest.mark.parametrize("annotation", [Any, object, str | Any, "NotDefinedAnywhere"])
def test_of_some_types_nothing_is_known(annotation):
    assert shape_of(annotation).kinds is None


def test_the_fields_of_a_class_are_known_and_no_others():
    shape = shape_of(Author)

    assert member(shape, "name") == shape_of(str)
    assert member(shape, "age") is None


def test_a_mapping_may_have_anything_of_its_values_type():
    assert member(shape_of(Mapping[str, Any]), "lang") == ANYTHING
    assert member(shape_of(Mapping[str, Secret[str]]), "lang").is_secret


def test_a_secret_is_seen_also_where_it_may_be_missing():
    assert shape_of(Secret[str] | None).is_secret


def test_collections_hold_elements():
    assert shape_of(frozenset[str]).elements is str
    assert shape_of(Set[int]).elements is int
    assert not shape_of(str).holds_elements


def test_persistent_collections_are_told_with_their_entries():
    assert collection_of(Entities[Author]) == (Entities, Author)
    assert collection_of(Map[str, int]) == (Map, int)
    assert collection_of(Log) == (Log, Any)
    assert collection_of(Set[str]) is None
