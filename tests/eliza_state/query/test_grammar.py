from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.query import F, InvalidQuery, field, param, parse
from eliza_state.query.grammar import MAX_DEPTH
from tests.effort import examples

names = st.sampled_from(["user", "metadata.lang", "größe", "x1"])
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
texts = st.text()
leaves = st.one_of(
    st.builds(lambda name, value: field(name) == value, names, values),
    st.builds(lambda name, value: field(name) != value, names, values),
    st.builds(lambda name, value: field(name) <= value, names, texts),
    st.builds(lambda name, many: field(name).in_(many), names, st.lists(values, max_size=3)),
    st.builds(lambda name, low, high: field(name).between(low, high), names, texts, texts),
    st.builds(lambda name, text: field(name).startswith(text), names, texts),
    st.builds(lambda name, value: field(name).contains(value), names, values),
    st.builds(lambda name: field(name).exists(), names),
    st.builds(lambda name: field(name) == param("given"), names),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda one, other: one & other, inner, inner),
        st.builds(lambda one, other: one | other, inner, inner),
        inner.map(lambda one: ~one),
    ),
    max_leaves=8,
)


@settings(max_examples=examples(300))
@given(conditions)
def test_what_is_printed_is_read_back(condition):
    assert parse(str(condition)) == condition


@settings(max_examples=examples(300))
@given(st.text(alphabet="ab .,=<>!()[]'\"\\$019-+eandornotinbetweenexists", max_size=40))
def test_any_text_is_a_condition_or_refused(text):
    message = "^"
    try:
        parse(text)
    except InvalidQuery as error:
        message = str(error)

    assert "^" in message


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ('user == "ada"', F.user == "ada"),
        ("user == 'a\"d\\'a'", F.user == "a\"d'a"),
        ("a == 1 or b == 2 and c == 3", (F.a == 1) | ((F.b == 2) & (F.c == 3))),
        ("(a == 1 or b == 2) and c == 3", ((F.a == 1) | (F.b == 2)) & (F.c == 3)),
        ("not a exists and b == null", ~F.a.exists() & (F.b == None)),  # noqa: E711
        ("a not in [1, 2.5, true]", ~F.a.in_([1, 2.5, True])),
        ("a between -1 and 1e3", F.a.between(-1, 1000.0)),
        ("a == $who", F.a == param("who")),
        ("\n a\t== 1 \n", F.a == 1),
        ("a in []", F.a.in_([])),
    ],
)
def test_texts_say_conditions(text, condition):
    assert parse(text) == condition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a field:\n  \n  ^"),
        ("user", "expected a comparison such as == or in:\n  user\n      ^"),
        ("user = 1", "expected a field, a value or a sign:\n  user = 1\n       ^"),
        ("user == ada", "expected a value: text stands in quotes:\n  user == ada\n          ^"),
        ("user == 'a", "expected a field, a value or a sign:\n  user == 'a\n          ^"),
        ("(a == 1", "expected ')':\n  (a == 1\n         ^"),
        ("a == 1 b == 2", "expected 'and', 'or' or the end:\n  a == 1 b == 2\n         ^"),
        ("a in [1", "expected ']':\n  a in [1\n         ^"),
        ("a not == 1", "expected 'in':\n  a not == 1\n        ^"),
        ("a between 1 or 2", "expected 'and':\n  a between 1 or 2\n              ^"),
        ("a < null", "less and greater take a value with an order, got None:\n  a < null\n    ^"),
        ("b == 1 and\na == '\\q'", "expected text with escapes as in JSON:\n  a == '\\q'\n       ^"),
    ],
)
def test_a_mistake_is_shown_in_its_place(text, message):
    with pytest.raises(InvalidQuery) as caught:
        parse(text)

    assert str(caught.value) == message


def test_nesting_has_a_bound():
    depth = MAX_DEPTH - 1
    parse("(" * depth + "a == 1" + ")" * depth)

    with pytest.raises(InvalidQuery, match="nested"):
        parse("(" * 100_000 + "a == 1")


def test_a_long_row_of_conditions_is_no_nesting():
    text = " or ".join(f"a == {number}" for number in range(5_000))

    assert len(parse(text).conditions) == 5_000
