from __future__ import annotations

from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map
from eliza_state.errors import RegistrationError
from eliza_state.event import event
from eliza_state.indexes import ABSENT, Composite, Index, changes, collections_of, entries, entry_at
from eliza_state.module import StateModule, reduces
from eliza_state.tree import Tree
from tests.effort import examples


@attrs.frozen
class Thing:
    id: str
    size: int = 0
    tags: frozenset[str] = frozenset()
    token: Secret[str] | None = None
    tokens: tuple[Secret[str], ...] = ()


@attrs.frozen
class Things:
    things: Entities[Thing] = attrs.field(factory=Entities[Thing])
    names: Map[str, int] = attrs.field(factory=Map[str, int])
    title: str = ""


@event("thing_came")
class ThingCame:
    thing: Thing


def module(indexes: Any) -> Any:
    class ThingsModule(StateModule[Things]):
        name = "things"
        level = "room"

        @reduces(ThingCame)
        def take(self, state: Things, event: ThingCame) -> Things:
            return state

    ThingsModule.state_type = Things
    ThingsModule.indexes = indexes
    return ThingsModule()


@pytest.mark.parametrize(
    ("indexes", "message"),
    [
        ([Index("size")], "`indexes` maps collections"),
        (
            {"thing": (Index("size"),)},
            "names 'thing'; its state has these Entities, Logs and Maps: things, names",
        ),
        ({"things": (Index("sizes"),)}, "no field 'sizes'; did you mean 'size'"),
        ({"things": ("size",)}, "expected Index or Composite"),
        ({"things": (Index("size"), Index("size"))}, "two indexes are named 'size'"),
        ({"things": (Index("token"),)}, "'token' is a secret"),
        ({"things": (Index("tokens", each=True),)}, "'tokens' holds secrets"),
        ({"things": (Index("size", each=True),)}, "'size' holds no elements"),
        ({"things": (Index("size", key=len),)}, "a name of its own, got 'size'"),
        ({"things": (Index("large", key=5),)}, "is a function, got 5"),
        ({"things": (Composite("size", "title"),)}, "fields of the entries that hold one value, got 'title'"),
        ({"things": (Index("tags", each=True), Composite("size", "tags"))}, "one value, got 'tags'"),
        ({"names": (Index("size"),)}, "no field 'size'"),
    ],
)
def test_indexes_that_cannot_work_are_refused_at_registration(indexes, message):
    with pytest.raises(RegistrationError, match=r".*".join(message.split("…"))):
        Tree([module(indexes)])


def test_a_function_that_returns_a_secret_is_refused():
    def token_of(thing: Thing) -> Secret[str] | None:
        return thing.token

    token_of.__annotations__["return"] = Secret[str] | None
    with pytest.raises(RegistrationError, match="secret"):
        Tree([module({"things": (Index("hidden", key=token_of),)})])


@pytest.mark.parametrize("names", [("size",), ("size", "size"), ()])
def test_a_composite_takes_several_names(names):
    with pytest.raises(RegistrationError, match="two different names or more"):
        Composite(*names)


def test_indexes_of_all_sorts_are_taken():
    declared = {
        "things": (
            Index("size", ordered=True),
            Index("title"),
            Index("tags", each=True),
            Index("large", key=lambda thing: thing.size > 5),
            Composite("size", "large"),
        ),
        "names": (Index("value"),),
    }

    assert Tree([module(declared)]).modules("room")["things"].indexes == declared


class Forever:
    """Two functions of one text, one of another."""

    one: ClassVar[Any] = lambda thing: thing.size > 5
    same: ClassVar[Any] = lambda thing: thing.size > 5
    other: ClassVar[Any] = lambda thing: thing.size > 6


def fingerprint(*indexes: Any) -> str:
    return collections_of(module({"things": indexes}))["things"].fingerprint()


def test_the_fingerprint_differs_with_the_declaration():
    known = fingerprint(Index("large", key=Forever.one))

    assert known == fingerprint(Index("large", key=Forever.same))
    assert known != fingerprint(Index("large", key=Forever.other))
    assert known != fingerprint(Index("large", key=Forever.one, version=2))
    assert known != fingerprint(Index("large", key=Forever.one, ordered=True))
    assert known != fingerprint(Index("size"))


keys = st.integers(0, 6).map("k{}".format)
steps = st.lists(st.tuples(st.sampled_from(["set", "drop"]), keys, st.integers(0, 2)), max_size=30)


def played(kind: Any, script: Any) -> Any:
    collection: Any = kind()
    for step, key, size in script:
        if kind is Map:
            collection = collection.set(key, size) if step == "set" else collection.discard(key)
        elif kind is Entities:
            entity = Thing(key, size)
            collection = collection.upsert(entity) if step == "set" else collection.discard(key)
        else:
            collection = collection.append(size) if step == "set" else collection[: len(collection) // 2]
    return collection


@settings(max_examples=examples(200))
@given(st.sampled_from([Entities, Map, Log]), steps, st.integers(0, 30))
def test_changes_lead_from_one_version_to_the_other(kind, script, cut):
    before, after = played(kind, script[:cut]), played(kind, script)
    found = dict(entries(before))
    for key, old, new in changes(before, after):
        assert found.pop(key, ABSENT) is old
        if new is not ABSENT:
            found[key] = new

    assert found == dict(entries(after))


@pytest.mark.parametrize(
    ("collection", "key", "entry"),
    [
        (Log("ab"), 1, "b"),
        (Log("ab"), 2, ABSENT),
        (Log("ab"), "1", ABSENT),
        (Map({"a": None}), "a", None),
        (Map({"a": None}), "b", ABSENT),
    ],
)
def test_an_entry_is_had_by_its_key(collection, key, entry):
    assert entry_at(collection, key) == entry
