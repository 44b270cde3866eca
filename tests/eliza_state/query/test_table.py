"""Indexes in memory: kept up by changes, they are what they would be if they were made anew."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.evolve import evolve
from eliza_state.indexes import ABSENT, collections_of
from eliza_state.query.table import Table, normal
from tests.effort import examples
from tests.eliza_state.query.forum import Forum, ForumModule, Post, at_hour, talk

collection = collections_of(ForumModule())["posts"]
posts = st.builds(
    Post,
    id=st.integers(0, 5).map("m{}".format),
    author=st.sampled_from(["ada", "bob"]),
    at=st.none() | st.integers(0, 2).map(at_hour),
    score=st.sampled_from([None, 1, 1.0, 2, float("nan")]),
    tags=st.frozensets(st.sampled_from(["red", "blue"])),
    meta=st.sampled_from([{}, {"lang": True}, {"lang": 1}, {"lang": [1]}]),
)
steps = st.lists(
    st.one_of(
        posts.map(lambda post: lambda state: evolve(state, posts=state.posts.upsert(post))),
        st.integers(0, 5).map(lambda n: lambda state: evolve(state, posts=state.posts.discard(f"m{n}"))),
        st.sampled_from(["tea", None]).map(lambda topic: lambda state: evolve(state, topic=topic)),
    ),
    max_size=20,
)


def table() -> Table:
    return Table(collection, collection.find)


def contents(made: Table) -> Any:
    entries = {
        buckets.name: {value: {match.key for match in found} for value, found in buckets.matches.items()}
        for buckets in made.buckets
    }
    states = {
        buckets.name: {value: {place.path for place in found} for value, found in buckets.places.items()}
        for buckets in made.states
    }
    return entries, states, made.size


@settings(max_examples=examples(200))
@given(steps)
def test_following_changes_comes_to_the_same_as_building(script):
    followed, state = table(), Forum()
    place = followed.build(talk(), state)
    for step in script:
        state = step(state)
        followed.update(place, state)
    built = table()
    built.build(talk(), state)

    assert contents(followed) == contents(built)
    assert {match.key: match.entry for match in place.matches.values()} == {
        post.id: post for post in state.posts
    }


@settings(max_examples=examples(50))
@given(steps)
def test_a_scope_that_leaves_leaves_nothing(script):
    made, state = table(), Forum()
    for step in script:
        state = step(state)
    made.build(talk(), state)
    made.drop(talk())

    assert contents(made) == contents(table())


def scores(*values: Any) -> Any:
    made = table()
    state = Forum()
    for number, score in enumerate(values):
        state = evolve(state, posts=state.posts.add(Post(id=f"m{number}", score=score)))
    place = made.build(talk(), state)
    (buckets,) = (each for each in made.buckets if each.name == "score")
    return made, place, state, buckets


def test_an_ordered_index_gives_the_values_within_bounds():
    *_, buckets = scores(5, 1, 3, None, 2)

    assert buckets.between(2, 3) == [2, 3]
    assert buckets.between(2, 3, with_low=False, with_high=False) == []
    assert buckets.between(ABSENT, 3, with_high=False) == [1, 2]
    assert buckets.between(3, ABSENT) == [3, 5]


def test_an_ordered_index_follows_what_comes_and_goes():
    made, place, state, buckets = scores(5, 1)
    buckets.between(0, 9)
    state = evolve(state, posts=state.posts.discard("m0").add(Post(id="x", score=3)))
    made.update(place, state)

    assert [value for value in buckets.between(0, 9) if value in buckets.matches] == [1, 3]


def test_an_ordered_index_gives_the_texts_with_a_beginning():
    made = Table(collection, collection.find)
    (buckets,) = (each for each in made.buckets if each.name == "author")
    state = Forum()
    for number, author in enumerate(["bo", "bob", "boa", "c", "b"]):
        state = evolve(state, posts=state.posts.add(Post(id=f"m{number}", author=author)))
    buckets.is_ordered = True
    made.build(talk(), state)

    assert buckets.beginning("bo") == ["bo", "boa", "bob"]


def test_what_is_looked_up_tells_kinds_apart():
    assert normal(True) != normal(1)
    assert normal(1.0) == normal(1)
    assert normal("a") == "a"
