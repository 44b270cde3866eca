"""Declaring events: names, versions, upcasters."""

from __future__ import annotations

import attrs
import pytest

from eliza_state.errors import InvalidEvent, RegistrationError
from eliza_state.event import event, event_type


def declare(name="thing_happened", **options):
    @event(name, **options)
    class Thing:
        id: str
        count: int = 0

    return Thing


def test_an_event_is_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        declare()(id="a").id = "b"


def test_its_fields_go_by_keyword():
    with pytest.raises(TypeError):
        declare()("a")


def test_events_with_equal_fields_are_equal():
    cls = declare()

    assert cls(id="a") == cls(id="a", count=0)
    assert cls(id="a") != cls(id="b")


def test_what_was_declared_is_known_of_the_class():
    cls = declare("goal.added_2", ends_scope=True)
    kind = event_type(cls)

    assert ("goal.added_2", cls, 1, True) == (kind.name, kind.cls, kind.version, kind.ends_scope)


def test_declaring_one_name_twice_has_no_effect_beyond_the_class():
    assert event_type(declare()).cls is not event_type(declare()).cls


def test_a_frozen_attrs_class_stays_as_it_is():
    @event("placed")
    @attrs.frozen
    class Placed:
        x: int

    assert Placed(3).x == 3


def test_a_mutable_attrs_class_is_refused():
    with pytest.raises(RegistrationError, match="an event is frozen"):

        @event("placed")
        @attrs.define
        class Placed:
            x: int


def test_a_subclass_has_no_type():
    class Special(declare()):
        pass

    with pytest.raises(RegistrationError, match=r"Special is no event; declare it with @event"):
        event_type(Special)


def test_a_subclass_may_be_an_event_of_its_own_with_more_fields():
    parent = declare()

    @event("more_happened")
    class More(parent):
        note: str

    assert ("a", 0, "n") == (
        More(id="a", note="n").id,
        More(id="a", note="n").count,
        More(id="a", note="n").note,
    )
    assert ("more_happened", "thing_happened") == (event_type(More).name, event_type(parent).name)


@pytest.mark.parametrize("other", [int, object, "thing_happened", None, 5])
def test_what_was_not_declared_is_no_event(other):
    with pytest.raises(RegistrationError, match="is no event"):
        event_type(other)


@pytest.mark.parametrize(
    "name", ["", "Thing", "thing-happened", "1thing", "thing happened", "é", "a" * 129, None, 5]
)
def test_a_malformed_name_is_refused(name):
    with pytest.raises(RegistrationError, match="an event's name is lower case"):
        declare(name)


@pytest.mark.parametrize("version", [0, -1, 1.0, True, "1", None])
def test_a_version_counts_from_one(version):
    with pytest.raises(RegistrationError, match="the schema version counts from 1"):
        declare(version=version)


def same(payload):
    return payload


@pytest.mark.parametrize(
    ("version", "upcasters"),
    [
        (2, None),
        (3, {1: same}),
        (3, {2: same}),
        (1, {1: same}),
        (2, {1: same, 2: same}),
        (2, {0: same, 1: same}),
    ],
)
def test_every_earlier_version_needs_its_upcaster(version, upcasters):
    with pytest.raises(RegistrationError, match="needs upcasters from"):
        declare(version=version, upcasters=upcasters)


def test_a_payload_is_brought_forward_step_by_step():
    kind = event_type(
        declare(
            version=3,
            upcasters={
                1: lambda payload: {"id": payload["name"]},
                2: lambda payload: {**payload, "count": 1},
            },
        )
    )

    assert {"id": "a", "count": 1} == kind.upcast({"name": "a"}, 1)
    assert {"id": "a", "count": 1} == kind.upcast({"id": "a"}, 2)
    assert {"id": "a"} == kind.upcast({"id": "a"}, 3)


def test_an_upcaster_may_change_what_it_gets():
    def rename(payload):
        payload["id"] = payload.pop("name")
        return payload

    stored = {"name": "a"}

    assert {"id": "a"} == event_type(declare(version=2, upcasters={1: rename})).upcast(stored, 1)
    assert stored == {"name": "a"}


def test_a_payload_from_the_future_is_refused():
    with pytest.raises(
        InvalidEvent, match=r"known here up to schema version 1, got version 2; run the newer code"
    ):
        event_type(declare()).upcast({}, 2)
