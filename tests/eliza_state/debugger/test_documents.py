"""The JSON form of states."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.debugger import diff, document
from tests.effort import examples
from tests.eliza_state.test_diff import LEAVES, STATES, Message, entities_of


class Mood(enum.Enum):
    GOOD = 1


class Own:
    def __repr__(self) -> str:
        return "<own>"


@attrs.frozen
class Hiding:
    open: int = 1
    hidden: int = attrs.field(default=2, repr=False)
    uncompared: int = attrs.field(default=3, eq=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Entities([Message("m1", "a")]), {"m1": {"id": "m1", "text": "a"}}),
        (Entities([Message(5)]), {"[(5)]": {"id": 5, "text": ""}}),
        (Map({"a": 1, "[x": 2, 3: 4, (1, "b"): 5}), {"a": 1, '["[x"]': 2, "[(3)]": 4, '[(1, "b")]': 5}),
        (Map({True: 1}), {"[(1)]": 1}),
        (Set(["bo", "ada"]), {"bo": True, "ada": True}),
        (frozenset({1}), {"[(1)]": True}),
        (Log([1, (2, [3])]), [1, [2, [3]]]),
        (Secret("x"), "[SECRET]"),
        ({Secret("x"): Secret("y")}, {"[SECRET]": "[SECRET]"}),
        (Mood.GOOD, 1),
        (Own(), "<own>"),
        (Hiding(), {"open": 1}),
        (float("nan"), "nan"),
        (Decimal("1.50"), "1.5"),
        (b"ab", "YWI="),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (
            datetime.datetime(2026, 1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
            "2026-01-01T00:00:00+00:00",
        ),
    ],
)
def test_values(value: Any, expected: Any) -> None:
    assert document(value) == expected


@settings(max_examples=examples(200), deadline=None)
@given(STATES)
def test_a_document_is_json(state: Any) -> None:
    found = document(state)

    assert json.loads(json.dumps(found)) == found


@settings(max_examples=examples(300), deadline=None)
@given(STATES, STATES)
def test_a_patch_leads_from_document_to_document_and_back(before: Any, after: Any) -> None:
    patch = diff(before, after).to_json_patch()

    assert patch.apply(document(before)) == document(after)
    assert patch.inverse().apply(document(after)) == document(before)


@settings(max_examples=examples(150), deadline=None)
@given(entities_of(LEAVES), entities_of(LEAVES))
def test_a_patch_of_entities_keeps_their_order(before: Any, after: Any) -> None:
    patched = diff(before, after).to_json_patch().apply(document(before))

    assert list(patched) == list(document(after))


def test_an_entity_has_the_same_pointer_wherever_it_stands() -> None:
    before = Entities([Message("m0"), Message("m1", "a")])
    after = before.remove("m0").update("m1", text="b")
    paths = [operation["path"] for operation in diff(before, after).to_json_patch().to_json()]

    assert paths == ["/m0", "/m0", "/m1/text", "/m1/text"]
