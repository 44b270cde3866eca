"""States with a clock: who has written which field."""

from __future__ import annotations

import attrs
import pytest

from eliza_state.errors import StateError
from eliza_state.synchronizer import VectorClock, Versioned, written
from eliza_state.synchronizer.versioned import Write, fields_of, with_fields


@attrs.frozen
class Profile:
    name: str = ""
    tags: tuple[str, ...] = ()


def test_a_change_is_a_write_of_the_fields_that_are_other_objects():
    first = written(Profile(), writer="a", at_us=10)

    after = first.change(attrs.evolve(first.state, name="Ada"), writer="b", at_us=20)

    assert VectorClock({"a": 1, "b": 1}) == after.clock
    assert {"name": (Write(20, "b", 1),), "tags": (Write(10, "a", 1),)} == after.writes


def test_the_same_fields_are_no_change():
    first = written(Profile(), writer="a", at_us=10)

    assert first is first.change(first.state, writer="b", at_us=20)


def test_a_write_is_later_than_all_that_its_writer_has_seen_whatever_the_clock_says():
    first = written(Profile(), writer="a", at_us=10)

    after = first.change(Profile(name="Ada"), writer="b", at_us=3)

    assert (Write(11, "b", 1),) == after.writes["name"]


def test_a_mapping_has_its_keys_as_fields():
    first = written({"name": "", "old": 1}, writer="a", at_us=10)

    after = first.change({"name": first.state["name"], "new": 1}, writer="a", at_us=20)

    assert {"name": (Write(10, "a", 1),), "new": (Write(20, "a", 2),)} == after.writes


def test_what_has_no_fields_is_refused():
    with pytest.raises(StateError, match="attrs object or a mapping"):
        fields_of([1])
    with pytest.raises(StateError, match="attrs object or a mapping"):
        Versioned({1: 2}).change({1: 3}, writer="a", at_us=1)


def test_a_private_field_is_set_as_well():
    @attrs.frozen
    class Hidden:
        _value: int = 0

    assert Hidden(3) == with_fields(Hidden(), {"_value": 3})
