"""diff: what it tells leads from before to after; what is shared is not looked at."""

import operator
from functools import reduce
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers.secret import Secret
from eliza_state.collections import Entities, LazyChunk, Log, Map, Set
from eliza_state.diff import Difference, Element, Field, Index, Key, diff, render
from eliza_state.evolve import evolve
from tests.effort import examples

SIZE = 4


@attrs.frozen
class Message:
    id: int
    text: Any = ""


@attrs.frozen
class Conversation:
    topic: Any = None
    messages: Any = attrs.field(factory=Entities[Message])
    settings: Any = attrs.field(factory=Map[str, Any])
    log: Any = attrs.field(factory=Log[Any])
    people: Any = attrs.field(factory=Set[str])


def apply(state: Any, differences: tuple[Difference, ...]) -> Any:
    """Do to `state` what the differences say, one after the other."""
    return reduce(lambda state, difference: applied(state, difference.path, difference), differences, state)


def applied(state: Any, path: tuple[Any, ...], difference: Difference) -> Any:
    if not path:
        return difference.after
    step, *rest = path
    if rest:
        return replaced(state, step, applied(child(state, step), tuple(rest), difference))
    if difference.kind == "changed":
        return replaced(state, step, difference.after)
    if difference.kind == "moved":
        return state.remove(step.key).add(state[step.key])
    return EDITS[type(state), difference.kind](state, step, difference.after)


def child(state: Any, step: Any) -> Any:
    match step:
        case Field(name):
            return getattr(state, name)
        case Key(key):
            return state[key]
        case Index(position):
            return state[position]


def replaced(state: Any, step: Any, value: Any) -> Any:
    match step:
        case Field(name):
            return evolve(state, **{name: value})
        case Key(key) if isinstance(state, Entities):
            return state.update_with(key, lambda _: value)
        case Key(key):
            return state.set(key, value) if isinstance(state, Map) else {**state, key: value}
        case Index(position) if isinstance(state, Log):
            return state.set(position, value)
        case Index(position):
            return type(state)([*state[:position], value, *state[position + 1 :]])


def appended(sequence: Any, step: Index, value: Any) -> Any:
    assert step.position == len(sequence)
    return type(sequence)([*sequence, value])


def shortened(sequence: Any, step: Index, _: Any) -> Any:
    assert step.position == len(sequence) - 1
    return sequence[:-1]


def without(mapping: Any, step: Key, _: Any) -> Any:
    assert step.key in mapping
    return {key: value for key, value in mapping.items() if key != step.key}


EDITS: dict[Any, Any] = {
    (Entities, "added"): lambda entities, _, entity: entities.add(entity),
    (Entities, "removed"): lambda entities, step, _: entities.remove(step.key),
    (Map, "added"): lambda map_, step, value: map_.set(step.key, value),
    (Map, "removed"): lambda map_, step, _: map_.delete(step.key),
    (Set, "added"): lambda set_, step, _: set_.add(step.element),
    (Set, "removed"): lambda set_, step, _: set_.remove(step.element),
    (dict, "added"): lambda dict_, step, value: {**dict_, step.key: value},
    (dict, "removed"): without,
    (frozenset, "added"): lambda set_, step, _: set_ | {step.element},
    (frozenset, "removed"): lambda set_, step, _: set_ - {step.element},
    (Log, "added"): appended,
    (Log, "removed"): shortened,
    (list, "added"): appended,
    (list, "removed"): shortened,
    (tuple, "added"): appended,
    (tuple, "removed"): shortened,
}


def small_map(items: dict[Any, Any]) -> Map[Any, Any]:
    return Map.from_columns(
        {"keys": Log(items, chunk_size=SIZE), "values": Log(items.values(), chunk_size=SIZE)}
    )


def small_entities(messages: list[Any]) -> Entities[Any]:
    ids = [message.id for message in messages]
    return Entities.from_columns(
        {"keys": Log(ids, chunk_size=SIZE), "values": Log(messages, chunk_size=SIZE)}
    )


def entities_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    messages = st.lists(
        st.builds(Message, st.integers(0, 9), values), unique_by=lambda message: message.id, max_size=6
    )
    return st.one_of(messages.map(small_entities), messages.map(Entities))


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(values, max_size=6)
    maps = st.dictionaries(st.sampled_from("abcdefg"), values, max_size=6)
    sets = st.frozensets(st.integers(0, 5))
    return st.one_of(
        lists,
        lists.map(tuple),
        lists.map(Log),
        lists.map(lambda items: Log(items, chunk_size=SIZE)),
        maps,
        maps.map(Map),
        maps.map(small_map),
        sets,
        sets.map(Set),
        entities_of(values),
        st.builds(
            Conversation, topic=values, settings=maps.map(Map), log=lists.map(Log), people=sets.map(Set)
        ),
    )


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.sampled_from(["", "a", "bc"]),
)
INNER = st.one_of(LEAVES, containers(LEAVES))
STATES = st.one_of(INNER, containers(INNER))


def exactly(state: Any) -> Any:
    """A form of `state` in which equality asks for types too."""
    if attrs.has(type(state)):
        return type(state), [exactly(getattr(state, field.name)) for field in attrs.fields(type(state))]
    if isinstance(state, Map | dict):
        return type(state), {key: exactly(value) for key, value in state.items()}
    if isinstance(state, Entities | Log | list | tuple):
        return type(state), [exactly(value) for value in state]
    return type(state), state


@settings(max_examples=examples(300), deadline=None)
@given(STATES, STATES)
def test_applied_to_before_gives_after(before: Any, after: Any) -> None:
    found = diff(before, after)

    assert exactly(apply(before, found)) == exactly(after)
    assert (found == ()) == (exactly(before) == exactly(after))


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_applied_to_entities_gives_their_order_too(data: st.DataObject) -> None:
    before = data.draw(entities_of(LEAVES))
    after = data.draw(st.sampled_from([before, data.draw(entities_of(LEAVES))]))
    for _ in range(data.draw(st.integers(0, 8))):
        id_ = data.draw(st.integers(0, 9))
        if id_ not in after:
            after = after.add(Message(id_, "new"))
        elif data.draw(st.booleans()):
            after = after.remove(id_)
        else:
            after = after.update(id_, text=data.draw(LEAVES))
    found = diff(before, after)

    assert exactly(apply(before, found)) == exactly(after)


@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_applied_to_maps_sets_and_logs_that_descend(data: st.DataObject) -> None:
    items = data.draw(st.dictionaries(st.integers(0, 12), LEAVES))
    before = Conversation(settings=small_map(items), people=Set(items), log=Log(items, chunk_size=SIZE))
    after = before
    for _ in range(data.draw(st.integers(0, 8))):
        key, value = data.draw(st.integers(0, 12)), data.draw(LEAVES)
        after = data.draw(
            st.sampled_from(
                [
                    evolve(after, settings=after.settings.set(key, value)),
                    evolve(after, settings=after.settings.discard(key)),
                    evolve(after, people=after.people.add(key)),
                    evolve(after, people=after.people.discard(key)),
                    evolve(after, log=after.log.append(value)),
                    evolve(after, log=after.log[:key]),
                ]
            )
        )

    assert exactly(apply(before, diff(before, after))) == exactly(after)


@given(STATES)
def test_nothing_differs_from_itself(state: Any) -> None:
    assert diff(state, state) == ()


class Untouchable:
    """Fails whoever compares it."""

    def __eq__(self, other: object) -> bool:
        pytest.fail("compared")

    __hash__ = None  # type: ignore[assignment]


def test_identical_objects_are_not_compared() -> None:
    same = Untouchable()
    before = Conversation(topic=same, log=Log([same, 1]), settings=Map({"a": same, "b": 1}))
    after = evolve(before, log=before.log.set(1, 2), settings=before.settings.set("b", 2))

    assert diff(before, after) == (
        Difference((Field("settings"), Key("b")), "changed", 1, 2),
        Difference((Field("log"), Index(1)), "changed", 1, 2),
    )


class TestKinds:
    def test_fields(self) -> None:
        assert diff(Conversation("a"), Conversation("b")) == (
            Difference((Field("topic"),), "changed", "a", "b"),
        )

    def test_mappings_by_key(self) -> None:
        expected = (
            Difference((Key("gone"),), "removed", before=1),
            Difference((Key("kept"), Index(0)), "changed", 2, 3),
            Difference((Key("new"),), "added", after=None),
        )
        before, after = {"gone": 1, "kept": [2]}, {"kept": [3], "new": None}

        assert diff(before, after) == expected
        assert diff(Map(before), Map(after)) == expected

    @pytest.mark.parametrize("cls", [Set, set, frozenset])
    def test_sets_by_element(self, cls: Any) -> None:
        assert diff(cls(["a", "b"]), cls(["b", "c"])) == (
            Difference((Element("a"),), "removed", before="a"),
            Difference((Element("c"),), "added", after="c"),
        )

    @pytest.mark.parametrize("cls", [Log, list, tuple])
    def test_sequences_by_position(self, cls: Any) -> None:
        assert diff(cls([1, 2, 3]), cls([1, 5])) == (
            Difference((Index(1),), "changed", 2, 5),
            Difference((Index(2),), "removed", before=3),
        )
        assert diff(cls([1]), cls([1, 2, 3])) == (
            Difference((Index(1),), "added", after=2),
            Difference((Index(2),), "added", after=3),
        )

    def test_entities_by_id(self) -> None:
        before = Entities([Message(1), Message(2), Message(3)])
        after = before.remove(1).update(3, text="x").add(Message(4))

        assert diff(before, after) == (
            Difference((Key(1),), "removed", before=Message(1)),
            Difference((Key(3), Field("text")), "changed", "", "x"),
            Difference((Key(4),), "added", after=Message(4)),
        )

    def test_an_entity_that_went_to_the_end_moved(self) -> None:
        before = Entities([Message(1), Message(2), Message(3)])
        after = before.remove(1).add(Message(4)).add(Message(1, "x"))

        assert diff(before, after) == (
            Difference((Key(1), Field("text")), "changed", "", "x"),
            Difference((Key(4),), "added", after=Message(4)),
            Difference((Key(1),), "moved"),
        )

    def test_made_anew_without_some_nothing_moves(self) -> None:
        messages = [Message(number) for number in range(12)]

        assert diff(small_entities(messages), Entities(messages[3:])) == tuple(
            Difference((Key(number),), "removed", before=Message(number)) for number in range(3)
        )

    def test_all_that_follows_a_newcomer_moves_behind_it(self) -> None:
        messages = [Message(number) for number in range(4)]
        before, after = Entities(messages), Entities([Message(9), *messages[1:]])

        assert diff(before, after) == (
            Difference((Key(0),), "removed", before=Message(0)),
            Difference((Key(9),), "added", after=Message(9)),
            *(Difference((Key(number),), "moved") for number in (1, 2, 3)),
        )

    def test_logs_of_different_chunks_by_position_too(self) -> None:
        assert diff(Log([1, 2, 3], chunk_size=2), Log([1, 2, 4])) == (
            Difference((Index(2),), "changed", 3, 4),
        )

    def test_entities_of_another_key_are_others(self) -> None:
        before, after = Entities([Message(1, "a")]), Entities([Message(1, "a")], key="text")

        assert diff(before, after) == (Difference((), "changed", before, after),)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, True),
        (1, 1.0),
        ([1], (1,)),
        ({1}, frozenset({1})),
        (Log([1]), (1,)),
        (Map({1: 2}), {1: 2}),
        (None, 0),
    ],
)
def test_objects_of_different_types_differ(before: Any, after: Any) -> None:
    assert diff(before, after) == (Difference((), "changed", before, after),)


def test_nan_does_not_differ_from_nan() -> None:
    assert diff(float("nan"), float("nan")) == ()
    assert len(diff(float("nan"), 1.0)) == 1


def test_a_field_without_equality_is_left_out() -> None:
    @attrs.frozen
    class Cached:
        value: int
        cache: Any = attrs.field(default=None, eq=False)

    assert diff(Cached(1, "a"), Cached(1, "b")) == ()


class TestHiding:
    def test_a_field_kept_out_of_the_repr_is_not_told(self) -> None:
        @attrs.frozen
        class Account:
            name: str
            token: str = attrs.field(repr=False)

        before, after = Account("ada", "hush"), Account("ada", "sesame")

        assert diff(before, after) == (Difference((), "changed", before, after),)
        assert render(diff(before, after)) == "~ state: Account(name='ada') → Account(name='ada')"
        assert diff(before, Account("bob", "hush")) == (
            Difference((Field("name"),), "changed", "ada", "bob"),
        )

    def test_a_class_with_its_own_repr_shows_itself(self) -> None:
        @attrs.frozen(repr=False)
        class Password:
            value: str

            def __repr__(self) -> str:
                return "Password(***)"

        assert render(diff({"k": Password("hush")}, {"k": Password("no")})) == (
            "~ ['k']: Password(***) → Password(***)"
        )

    def test_a_secret_stays_masked(self) -> None:
        found = diff(Conversation(Secret("hush")), Conversation(Secret("sesame")))

        assert render(found) == "~ topic: [SECRET] → [SECRET]"
        assert diff(Secret("a"), Secret("a")) == ()

    def test_a_field_with_a_repr_of_its_own_uses_it(self) -> None:
        @attrs.frozen
        class Card:
            number: str = attrs.field(repr=lambda number: f"…{number[-2:]}")

        assert render(diff([], [Card("1234")])) == "+ [0]: Card(number=…34)"
        assert render(diff([Card("1234")], [Card("5634")])) == "~ [0]: Card(number=…34) → Card(number=…34)"


class TestSharing:
    def chunks(self, loaded: list[str], name: str, content: list[list[Any]]) -> Log[Any]:
        def chunk(number: int) -> LazyChunk[Any]:
            def load() -> list[Any]:
                loaded.append(f"{name}{number}")
                return list(content[number])

            return LazyChunk(len(content[number]), load, address=(name, number, tuple(content[number])))

        return Log.from_chunks([chunk(number) for number in range(len(content))], chunk_size=2)

    def test_chunks_of_one_address_are_not_loaded(self) -> None:
        loaded: list[str] = []
        before = self.chunks(loaded, "log", [[1, 2], [3, 4], [5]])
        after = self.chunks(loaded, "log", [[1, 2], [3, 7], [5]])

        assert diff(before, after) == (Difference((Index(3),), "changed", 4, 7),)
        assert loaded == ["log1", "log1"]

    def test_an_update_loads_its_chunks_alone(self) -> None:
        loaded: list[str] = []
        columns = {
            "keys": self.chunks(loaded, "keys", [["a", "b"], ["c", "d"], ["e"]]),
            "values": self.chunks(loaded, "values", [[1, 2], [3, 4], [5]]),
        }
        before = Map[str, int].from_columns(columns)
        after = before.set("c", 9)
        del loaded[:]

        assert diff(before, after) == (Difference((Key("c"),), "changed", 3, 9),)
        assert loaded == []

    def test_appended_elements_alone_are_told(self) -> None:
        loaded: list[str] = []
        before = self.chunks(loaded, "log", [[1, 2], [3, 4]])

        assert diff(before, before.extend([5, 6, 7])) == tuple(
            Difference((Index(position),), "added", after=position + 1) for position in (4, 5, 6)
        )
        assert loaded == []


class TestRender:
    def test_a_line_for_each(self) -> None:
        before = Conversation(
            messages=Entities([Message(1), Message(2)]),
            people=Set(["ada"]),
            settings=Map({"tone": {"a": [1]}}),
        )
        after = Conversation(
            topic="boot",
            messages=Entities([Message(2), Message(7, "hi"), Message(1)]),
            people=Set(["bob"]),
            settings=Map({"tone": {"a": [2]}}),
            log=Log([None]),
        )

        assert render(diff(before, after)).splitlines() == [
            "~ topic: None → 'boot'",
            "+ messages[7]: Message(id=7, text='hi')",
            "> messages[1]: to the end",
            "~ settings['tone']['a'][0]: 1 → 2",
            "+ log[0]: None",
            "- people: 'ada'",
            "+ people: 'bob'",
        ]

    def test_nothing_is_an_empty_text(self) -> None:
        assert render(()) == ""

    def test_large_values_are_abbreviated(self) -> None:
        state = Conversation(
            topic="t" * 1000,
            messages=Entities(Message(number) for number in range(1000)),
            settings=Map({number: [number] for number in range(100)}),
            log=Log(range(1000)),
        )
        line = render(diff(None, state))

        assert "… 994 more" in line
        assert "Map(0: [0], 1: [1]" in line
        assert len(line) < 700

    def test_deep_values_are_cut(self) -> None:
        line = render(diff([], [Log([Log([Log([Log([1])])])])]))

        assert line == "+ [0]: Log(Log(Log(Log(… 1 more))))"

    def test_a_collection_that_is_not_loaded_loads_its_first_chunk(self) -> None:
        loaded: list[str] = []
        log = TestSharing().chunks(
            loaded, "log", [list(range(2 * number, 2 * number + 2)) for number in range(9)]
        )
        render(diff(None, log))

        assert set(loaded) == {"log0", "log1", "log2"}

    def test_keys_are_abbreviated_too(self) -> None:
        assert len(render(diff({}, {"k" * 1000: 1}))) < 100


def test_a_difference_is_a_value() -> None:
    (found,) = diff([1], [2])

    assert found == Difference((Index(0),), "changed", 1, 2)
    assert operator.attrgetter("kind", "before", "after")(found) == ("changed", 1, 2)
