"""Vector clocks: their order, their lattice, pruning, their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.errors import StateError
from eliza_state.synchronizer import Order, VectorClock

counts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3))
clocks = counts.map(VectorClock)

OPPOSITE = {Order.BEFORE: Order.AFTER, Order.AFTER: Order.BEFORE}


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        ({}, {}, Order.EQUAL),
        ({"a": 1}, {"a": 1, "b": 0}, Order.EQUAL),
        ({}, {"a": 1}, Order.BEFORE),
        ({"a": 1}, {"a": 2}, Order.BEFORE),
        ({"a": 2, "b": 1}, {"a": 1, "b": 1}, Order.AFTER),
        ({"a": 1}, {"b": 1}, Order.CONCURRENT),
        ({"a": 2, "b": 1}, {"a": 1, "b": 2}, Order.CONCURRENT),
    ],
)
def test_two_clocks_stand_in_one_of_four_ways(first, second, order):
    assert order is VectorClock(first).compare(VectorClock(second))


@given(clocks, clocks)
def test_the_order_is_the_opposite_from_the_other_side(first, second):
    order = first.compare(second)

    assert OPPOSITE.get(order, order) is second.compare(first)
    assert (order is Order.EQUAL) == (first == second)
    assert [order is Order.BEFORE, order is Order.AFTER, order is Order.CONCURRENT] == [
        first.is_before(second),
        first.is_after(second),
        first.is_concurrent_with(second),
    ]


@given(clocks, clocks, clocks)
def test_the_order_is_transitive(first, second, third):
    if first.is_before(second) and second.is_before(third):
        assert first.is_before(third)


@given(clocks, clocks, clocks)
def test_join_is_associative_commutative_and_idempotent(first, second, third):
    assert first.join(second).join(third) == first.join(second.join(third)) == third.join(first, second)
    assert first.join(second) == second.join(first)
    assert first == first.join(first) == first.join(VectorClock())


@given(clocks, clocks)
def test_join_is_the_least_that_is_not_before_either(first, second):
    joined = first.join(second)

    assert not joined.is_before(first)
    assert not joined.is_concurrent_with(second)
    for writer, count in joined.entries:
        lower = VectorClock({**joined.counts(), writer: count - 1})
        assert lower.compare(first) in (Order.BEFORE, Order.CONCURRENT) or lower.compare(second) in (
            Order.BEFORE,
            Order.CONCURRENT,
        )


@given(clocks, st.sampled_from("abcd"))
def test_a_change_makes_a_clock_that_comes_after(clock, writer):
    after = clock.increment(writer)

    assert clock.is_before(after)
    assert clock.count(writer) + 1 == after.count(writer)


@given(st.lists(clocks, min_size=1, max_size=4), st.frozensets(st.sampled_from("abcd")), st.data())
def test_pruning_changes_no_order_among_what_comes_after(everybody, retired, data):
    def later() -> VectorClock:
        clock = data.draw(st.sampled_from(everybody))
        return clock.join(*(other for other in everybody if data.draw(st.booleans())))

    first, second = later(), later()

    pruned = [clock.pruned(retired, everybody=everybody) for clock in (first, second)]

    assert first.compare(second) is pruned[0].compare(pruned[1])


def test_a_writer_is_pruned_once_everybody_has_seen_its_end():
    whole, behind = VectorClock({"a": 3, "b": 1}), VectorClock({"a": 2, "b": 1})

    assert VectorClock({"b": 1}) == whole.pruned(["a"], everybody=[whole, whole])
    assert whole == whole.pruned(["a"], everybody=[whole, behind])
    assert whole == whole.pruned([], everybody=[whole])


@given(clocks)
def test_its_text_is_json_and_the_same_for_equal_clocks(clock):
    again = VectorClock(dict(reversed(clock.entries)))

    assert clock == VectorClock.parse(str(clock))
    assert (str(clock), hash(clock)) == (str(again), hash(again))


def test_it_shows_its_counts():
    assert "VectorClock({'a': 2})" == repr(VectorClock({"b": 0, "a": 2}))
    assert not VectorClock({"b": 0})


@pytest.mark.parametrize("wrong", [{"a": -1}, {"a": True}, {1: 1}, {"a": 1.0}])
def test_counts_are_whole_numbers_by_text(wrong):
    with pytest.raises(StateError, match="counts writers"):
        VectorClock(wrong)


@pytest.mark.parametrize("wrong", ["", "[]", '{"a": "1"}', '{"a": -1}', b"\xff"])
def test_a_text_that_is_no_clock_is_refused(wrong):
    with pytest.raises(StateError, match="clock"):
        VectorClock.parse(wrong)
