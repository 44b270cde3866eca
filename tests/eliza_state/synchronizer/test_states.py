"""Synchronising states that come without a log."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_state.debugger.state_paths import MISSING
from eliza_state.errors import StateError
from eliza_state.synchronizer import (
    Counters,
    KeepBoth,
    Keyed,
    LastWrite,
    Union,
    VectorClock,
    Versioned,
    sync,
    written,
)
from tests.effort import examples


@attrs.frozen
class Note:
    text: str
    at: int


@attrs.frozen
class Profile:
    name: str = ""
    tags: frozenset[str] = frozenset()
    visits: dict[str, int] = attrs.field(factory=dict)
    notes: dict[str, Note] = attrs.field(factory=dict)
    drink: Any = ""


STRATEGIES: dict[str, Any] = {
    "tags": Union(),
    "visits": Counters(),
    "notes": Keyed(at="at"),
    "drink": KeepBoth(),
}


def merged(local: Versioned[Any], remote: Versioned[Any]) -> Versioned[Any]:
    return sync(local, remote, strategies=STRATEGIES).result


# One has seen the other


def test_what_has_seen_the_other_is_taken_without_a_conflict():
    old = written(Profile(name="A"), writer="a", at_us=9)
    new = old.change(attrs.evolve(old.state, name="B"), writer="b", at_us=1)

    for local, remote in ((old, new), (new, old)):
        done = sync(local, remote)
        assert (new, ()) == (done.result, done.conflicts)


def test_fields_that_different_writers_changed_are_both_taken():
    start = written(Profile(), writer="a", at_us=1)
    ours = start.change(attrs.evolve(start.state, name="Ada"), writer="a", at_us=2)
    theirs = start.change(attrs.evolve(start.state, drink="tea"), writer="b", at_us=3)

    done = sync(ours, theirs)

    assert (("Ada", "tea"), ()) == ((done.result.state.name, done.result.state.drink), done.conflicts)


def test_a_key_that_one_side_removed_is_gone_and_one_that_came_is_there():
    start = written({"old": 1}, writer="a", at_us=1)
    removed = start.change({"other": 2}, writer="b", at_us=2)
    without = Versioned({}, start.clock, {})

    assert {"other": 2} == sync(start, removed).result.state
    assert {} == sync(without, start).result.state
    assert {"old": 1} == sync(Versioned({}), start).result.state


# Neither has


def test_a_conflict_tells_both_values_the_choice_and_why():
    ours, theirs = (written(Profile(name=name), writer=name, at_us=1) for name in ("a", "b"))

    (conflict, *_) = sync(ours, theirs).conflicts

    told = {"place": "name", "local": "a", "remote": "b", "chosen": "b", "why": "the last write, by 'b'"}
    assert told == conflict.to_json()


def test_secrets_are_masked_in_conflicts():
    ours, theirs = (written({"key": Secret(text)}, writer=text, at_us=1) for text in ("s3cret", "t0ken"))

    (conflict,) = sync(ours, theirs).conflicts

    assert "[SECRET]" == conflict.local == conflict.remote == conflict.chosen
    assert "s3cret" not in repr(conflict)


def test_one_clock_with_two_values_is_told():
    ours = written({"x": 1}, writer="a", at_us=1)
    theirs = attrs.evolve(ours, state={"x": 2})

    done, other = sync(ours, theirs), sync(theirs, ours)

    assert done.result == other.result
    assert ["the clocks are equal and the values are not: one was changed without its clock"] == [
        conflict.why for conflict in done.conflicts
    ]


class MergingModule:
    """Takes the longer name."""

    seen: ClassVar[list[Any]] = []

    def merge(self, base: Any, local: Profile, remote: Profile) -> Profile:
        self.seen.append(base)
        return attrs.evolve(local, name=max(local.name, remote.name, key=len))


def test_a_module_may_merge_the_whole():
    module = MergingModule()
    start = written(Profile(), writer="a", at_us=1)
    ours = start.change(Profile(name="Ada"), writer="a", at_us=2)
    theirs = start.change(Profile(name="A"), writer="b", at_us=3)

    done = sync(ours, theirs, module=module, base=start.state)

    assert "Ada" == done.result.state.name
    assert [start.state] == module.seen
    assert VectorClock({"a": 2, "b": 1}) == done.result.clock
    assert ["merged by the module"] == [conflict.why for conflict in done.conflicts]
    assert done.result == sync(done.result, theirs, module=module).result


def test_a_value_that_is_missing_is_none_of_the_values():
    ours, theirs = written({"x": None}, writer="a", at_us=1), Versioned({"x": 1})

    assert {"x": None} == sync(ours, theirs).result.state
    assert "nothing" == repr(MISSING)


# What cannot be


def test_states_of_different_types_are_refused():
    with pytest.raises(StateError, match="of one type"):
        sync(written(Profile(), writer="a", at_us=1), written({}, writer="a", at_us=1))


def test_a_strategy_for_no_field_is_refused():
    state = written(Profile(), writer="a", at_us=1)

    with pytest.raises(StateError, match=r"\['nme'\]"):
        sync(state, state, strategies={"nme": LastWrite()})


# The algebra

CHANGES = st.one_of(
    st.tuples(st.just("name"), st.sampled_from("xyz")),
    st.tuples(st.just("tags"), st.sampled_from("xyz")),
    st.tuples(st.just("visits"), st.integers(1, 3)),
    st.tuples(st.just("notes"), st.sampled_from("xyz")),
    st.tuples(st.just("drink"), st.sampled_from("xyz")),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 2), CHANGES, st.integers(0, 5)),
        st.tuples(st.integers(0, 2), st.integers(0, 2)),
    ),
    max_size=12,
)


def changed(state: Profile, change: tuple[str, Any], writer: str, now: int) -> Profile:
    name, value = change
    if name == "tags":
        return attrs.evolve(state, tags=state.tags | {value})
    if name == "visits":
        return attrs.evolve(state, visits={**state.visits, writer: state.visits.get(writer, 0) + value})
    if name == "notes":
        return attrs.evolve(state, notes={**state.notes, value: Note(f"by {writer}", now)})
    return attrs.evolve(state, **{name: value})


@settings(max_examples=examples(150))
@given(STEPS)
def test_merging_is_associative_commutative_and_idempotent(steps):
    start = written(Profile(), writer="start", at_us=0)
    replicas = [start, start, start]
    for now, (number, what, *at) in enumerate(steps):
        if at:
            writer, replica = f"w{number}", replicas[number]
            replicas[number] = replica.change(
                changed(replica.state, what, writer, now), writer=writer, at_us=at[0]
            )
        else:
            replicas[number] = merged(replicas[number], replicas[what])
    first, second, third = replicas

    assert first == merged(first, first)
    assert merged(first, second) == merged(second, first)
    everything = merged(merged(first, second), third)
    for a, b, c in itertools.permutations(replicas):
        assert everything == merged(a, merged(b, c))
        assert everything == merged(everything, a)
