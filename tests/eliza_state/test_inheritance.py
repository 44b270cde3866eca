"""The values of a chain of scopes, of which the nearest hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.collections import Map
from eliza_state.inheritance import Inherited
from tests.eliza_state.chat import AGENT, ROOM, TALK

KEYS = st.sampled_from(["a", "b", "c", "d"])
LAYERS = st.lists(st.dictionaries(KEYS, st.none() | st.integers(0, 3)), max_size=len(TALK.steps) + 1)


def inherited(*layers):
    """The view of a conversation, with the values of the first scopes from the root down."""
    return Inherited(TALK, 1, dict(zip(TALK.chain(), layers, strict=False)))


@pytest.fixture
def view():
    """Agent and room set something each, and share one key."""
    return Inherited(TALK, 7, {AGENT: Map({"tone": "dry", "size": 1}), ROOM: {"size": 2, "mode": None}})


def test_the_nearest_value_holds(view):
    assert view == {"tone": "dry", "size": 2, "mode": None}


def test_each_value_tells_where_it_comes_from(view):
    assert {"tone": AGENT, "size": ROOM, "mode": ROOM} == {key: view.origin(key) for key in view}


def test_none_is_a_value():
    assert inherited({"a": 1}, {"a": None})["a"] is None


def test_keys_come_in_the_order_of_the_chain(view):
    assert list(view) == ["tone", "size", "mode"]


@pytest.mark.parametrize("key", ["other", "", 3, None])
def test_a_key_that_nobody_sets_is_missing(view, key):
    with pytest.raises(KeyError):
        view[key]
    with pytest.raises(KeyError):
        view.origin(key)
    assert key not in view
    assert view.get(key, "none") == "none"


def test_layers_show_what_each_scope_sets(view):
    assert list(view.layers.items()) == [
        (AGENT, {"tone": "dry", "size": 1}),
        (ROOM, {"size": 2, "mode": None}),
    ]


def test_nothing_can_be_written(view):
    with pytest.raises(TypeError):
        view["tone"] = "wet"
    with pytest.raises(TypeError):
        view.layers[AGENT] = {}
    for path in view.layers:
        with pytest.raises(TypeError):
            view.layers[path]["tone"] = "wet"


def test_later_layers_do_not_show():
    layers = {AGENT: {"a": 1}}
    view = Inherited(AGENT, 1, layers)
    layers[AGENT] = {"a": 2}

    assert view["a"] == 1


def test_it_shows_its_values(view):
    assert "Inherited({'tone': 'dry', 'size': 2, 'mode': None})" == repr(view)


@given(LAYERS)
def test_the_view_is_the_fold_of_the_layers(layers):
    folded = {}
    for values in layers:
        folded |= values
    view = inherited(*layers)

    assert folded == view
    assert (len(folded), list(folded)) == (len(view), list(view))


@given(LAYERS)
def test_the_origin_is_the_last_scope_that_sets_the_key(layers):
    view = inherited(*layers)
    origins = {key: path for path, values in zip(TALK.chain(), layers, strict=False) for key in values}

    assert origins == {key: view.origin(key) for key in view}
