from __future__ import annotations

import gc
import weakref

import attrs
import pytest

from eliza_state.collections import Log
from eliza_state.evolve import evolve
from eliza_state.query import selector


@attrs.frozen
class State:
    texts: Log[str] = attrs.field(factory=Log[str])
    title: str = ""


def test_it_computes_again_only_when_an_input_is_another_object():
    longest = selector(lambda state: state.texts, lambda texts: max(texts, key=len))
    state = State(Log(["a", "abc"]))

    assert longest(state) == "abc"
    assert longest(evolve(state, title="other")) == "abc"
    assert longest.computations == 1
    assert longest(evolve(state, texts=state.texts.append("abcd"))) == "abcd"
    assert longest.computations == 2


def test_several_inputs_are_handed_over_in_order():
    shown = selector(lambda s: s.title, lambda s: len(s.texts), lambda title, size: f"{title} {size}")

    assert shown(State(Log("ab"), "t")) == "t 2"


def test_selectors_are_inputs_of_selectors():
    upper = selector(lambda state: state.title, str.upper)
    twice = selector(upper, lambda title: title * 2)

    assert twice(State(title="a")) == "AA"
    assert upper.computations == 1


def test_one_selector_serves_several_states():
    title = selector(lambda state: state.title, str.upper)
    one, other = State(title="one"), State(title="other")
    for _ in range(3):
        title(one), title(other)

    assert title.computations == 2


def test_what_it_keeps_is_bounded():
    size = selector(lambda state: state.texts, len, kept=2)
    logs = [Log([str(number)]) for number in range(3)]
    watched = weakref.ref(states := State(logs[0]))
    for log in logs:
        size(State(log))
    size(State(logs[0]))

    assert size.computations == 4
    del states
    gc.collect()
    assert watched() is None


def test_an_error_is_not_remembered():
    first = selector(lambda state: state.texts, lambda texts: texts[0])
    for _ in range(2):
        with pytest.raises(IndexError):
            first(State())

    assert first.computations == 2


def test_results_can_be_forgotten():
    title = selector(lambda state: state.title, str.upper)
    state = State(title="a")
    title(state)
    title.clear()
    title(state)

    assert title.computations == 2


@pytest.mark.parametrize("functions", [(), (len,), (len, "no function")])
def test_it_takes_functions(functions):
    with pytest.raises(TypeError, match="a selector takes"):
        selector(*functions)


def test_it_keeps_one_at_least():
    with pytest.raises(ValueError, match="kept=0"):
        selector(len, len, kept=0)
