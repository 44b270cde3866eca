"""Updates that carry only what changes."""

from __future__ import annotations

import attrs
import pytest

from eliza_modules.update import is_unchanged, updated


@attrs.frozen(kw_only=True)
class Profile:
    name: str = ""
    age: int = 0
    note: str = ""


@attrs.frozen(kw_only=True)
class ProfileUpdate:
    name: str | None = None
    age: int | None = None


def test_set_fields_are_taken_and_others_stay():
    profile = Profile(name="ada", age=1, note="kept")

    assert Profile(name="ada", age=2, note="kept") == updated(profile, ProfileUpdate(age=2))


def test_falsy_fields_are_set_fields():
    assert Profile() == updated(Profile(name="ada", age=1), ProfileUpdate(name="", age=0))


@pytest.mark.parametrize("update", [ProfileUpdate(), ProfileUpdate(name="".join(["a", "da"]))])
def test_no_difference_gives_the_same_object(update):
    profile = Profile(name="ada")

    assert updated(profile, update) is profile


def test_a_field_that_the_value_does_not_have_is_an_error():
    with pytest.raises(AttributeError, match="age"):
        updated(attrs.make_class("Named", ["name"])("ada"), ProfileUpdate(age=2))


SHARED = {"deep": [1]}


@pytest.mark.parametrize(
    ("before", "after"),
    [(SHARED, SHARED), ("dark", "".join(["da", "rk"])), (1.5, float("1.5")), (None, None)],
)
def test_one_object_or_equal_scalars_are_unchanged(before, after):
    assert is_unchanged(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, True), (1, 1.0), (0, None), ("1", 1), ([1], [1]), ({"on": 1}, {"on": True}), (1, 2)],
)
def test_anything_else_counts_as_changed(before, after):
    assert not is_unchanged(before, after)
