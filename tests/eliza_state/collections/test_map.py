"""Map against dicts: many live versions, branches, storage, and the ways of its cousin dict."""

import copy
import gc
import pickle
import weakref
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from eliza_state.collections import LazyChunk, Log, Map, chunk_from_data, chunk_to_data, keyed
from tests.effort import examples

SIZE = 4
KEYS = st.one_of(st.integers(-2, 9), st.sampled_from([True, 1.0, "a", None, (1,)]))


def small(items: Any = ()) -> Map[Any, Any]:
    """A map of small chunks."""
    entries = dict(items)
    return Map.from_columns(
        {"keys": Log(entries, chunk_size=SIZE), "values": Log(entries.values(), chunk_size=SIZE)}
    )


def stored(log: Log[Any]) -> Log[Any]:
    """The log as it comes back from storage, unloaded."""
    chunks: list[LazyChunk[Any]] = []
    for chunk in log.chunks():
        items, dead = chunk_to_data(chunk)

        def load(items: list[Any] = items, dead: Sequence[int] = dead) -> list[Any]:
            return chunk_from_data(items, dead)

        chunks.append(LazyChunk(len(chunk), load, dead=len(dead)))
    return Log.from_chunks(chunks, chunk_size=log.chunk_size)


class MapVersions(RuleBasedStateMachine):
    """Every version stays what its dict says, whatever is derived from whichever."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Map[Any, Any], dict[Any, Any]]] = []
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(keyed, "ALONE", 2)
        self.patch.setattr(keyed, "SLACK", 5)

    def teardown(self) -> None:
        self.patch.undo()

    def keep(self, map_: Map[Any, Any], model: dict[Any, Any]) -> Any:
        self.pairs.append((map_, model))
        return map_, model

    @rule(target=versions, items=st.lists(st.tuples(KEYS, st.integers()), max_size=9))
    def make(self, items: list[tuple[Any, int]]) -> Any:
        return self.keep(small(items), dict(items))

    @rule(target=versions, version=versions, key=KEYS, value=st.integers())
    def put(self, version: Any, key: Any, value: int) -> Any:
        map_, model = version
        return self.keep(map_.set(key, value), {**model, key: value})

    @rule(target=versions, version=versions, items=st.dictionaries(KEYS, st.integers()))
    def update(self, version: Any, items: dict[Any, int]) -> Any:
        map_, model = version
        return self.keep(map_.update(items), {**model, **items})

    @rule(target=versions, version=versions, key=KEYS)
    def delete(self, version: Any, key: Any) -> Any:
        map_, model = version
        if key not in model:
            with pytest.raises(KeyError):
                map_.delete(key)
            assert map_.discard(key) is map_
            return self.keep(map_, model)
        left = dict(model)
        del left[key]
        assert map_.discard(key) == left
        return self.keep(map_.delete(key), left)

    @rule(target=versions, version=versions, key=KEYS, times=st.integers(1, 9))
    def come_and_go(self, version: Any, key: Any, times: int) -> Any:
        map_, model = version
        left = {present: value for present, value in model.items() if present != key}
        for value in range(times):
            map_ = map_.discard(key).set(key, value)
            self.pairs.append((map_, {**left, key: value}))
        return map_, {**left, key: times - 1}

    @rule(target=versions, version=versions)
    def store_and_restore(self, version: Any) -> Any:
        map_, model = version
        columns = {name: stored(column) for name, column in map_.columns().items()}
        return self.keep(Map.from_columns(columns), model)

    @rule(one=versions, other=versions)
    def compare(self, one: Any, other: Any) -> None:
        assert (one[0] == other[0]) == (one[1] == other[1])

    @rule(version=versions, key=KEYS)
    def look_up(self, version: Any, key: Any) -> None:
        map_, model = version
        assert (key in map_) == (key in model)
        assert map_.get(key, "none") == model.get(key, "none")

    @invariant()
    def all_versions_hold(self) -> None:
        for map_, model in self.pairs:
            assert list(map_.items()) == list(model.items())
            assert len(map_) == len(model)
            assert [map_[key] for key in model] == list(model.values())
            assert list(reversed(map_)) == list(reversed(model))
            assert len(map_.columns()["keys"]) <= 2 * len(model) + keyed.SLACK + 2


TestMapVersions = MapVersions.TestCase
TestMapVersions.settings = settings(max_examples=examples(100), stateful_step_count=40, deadline=None)


def test_many_branches_of_one_version_do_not_gather_hints() -> None:
    base = Map((number, number) for number in range(keyed.ALONE))
    branches = [base.set(f"branch {number}", number) for number in range(1000)]
    index: Any = base._index

    assert len(index) + index.extra <= 2 * len(base) + keyed.SLACK + 1
    assert all(branch[f"branch {number}"] == number for number, branch in enumerate(branches))
    assert not any("branch 1" in branch for branch in branches[2:])


def test_a_key_that_comes_and_goes_is_compacted() -> None:
    map_ = Map({"stays": 1})
    for value in range(1000):
        map_ = map_.set("comes", value).delete("comes")

    assert map_ == {"stays": 1}
    assert len(map_.columns()["keys"]) <= keyed.SLACK + 4


class Counted:
    """A key that counts how often it is compared."""

    def __init__(self) -> None:
        self.comparisons = 0

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        self.comparisons += 1
        return isinstance(other, Counted)


def test_a_key_that_came_and_went_often_is_found_missing_at_once() -> None:
    map_ = Map(dict.fromkeys(range(100), 0))
    for value in range(50):
        map_ = map_.set(Counted(), value).delete(Counted())
    key = Counted()

    assert key not in map_
    assert key.comparisons <= 2


def test_branches_may_give_a_key_one_slot_or_several() -> None:
    base = Map(dict.fromkeys(range(40), 0))
    longer = base.set("other", 0)
    branches = [
        base.set("key", 1),
        longer.set("key", 2),
        longer.set("more", 0).set("key", 3),
        base.set("key", 4),
    ]

    assert [branch["key"] for branch in branches] == [1, 2, 3, 4]
    assert "key" not in base
    assert "key" not in longer


class Value:
    """Something that can be seen to go."""

    def __hash__(self) -> int:
        return 1


def test_an_initial_state_gathers_nothing_of_its_descendants() -> None:
    initial = Map[Any, Any]({"greeting": 1})
    key, value = Value(), Value()
    seen = weakref.ref(key), weakref.ref(value)
    longer = initial.set(key, value).set("more", 2)
    assert key in longer
    del longer, key, value
    gc.collect()

    assert (seen[0](), seen[1]()) == (None, None)
    assert initial == {"greeting": 1}


def test_a_removed_value_is_let_go() -> None:
    value = Value()
    seen = weakref.ref(value)
    map_ = Map({"kept": 1}).set("removed", value).delete("removed")
    del value
    gc.collect()

    assert seen() is None
    assert map_ == {"kept": 1}


def test_nothing_new_is_the_same_map() -> None:
    value = object()
    map_ = Map({"key": value})

    assert map_.set("key", value) is map_
    assert map_.update({"key": value}) is map_
    assert map_.update({}) is map_
    assert map_.discard("other") is map_
    assert copy.copy(map_) is map_


def test_an_equal_but_different_object_is_stored() -> None:
    map_ = Map[str, Any]({"key": 1}).set("key", True)

    assert map_["key"] is True


@pytest.mark.parametrize(
    "items", [{}, {"a": 1}, {1: "one", "two": 2.0, None: (3,)}, dict.fromkeys(range(20), "x")]
)
def test_equals_any_mapping_of_the_same_items(items: dict[Any, Any]) -> None:
    map_ = Map(items)

    assert map_ == items
    assert items == map_
    assert map_ == MappingProxyType(items)
    assert map_ == Map(reversed(items.items()))
    assert hash(map_) == hash(Map(reversed(items.items())))


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {}, {"a": 1, "b": 2}, [("a", 1)], None, Map({"a": 2})])
def test_differs_from(other: Any) -> None:
    assert Map({"a": 1}) != other
    assert other != Map({"a": 1})


def test_one_key_for_1_and_true_as_in_a_dict() -> None:
    map_ = Map[Any, Any]([(1, "one"), (True, "true")])

    assert dict(map_) == {1: "true"}
    assert list(map_) == [1]
    assert map_[1.0] == "true"


def test_nan_is_found_by_identity_as_in_a_dict() -> None:
    nan, copy_of_nan = float("nan"), float("nan")

    assert nan in Map({nan: 1})
    assert copy_of_nan not in Map({nan: 1})


def test_keys_of_one_hash_are_told_apart() -> None:
    first, second = Value(), Value()
    map_ = Map({first: 1}).set(second, 2).delete(first)

    assert first not in map_
    assert map_[second] == 2


def test_unhashable_keys_and_values() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        Map[Any, Any]().set([], 1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Map({"a": []}))


def test_a_missing_key_raises() -> None:
    with pytest.raises(KeyError, match="'b'"):
        Map({"a": 1})["b"]
    with pytest.raises(KeyError, match="'b'"):
        Map({"a": 1}).delete("b")


def test_views_are_those_of_a_mapping() -> None:
    map_ = Map({"a": 1, "b": 2})

    assert isinstance(map_, Mapping)
    assert map_.keys() == {"a", "b"}
    assert list(map_.values()) == [1, 2]
    assert 2 in map_.values()
    assert ("a", 1) in map_.items()
    assert len(map_.items()) == 2


def test_repr_and_copies() -> None:
    map_ = Map({"a": [1]}).set("b", 2)

    assert repr(map_) == "Map({'a': [1], 'b': 2})"
    assert copy.deepcopy(map_) == map_
    assert pickle.loads(pickle.dumps(map_)) == map_


class TestStorage:
    def columns(self, length: int) -> tuple[dict[str, Log[Any]], list[str]]:
        loaded: list[str] = []

        def chunk(name: str, start: int) -> LazyChunk[Any]:
            def load() -> list[int]:
                loaded.append(f"{name}{start}")
                return list(range(start, min(start + SIZE, length)))

            return LazyChunk(min(SIZE, length - start), load)

        return {
            name: Log.from_chunks([chunk(name, start) for start in range(0, length, SIZE)], chunk_size=SIZE)
            for name in ("keys", "values")
        }, loaded

    def test_restoring_loads_nothing(self) -> None:
        columns, loaded = self.columns(10)

        assert len(Map.from_columns(columns)) == 10
        assert loaded == []

    def test_a_look_up_loads_the_keys_and_one_chunk_of_values(self) -> None:
        columns, loaded = self.columns(10)

        assert Map[int, int].from_columns(columns)[5] == 5
        assert loaded == ["keys0", "keys4", "keys8", "values4"]

    def test_membership_loads_no_values(self) -> None:
        columns, loaded = self.columns(10)
        map_ = Map[int, int].from_columns(columns)

        assert 5 in map_
        assert 11 not in map_
        assert loaded == ["keys0", "keys4", "keys8"]

    def test_a_new_key_loads_the_last_values_at_most(self) -> None:
        columns, loaded = self.columns(10)
        Map[int, int].from_columns(columns).set(10, 10)

        assert loaded == ["keys0", "keys4", "keys8", "values8"]

    def test_a_key_stored_twice_raises_when_it_is_looked_up(self) -> None:
        map_ = Map[int, int].from_columns({"keys": Log([1, 1]), "values": Log([1, 2])})
        with pytest.raises(ValueError, match="expected 2 different keys in the stored columns, got 1"):
            map_.get(1)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"keys": Log([1])}, "expected the columns"),
            ({"keys": Log([1]), "values": Log([1]), "more": Log([1])}, "expected the columns"),
            ({"keys": Log([1]), "values": Log([1, 2])}, "expected columns of the same chunks"),
            ({"keys": Log([1]), "values": Log([1], chunk_size=4)}, "expected columns of the same chunks"),
            (
                {"keys": Log([1]), "values": Log.from_chunks([chunk_from_data([], [0])])},
                "expected columns of the same chunks",
            ),
        ],
    )
    def test_columns_that_do_not_fit_raise(self, columns: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Map.from_columns(columns)
