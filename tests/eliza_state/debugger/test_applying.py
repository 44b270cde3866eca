"""Differences carried out on states."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.debugger import PatchFailed, StateDiff, apply, diff
from eliza_state.diff import Difference, Element, Field, Index, Key
from tests.effort import examples
from tests.eliza_state.test_diff import LEAVES, STATES, Conversation, Message, entities_of, exactly


@settings(max_examples=examples(300), deadline=None)
@given(STATES, STATES)
def test_applied_to_before_they_give_after(before: Any, after: Any) -> None:
    assert exactly(diff(before, after).apply(before)) == exactly(after)


@settings(max_examples=examples(150), deadline=None)
@given(entities_of(LEAVES), entities_of(LEAVES))
def test_entities_come_into_their_order(before: Any, after: Any) -> None:
    assert exactly(apply(before, diff(before, after))) == exactly(after)


def test_sets_of_all_kinds() -> None:
    for kind in (set, frozenset, Set):
        before, after = kind([1, 2]), kind([2, 3])

        assert apply(before, diff(before, after)) == after


@attrs.frozen
class Private:
    _name: str = "a"
    size: int = attrs.field(default=1, converter=int)


def test_fields_go_by_their_names_in_the_constructor() -> None:
    assert apply(Private(), diff(Private(), Private("b", 2))) == Private("b", 2)


def test_nothing_to_do_gives_the_same_object() -> None:
    state = Conversation("a")

    assert apply(state, diff(state, Conversation("a"))) is state


@pytest.mark.parametrize(
    ("state", "difference", "message"),
    [
        (Entities([Message(1)]), Difference((Key(2),), "removed"), "Entities has no room .* '\\[\\(2\\)\\]'"),
        (Entities([Message(1)]), Difference((Key(1),), "added", after=Message(1)), "already there"),
        (Map({"a": 1}), Difference((Key("a"),), "added", after=2), "there already"),
        ({"a": 1}, Difference((Key("b"),), "removed"), "a dict has no room"),
        ({"a": 1}, Difference((Index(0),), "removed"), "it takes a key"),
        (Log([1, 2]), Difference((Index(0),), "removed"), "what is removed is the last, at 1"),
        ([1, 2], Difference((Index(5),), "added", after=1), "what is added comes to the end, at 2"),
        ((1,), Difference((Index(3),), "changed", 1, 2), "a tuple has no room"),
        (Set([1]), Difference((Element(2),), "removed"), "a Set has no room"),
        (Conversation(), Difference((Field("title"),), "changed", 1, 2), "no field 'title'"),
        ("text", Difference((Field("title"),), "changed", 1, 2), "nothing can be changed inside it"),
    ],
)
def test_a_state_without_room_is_an_error(state: Any, difference: Difference, message: str) -> None:
    with pytest.raises(PatchFailed, match=message):
        apply(state, (difference,))


def test_the_place_inside_is_named() -> None:
    before = Conversation(messages=Entities([Message(1, Log(["a"]))]))
    after = Conversation(messages=Entities([Message(1, Log(["a", "b"]))]))

    with pytest.raises(PatchFailed, match="'messages\\[\\(1\\)\\]\\.text\\[1\\]'"):
        StateDiff(diff(before, after).differences).apply(after)


@given(st.lists(st.integers(), max_size=5), st.lists(st.integers(), max_size=5))
def test_the_state_before_stays_as_it_is(before: list[int], after: list[int]) -> None:
    copied = list(before)
    apply(before, diff(before, after))

    assert before == copied
