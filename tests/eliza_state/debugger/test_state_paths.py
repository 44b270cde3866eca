"""State paths: text to steps and back, errors that point, and looking up."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.debugger import MISSING, InvalidStatePath, find, parse_path, path_text
from eliza_state.diff import Element, Field, Index, Key, diff
from tests.effort import examples
from tests.eliza_state.test_diff import STATES, Conversation, Message

SCALARS = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.uuids(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.dates(),
    st.datetimes(timezones=st.just(datetime.UTC)),
)
KEYS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
STEPS = st.one_of(
    st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True).map(Field),
    st.integers(0, 10**12).map(Index),
    KEYS.map(Key),
)
PATHS = st.builds(
    lambda steps, last: (*steps, *last), st.lists(STEPS, max_size=4), st.lists(KEYS.map(Element), max_size=1)
)


@settings(max_examples=examples(300))
@given(PATHS)
def test_a_path_is_read_back_from_its_text(path: Any) -> None:
    assert parse_path(path_text(path)) == path


@settings(max_examples=examples(150))
@given(STATES, STATES)
def test_what_differs_stands_at_its_path(before: Any, after: Any) -> None:
    for difference in diff(before, after):
        path = parse_path(path_text(difference.path))
        found = find(before, path) if difference.kind == "removed" else None
        if difference.kind == "removed" and type(path[-1]) is not Element:
            assert found is difference.before


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("topic", (Field("topic"),)),
        ("messages[m1].text", (Field("messages"), Key("m1"), Field("text"))),
        ("messages['m 1'].text", (Field("messages"), Key("m 1"), Field("text"))),
        (r"[ 'it\'s' ]".replace(" ", ""), (Key("it's"),)),
        ('["5"]', (Key("5"),)),
        ("[5]", (Index(5),)),
        ("[(5)]", (Key(5),)),
        ("[(-5)]", (Key(-5),)),
        ("[(1, 'a')]", (Key((1, "a")),)),
        ("[(1,)]", (Key((1,)),)),
        ("[()]", (Key(()),)),
        ("[(true)][(null)][(1.5)]", (Key(True), Key(None), Key(1.5))),
        ("people{ada}", (Field("people"), Element("ada"))),
        ("people{5}", (Field("people"), Element(5))),
        ("[agent:eliza/room:general]", (Key("agent:eliza/room:general"),)),
        ("größe", (Field("größe"),)),
        (r'["\u00e9\n\x41"]', (Key("é\nA"),)),
        ('[(UUID "0bd31f7a-3f0c-8f5e-9d0e-6f2a9f6b1c21")]', None),
    ],
)
def test_texts(text: str, path: Any) -> None:
    expected = path if path is not None else (Key(uuid.UUID("0bd31f7a-3f0c-8f5e-9d0e-6f2a9f6b1c21")),)

    assert parse_path(text) == expected


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        ("messages[m1.text", 16, "expected ']', got the end"),
        ("messages[m1", 11, "expected ']', got the end"),
        ("messages[", 9, "expected a literal"),
        ("messages.", 9, "expected the name of a field, got the end"),
        ("messages.5", 9, "expected the name of a field, got '5'"),
        ("messages m1", 8, "expected '.', '[', '{' or the end, got ' '"),
        ("5", 0, "expected '.', '[', '{' or the end, got '5'"),
        ("[-1]", 1, "expected a position from 0"),
        ("['m1]", 1, "expected a literal"),
        ("[(1, ]", 5, "expected a literal"),
        ("[(UUID 'x')]", 7, "expected the text of a UUID"),
        ("[__import__('os')]", 11, "expected ']', got '('"),
        ("a[(" + "(" * 60, 53, "expected no more than 50 parentheses"),
    ],
)
def test_an_error_points_at_the_character(text: str, offset: int, reason: str) -> None:
    with pytest.raises(InvalidStatePath) as caught:
        parse_path(text)

    assert caught.value.offset == offset
    assert caught.value.reason.startswith(reason)
    assert caught.value.pointed == f"{text}\n{' ' * offset}^"


@settings(max_examples=examples(300))
@given(st.text(alphabet="ab.[]{}()'\"\\,-0159 _ué~", max_size=20))
def test_any_text_is_a_path_or_an_error_within_it(text: str) -> None:
    offset = None
    path: Any = ()
    try:
        path = parse_path(text)
    except InvalidStatePath as error:
        offset = error.offset

    assert parse_path(path_text(path)) == path
    assert path or not text or offset in range(len(text) + 1)


STATE = Conversation(
    topic={"lang": {"code": "en"}},
    messages=Entities([Message(5, "five"), Message("m1", None)]),
    settings=Map({"5": "text", 7: "number"}),
    log=Log(["a", ["b", "c"]]),
    people=Set(["ada"]),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("messages[m1].text", None),
        ("messages[m1].text.more", MISSING),
        ("messages[5].text", "five"),
        ("messages[m9].text", MISSING),
        ("settings[5]", "text"),
        ("settings[7]", "number"),
        ("log[1][0]", "b"),
        ("log[2]", MISSING),
        ("people{ada}", "ada"),
        ("people[ada]", "ada"),
        ("people{bo}", MISSING),
        ("topic.lang.code", "en"),
        ("topic[lang]", {"code": "en"}),
        ("", STATE),
    ],
)
def test_find(text: str, value: Any) -> None:
    assert find(STATE, parse_path(text)) == value


@attrs.frozen
class Hiding:
    open: str = "seen"
    hidden: str = attrs.field(default="secret", repr=False)


@pytest.mark.parametrize(
    ("state", "text", "message"),
    [
        (STATE, "topics", "Conversation has no field 'topics' to look into; did you mean 'topic'?"),
        (STATE, "log[m1]", "a Log goes by positions such as [0], got '[m1]'"),
        (STATE, "people{ada}.name", "a str has nothing at '.name' to look into"),
        (Hiding(), "hidden", "Hiding has no field 'hidden' to look into; it shows open"),
        (Secret("x"), "value", "a Secret has nothing at '.value' to look into"),
    ],
)
def test_a_step_that_a_value_has_no_room_for(state: Any, text: str, message: str) -> None:
    with pytest.raises(InvalidStatePath) as caught:
        find(state, parse_path(text))

    assert str(caught.value) == message


def test_a_key_without_a_literal_shows_itself() -> None:
    assert path_text((Key(Secret("x")), Key(Decimal("1.50")))) == '[([SECRET])][(Decimal "1.50")]'
