"""evolve: the same object when nothing changes, what attrs.evolve gives when something does."""

from functools import cached_property
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.evolve import evolve


@attrs.frozen
class Plain:
    first: Any = 1
    second: Any = 2
    third: Any = 3


@attrs.frozen
class Single:
    only: Any = None


@attrs.frozen
class Empty:
    pass


@attrs.frozen(kw_only=True)
class Named:
    first: Any = 1
    second: Any = 2


@attrs.frozen
class Private:
    _hidden: Any = 1
    shown: Any = 2
    renamed: Any = attrs.field(default=3, alias="other")


@attrs.define(slots=False)
class Mutable:
    first: Any = 1
    second: Any = 2


@attrs.frozen
class Derived:
    first: int = 1
    double: int = attrs.field(init=False)

    @double.default
    def _twice(self) -> int:
        return self.first * 2


@attrs.frozen
class Checked:
    size: int = attrs.field(default=0, validator=attrs.validators.ge(0), converter=int)
    text: str = ""
    log: list[str] = attrs.field(factory=list, eq=False)

    def __attrs_post_init__(self) -> None:
        self.log.append("made")


@attrs.frozen
class Cached:
    first: Any = 1
    second: Any = 2

    @cached_property
    def total(self) -> Any:
        return self.first + self.second


@attrs.frozen(cache_hash=True)
class Hashed:
    first: Any = 1
    second: Any = 2


@attrs.define(init=False)
class OwnConstructor:
    first: Any
    second: Any

    def __init__(self, *, second: Any = 2, first: Any = 1) -> None:
        self.first = first
        self.second = second


class Child(Plain):
    """A class that only inherits its fields."""

    __slots__ = ()


@pytest.mark.parametrize("cls", [Plain, Child, Named, Mutable, Cached, Hashed, OwnConstructor])
@given(changes=st.dictionaries(st.sampled_from(["first", "second"]), st.integers(0, 3)))
def test_gives_what_attrs_gives(cls: Any, changes: dict[str, int]) -> None:
    state = cls()
    changed = evolve(state, **changes)

    assert type(changed) is cls
    assert changed == attrs.evolve(state, **changes)
    assert state == cls()


@pytest.mark.parametrize(
    "state", [Plain(), Single(), Empty(), Named(), Private(), Mutable(), Derived(), Checked()]
)
def test_the_same_values_give_the_same_object(state: Any) -> None:
    fields = [field for field in attrs.fields(type(state)) if field.init]
    values = {field.alias: getattr(state, field.name) for field in fields}

    assert evolve(state) is state
    assert evolve(state, **values) is state


def test_an_equal_but_different_object_is_a_change() -> None:
    state = Plain(first=[])
    changed = evolve(state, first=[])

    assert changed is not state
    assert changed.first is not state.first


def test_fields_go_by_the_names_of_the_constructor() -> None:
    assert evolve(Private(), hidden=5, other=6) == Private(5, 2, 6)
    assert evolve(Single(1), only=2) == Single(2)
    assert evolve(Named(), second=5) == Named(first=1, second=5)


def test_a_field_may_be_called_state() -> None:
    @attrs.frozen
    class Holder:
        state: int
        changes: int

    assert evolve(Holder(1, 2), state=3, changes=4) == Holder(3, 4)


def test_the_constructor_runs() -> None:
    state = Checked()

    assert evolve(state, size="3").size == 3
    assert state.log == ["made", "made"]
    with pytest.raises(ValueError, match="must be >= 0"):
        evolve(state, size=-1)


def test_derived_and_cached_values_are_made_anew() -> None:
    cached = Cached()
    assert cached.total == 3

    assert evolve(cached, first=5).total == 7
    assert evolve(Derived(), first=5).double == 10
    assert hash(evolve(Hashed(), first=5)) == hash(Hashed(first=5))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (Plain(), "Plain has no field 'thrid': did you mean 'third'"),
        (Named(), "Named has no field 'thrid': its fields are first, second"),
        (Empty(), "Empty has no field 'thrid': its fields are none"),
        (Derived(), "Derived has no field 'thrid': its fields are first"),
    ],
)
def test_an_unknown_field_is_named(state: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        evolve(state, thrid=1)
    if attrs.fields(type(state)):
        with pytest.raises(TypeError, match=message):
            evolve(state, first=7, thrid=1)


def test_only_objects_of_attrs_classes_have_fields() -> None:
    with pytest.raises(TypeError, match="expected an object of an attrs class, got one of <class 'dict'>"):
        evolve({}, first=1)


def test_an_error_of_a_converter_passes_through() -> None:
    @attrs.frozen
    class Converting:
        first: Any = attrs.field(default="a", converter=lambda name: {"a": 1}[name])

    with pytest.raises(KeyError, match="'b'"):
        evolve(Converting(), first="b")
