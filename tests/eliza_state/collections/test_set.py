"""Set against dicts without values: many live versions, branches, storage, and the ways of frozenset."""

import copy
import operator
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from eliza_state.collections import Log, Set, keyed
from tests.effort import examples

SIZE = 4
ELEMENTS = st.one_of(st.integers(-2, 9), st.sampled_from([True, 1.0, "a", None, (1,)]))


def small(elements: Any = ()) -> Set[Any]:
    """A set of small chunks."""
    return Set.from_columns({"keys": Log(dict.fromkeys(elements), chunk_size=SIZE)})


class SetVersions(RuleBasedStateMachine):
    """Every version stays what its model says; the model keeps the order too."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Set[Any], dict[Any, None]]] = []
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(keyed, "ALONE", 2)
        self.patch.setattr(keyed, "SLACK", 5)

    def teardown(self) -> None:
        self.patch.undo()

    def keep(self, set_: Set[Any], model: dict[Any, None]) -> Any:
        self.pairs.append((set_, model))
        return set_, model

    @rule(target=versions, elements=st.lists(ELEMENTS, max_size=9))
    def make(self, elements: list[Any]) -> Any:
        return self.keep(small(elements), dict.fromkeys(elements))

    @rule(target=versions, version=versions, element=ELEMENTS)
    def add(self, version: Any, element: Any) -> Any:
        set_, model = version
        assert (set_.add(element) is set_) == (element in model)
        return self.keep(set_.add(element), {**model, element: None})

    @rule(target=versions, version=versions, element=ELEMENTS)
    def remove(self, version: Any, element: Any) -> Any:
        set_, model = version
        if element not in model:
            with pytest.raises(KeyError):
                set_.remove(element)
            assert set_.discard(element) is set_
            return self.keep(set_, model)
        left = dict(model)
        del left[element]
        assert set_.discard(element) == left.keys()
        return self.keep(set_.remove(element), left)

    @rule(target=versions, version=versions)
    def store_and_restore(self, version: Any) -> Any:
        set_, model = version
        return self.keep(Set.from_columns(set_.columns()), model)

    @rule(target=versions, one=versions, other=versions)
    def unite(self, one: Any, other: Any) -> Any:
        return self.keep(one[0] | other[0], {**one[1], **other[1]})

    @rule(one=versions, other=versions)
    def compare(self, one: Any, other: Any) -> None:
        assert (one[0] == other[0]) == (one[1].keys() == other[1].keys())

    @invariant()
    def all_versions_hold(self) -> None:
        for set_, model in self.pairs:
            assert list(set_) == list(model)
            assert len(set_) == len(model)
            assert list(reversed(set_)) == list(reversed(model))
            assert all(element in set_ for element in model)


TestSetVersions = SetVersions.TestCase
TestSetVersions.settings = settings(max_examples=examples(50), stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("operate", [operator.or_, operator.and_, operator.sub, operator.xor])
@given(left=st.lists(st.integers(0, 6)), right=st.lists(st.integers(0, 6)))
def test_operators_are_those_of_frozenset(operate: Any, left: list[int], right: list[int]) -> None:
    expected = operate(frozenset(left), frozenset(right))
    for mine, theirs in [(Set(left), Set(right)), (Set(left), set(right)), (frozenset(left), Set(right))]:
        result = operate(mine, theirs)

        assert type(result) is Set
        assert result == expected


@pytest.mark.parametrize("compare", [operator.le, operator.lt, operator.ge, operator.gt, operator.eq])
@given(left=st.sets(st.integers(0, 3)), right=st.sets(st.integers(0, 3)))
def test_comparisons_are_those_of_frozenset(compare: Any, left: set[int], right: set[int]) -> None:
    assert compare(Set(left), Set(right)) == compare(left, right)
    assert compare(Set(left), right) == compare(left, right)
    assert compare(left, Set(right)) == compare(left, right)


def test_operators_keep_the_order_of_the_left_side() -> None:
    left, right = Set([5, 3, 4]), Set([4, 9, 3])

    assert list(left | right) == [5, 3, 4, 9]
    assert list(left & right) == [3, 4]
    assert list(left - right) == [5]
    assert list(left ^ right) == [5, 9]


def test_nothing_new_is_the_same_set() -> None:
    set_ = Set([1, 2])

    assert set_ | {2} is set_
    assert set_ - {3} is set_
    assert set_.union([1], []) is set_
    assert set_.add(True) is set_
    assert copy.copy(set_) is set_


@given(st.frozensets(ELEMENTS))
def test_equals_and_hashes_like_the_frozenset(elements: frozenset[Any]) -> None:
    set_ = Set(elements)

    assert set_ == elements
    assert elements == set_
    assert set_ == set(elements)
    assert set_ == Set(reversed(set_))
    assert hash(set_) == hash(elements)


@pytest.mark.parametrize("other", [{1}, {1, 3}, {1, 2, 3}, [1, 2], (1, 2), {1: 2, 2: 3}, None, Set([2, 3])])
def test_differs_from(other: Any) -> None:
    assert Set([1, 2]) != other
    assert other != Set([1, 2])


def test_is_a_set_with_keys_views() -> None:
    assert Set(["a"]) == {"a": 1}.keys()


def test_repr_and_copies() -> None:
    set_ = Set([2, "one"])

    assert repr(set_) == "Set([2, 'one'])"
    assert copy.deepcopy(set_) == set_
    assert pickle.loads(pickle.dumps(set_)) == set_


def test_other_columns_raise() -> None:
    with pytest.raises(ValueError, match="expected the columns"):
        Set.from_columns({"keys": Log([1]), "values": Log([1])})
