"""Expressions that make the values they were written from."""

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.debugger.written_tests.expressions import Expressions
from eliza_state.debugger.written_tests.imports import Imports
from eliza_state.debugger.written_tests.layout import flat, statement
from eliza_state.errors import StateError
from eliza_state.path import Path
from tests.effort import examples
from tests.eliza_state.debugger.written_tests.shop import Colour, Part, Size, ordered


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@attrs.frozen
class Private:
    _name: str
    size: int = attrs.field(init=False, default=3)
    twice: list[int] = attrs.Factory(lambda self: [self.size] * 2, takes_self=True)


def made(value: Any) -> Any:
    """What comes of the expression of a value."""
    imports = Imports()
    written = statement("", Expressions(imports).node(value), indent=0)
    names: dict[str, Any] = {}
    exec(imports.text(), names)
    return eval(written, names)


MOMENT = datetime.datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001  # such are told as well

VALUES: list[Any] = [
    None,
    True,
    -3,
    2.5,
    float("inf"),
    'it\'s "quoted"\\\n\x00\ud800é',
    b"a\"b'\xff",
    (),
    (1,),
    (1, (2, 3)),
    [[], [1]],
    {},
    {1: {"a": None}, (1, 2): 3},
    set(),
    {3, 1},
    frozenset(),
    frozenset({"b", "a"}),
    Map(),
    Map({"a": Log([1])}),
    Set([3, 1]),
    Log(["x"] * 40),
    Entities([Part(id="a", price=Decimal("1E+2"))]),
    Entities([Colour.RED, Colour.BLUE], key="value"),
    Colour.BLUE,
    Access.READ,
    Access.READ | Access.WRITE,
    Size(1, 2),
    MOMENT,
    MOMENT.replace(second=5, microsecond=6, fold=1),
    MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-3, seconds=1))),
    MOMENT.replace(tzinfo=ZoneInfo("Europe/Berlin")),
    datetime.date(2026, 1, 2),
    datetime.time(1, 2, 3, tzinfo=datetime.UTC),
    datetime.timedelta(days=-1, microseconds=5),
    datetime.timedelta(),
    Decimal("-0.10"),
    uuid.UUID(int=5),
    Path.decode("agent:a%2Fb"),
    Secret("[SECRET]"),
    Private("x"),
    ordered("a"),
]


@pytest.mark.parametrize("value", VALUES)
def test_it_makes_an_equal_value_of_the_same_type(value: Any) -> None:
    assert value == made(value)
    assert type(value) is type(made(value))


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.dictionaries(st.text(), inner)
        | st.builds(Log, st.lists(inner))
    ),
    max_leaves=20,
)


@settings(max_examples=examples(100), deadline=None)
@given(NESTED)
def test_whatever_is_nested_comes_back(value: Any) -> None:
    assert value == made(value)


def test_fields_as_by_default_are_left_out() -> None:
    part = Part(id="a", price=Decimal(1))

    assert 'Part(id="a", price=Decimal("1"))' == flat(Expressions(Imports()).node(part))


@pytest.mark.parametrize("value", [object(), [object()], 1j, lambda: 1])
def test_what_no_expression_makes_is_refused(value: Any) -> None:
    with pytest.raises(StateError, match="no expression makes"):
        Expressions(Imports()).node(value)


def test_the_place_inside_a_value_is_named() -> None:
    with pytest.raises(StateError, match=r"at the state\.extras\['lock'\]\[1\]"):
        Expressions(Imports()).node(ordered("a", extras={"lock": [1, object()]}), "the state")


def test_what_a_secret_holds_is_never_told() -> None:
    with pytest.raises(StateError, match="comes from no record") as raised:
        Expressions(Imports()).node(Secret("hunter2"))

    assert "hunter2" not in str(raised.value)
