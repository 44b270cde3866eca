from __future__ import annotations

import pytest

from eliza_serializers import Secret
from eliza_state.query import F, InvalidQuery, field, param
from eliza_state.query.conditions import All, AnyOf, Comparison, Not


def test_operators_make_comparisons():
    assert (F.user == "ada") == Comparison("user", "==", "ada")
    assert (F.at["hour"] < 3) == Comparison("at.hour", "<", 3)
    assert F.user.in_(["ada"]) == Comparison("user", "in", ("ada",))


def test_conditions_are_combined_and_flattened():
    a, b, c = F.a == 1, F.b == 2, F.c == 3

    assert (a & b & c) == All((a, b, c))
    assert (a | b | c) == AnyOf((a, b, c))
    assert ~(a & b) == Not(All((a, b)))


@pytest.mark.parametrize(
    "mistake", [lambda: (F.a == 1) and (F.b == 2), lambda: not F.a.exists(), lambda: 1 < F.a < 3]
)
def test_python_words_that_cannot_work_are_refused(mistake):
    with pytest.raises(TypeError, match="combined by"):
        mistake()


def test_a_condition_is_combined_with_conditions_alone():
    with pytest.raises(TypeError, match="expected a condition"):
        (F.a == 1) & True


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: F.a == [1],
        lambda: F.a.in_([float("nan")]),
        lambda: F.a < None,
        lambda: F.a.between(1, "b"),
        lambda: F.a.startswith(1),
        lambda: F.a == Secret("hush"),
        lambda: F.a.contains(Secret("hush")),
        lambda: field(""),
        lambda: param("two words"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(mistake):
    with pytest.raises(InvalidQuery):
        mistake()


def test_a_secret_is_not_shown_in_the_refusal():
    with pytest.raises(InvalidQuery) as caught:
        F.a.in_([Secret("hush")])

    assert "hush" not in str(caught.value)


def test_fields_have_no_private_names():
    assert not hasattr(F, "__len__")
