"""The import statements of a written module."""

from __future__ import annotations

import decimal

import pytest

from eliza_serializers import Secret
from eliza_state.collections import Map
from eliza_state.debugger.written_tests.imports import Imports
from eliza_state.errors import StateError
from eliza_state.module import compose
from tests.eliza_state import chat
from tests.eliza_state.debugger.written_tests import shop


class Outer:
    class Inner:
        pass


class Said:
    """Of the same name as another."""


def test_the_standard_library_comes_first_and_all_is_sorted() -> None:
    imports = Imports()
    for thing in (shop.Part, shop.ordered, Map, Secret, compose, decimal.Decimal):
        imports.name(thing)
    imports.module("uuid")

    assert (
        "import uuid\n"
        "from decimal import Decimal\n"
        "\n"
        "from eliza_serializers import Secret\n"
        "from eliza_state import compose\n"
        "from eliza_state.collections import Map\n"
        "from tests.eliza_state.debugger.written_tests.shop import Part, ordered"
    ) == imports.text()


def test_two_of_one_name_are_told_apart() -> None:
    imports = Imports()

    assert ["Said", "Said_", "Said"] == [imports.name(thing) for thing in (chat.Said, Said, chat.Said)]
    assert "import Said as Said_" in imports.text()


def test_a_class_in_a_class_is_reached_through_it() -> None:
    imports = Imports()

    assert "Outer.Inner" == imports.name(Outer.Inner)
    assert imports.text().endswith("import Outer")


def test_a_long_line_is_broken() -> None:
    imports = Imports()
    for thing in (
        chat.TotalsModule,
        chat.BudgetModule,
        chat.PeopleModule,
        chat.PresenceModule,
        chat.TalkModule,
    ):
        imports.name(thing)

    assert imports.text().startswith("from tests.eliza_state.chat import (\n    BudgetModule,\n")


def test_what_is_defined_in_a_function_is_refused() -> None:
    class Local:
        pass

    with pytest.raises(StateError, match=r"<locals>\.Local cannot be imported"):
        Imports().name(Local)


def test_what_is_defined_in_a_script_is_refused() -> None:
    script = type("Script", (), {"__module__": "__main__"})

    with pytest.raises(StateError, match=r"__main__\.Script cannot be imported"):
        Imports().name(script)


def test_what_another_took_the_place_of_is_refused() -> None:
    hidden = type("Said", (), {"__module__": chat.__name__})

    with pytest.raises(StateError, match="cannot be imported"):
        Imports().name(hidden)
