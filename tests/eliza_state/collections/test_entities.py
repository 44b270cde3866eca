"""Entities against lists of them: many live versions, branches, storage, and the helpers for reducers."""

import copy
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from eliza_state.collections import Entities, LazyChunk, Log, chunk_from_data, keyed
from tests.effort import examples

SIZE = 4


@attrs.frozen
class Message:
    id: int
    text: str = ""


@attrs.frozen
class Named:
    name: str
    size: int = 0


IDS = st.integers(0, 12)


def small(entities: Any = ()) -> Entities[Message]:
    """Entities of small chunks."""
    items = list(entities)
    ids = [entity.id for entity in items]
    return Entities.from_columns({"keys": Log(ids, chunk_size=SIZE), "values": Log(items, chunk_size=SIZE)})


class EntitiesVersions(RuleBasedStateMachine):
    """Every version stays what its dict of entities by id says, whatever is derived from whichever."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Entities[Message], dict[int, Message]]] = []
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(keyed, "ALONE", 2)
        self.patch.setattr(keyed, "SLACK", 5)

    def teardown(self) -> None:
        self.patch.undo()

    def keep(self, entities: Entities[Message], model: dict[int, Message]) -> Any:
        self.pairs.append((entities, model))
        return entities, model

    @rule(target=versions, ids=st.lists(IDS, max_size=9, unique=True))
    def make(self, ids: list[int]) -> Any:
        messages = [Message(id_) for id_ in ids]
        return self.keep(small(messages), dict(zip(ids, messages, strict=True)))

    @rule(target=versions, version=versions, id_=IDS)
    def add(self, version: Any, id_: int) -> Any:
        entities, model = version
        message = Message(id_, "added")
        if id_ in model:
            with pytest.raises(ValueError, match=f"id={id_} is already there"):
                entities.add(message)
            return self.keep(entities, model)
        return self.keep(entities.add(message), {**model, id_: message})

    @rule(target=versions, version=versions, id_=IDS, text=st.sampled_from("abc"))
    def upsert(self, version: Any, id_: int, text: str) -> Any:
        entities, model = version
        message = Message(id_, text)
        return self.keep(entities.upsert(message), {**model, id_: message})

    @rule(target=versions, version=versions, id_=IDS, text=st.sampled_from("abc"))
    def update(self, version: Any, id_: int, text: str) -> Any:
        entities, model = version
        if id_ not in model:
            with pytest.raises(KeyError, match=f"no entity with id={id_}"):
                entities.update(id_, text=text)
            return self.keep(entities, model)
        changed = entities.update(id_, text=text)
        assert changed == entities.update_with(id_, lambda message: attrs.evolve(message, text=text))
        return self.keep(changed, {**model, id_: Message(id_, text)})

    @rule(target=versions, version=versions, id_=IDS)
    def remove(self, version: Any, id_: int) -> Any:
        entities, model = version
        if id_ not in model:
            with pytest.raises(KeyError, match=f"no entity with id={id_}"):
                entities.remove(id_)
            assert entities.discard(id_) is entities
            return self.keep(entities, model)
        left = {key: message for key, message in model.items() if key != id_}
        assert entities.discard(id_) == entities.remove(id_)
        return self.keep(entities.remove(id_), left)

    @rule(target=versions, version=versions)
    def store_and_restore(self, version: Any) -> Any:
        entities, model = version
        return self.keep(Entities.from_columns(entities.columns()), model)

    @rule(one=versions, other=versions)
    def compare(self, one: Any, other: Any) -> None:
        assert (one[0] == other[0]) == (list(one[1].values()) == list(other[1].values()))

    @rule(version=versions, size=st.integers(0, 15), position=st.integers(-15, 15))
    def read(self, version: Any, size: int, position: int) -> None:
        entities, model = version
        messages = list(model.values())
        assert entities.last(size) == tuple(messages[max(len(messages) - size, 0) :])
        if -len(messages) <= position < len(messages):
            assert entities.at(position) == messages[position]
        else:
            with pytest.raises(IndexError, match="out of range"):
                entities.at(position)

    @invariant()
    def all_versions_hold(self) -> None:
        for entities, model in self.pairs:
            assert list(entities) == list(model.values())
            assert entities.ids() == tuple(model)
            assert len(entities) == len(model)
            assert list(reversed(entities)) == list(reversed(model.values()))
            assert all(entities[id_] is entities.get(id_) and entities[id_] == model[id_] for id_ in model)
            assert [id_ for id_ in range(13) if id_ in entities] == sorted(model)


TestEntitiesVersions = EntitiesVersions.TestCase
TestEntitiesVersions.settings = settings(max_examples=examples(75), stateful_step_count=40, deadline=None)


def test_nothing_new_is_the_same_entities() -> None:
    message = Message(1, "text")
    entities = Entities([message])

    assert entities.upsert(message) is entities
    assert entities.update(1, text=message.text) is entities
    assert entities.update(1) is entities
    assert entities.update_with(1, lambda found: found) is entities
    assert entities.discard(2) is entities
    assert copy.copy(entities) is entities


def test_another_attribute_can_be_the_key() -> None:
    entities = Entities([Named("a")], key="name").add(Named("b")).update("a", size=1)

    assert entities.key == "name"
    assert entities["a"] == Named("a", 1)
    assert entities.ids() == ("a", "b")
    with pytest.raises(ValueError, match="name='a' is already there"):
        entities.add(Named("a"))


def test_equality_asks_for_order_and_key() -> None:
    one, two = Message(1), Message(2)

    assert Entities([one, two]) == Entities([one]).add(two)
    assert Entities([one, two]) != Entities([two, one])
    assert Entities([one]) != Entities([one], key="text")
    assert Entities([one]) != [one]
    assert Entities([one]) != (one,)
    assert Entities([one]) != Entities([Message(1, "other")])


def test_hash_follows_equality() -> None:
    assert hash(Entities([Message(1)])) == hash(Entities[Message]().add(Message(1)))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Entities([Message(1, [])]))  # type: ignore[arg-type]


def test_repr_shows_the_entities() -> None:
    assert repr(Entities([Message(1)])) == "Entities([Message(id=1, text='')])"
    assert repr(Entities([Named("a")], key="name")) == "Entities([Named(name='a', size=0)], key='name')"


def test_copies_equal_the_entities() -> None:
    entities = Entities([Named("a")], key="name").add(Named("b"))

    assert copy.deepcopy(entities) == entities
    assert pickle.loads(pickle.dumps(entities)) == entities


def test_two_entities_of_one_id_raise() -> None:
    with pytest.raises(ValueError, match="expected entities of different id, got id=1 twice"):
        Entities([Message(2), Message(1), Message(1, "again")])


def test_an_id_never_changes() -> None:
    entities = Entities([Message(1)])
    with pytest.raises(ValueError, match="expected the entity to keep id=1, got 2"):
        entities.update(1, id=2)
    with pytest.raises(ValueError, match="expected the entity to keep id=1, got 2"):
        entities.update_with(1, lambda _: Message(2))


def test_an_unknown_field_raises() -> None:
    with pytest.raises(TypeError, match="Message has no field 'txt': did you mean 'text'"):
        Entities([Message(1)]).update(1, txt="x")


def test_an_entity_without_the_key_raises() -> None:
    with pytest.raises(AttributeError, match="id"):
        Entities([Named("a")])


def test_get_gives_the_default_for_a_missing_id() -> None:
    assert Entities[Message]().get(1) is None
    assert Entities[Message]().get(1, "none") == "none"


def test_a_negative_size_raises() -> None:
    with pytest.raises(ValueError, match="got -1"):
        Entities([Message(1), Message(2)]).remove(1).last(-1)


class TestStorage:
    def restored(self, length: int, dead: dict[int, list[int]]) -> tuple[Entities[Message], list[str]]:
        """Entities of `length` slots, unloaded, with dead offsets by chunk number."""
        loaded: list[str] = []

        def chunk(name: str, number: int) -> LazyChunk[Any]:
            offsets = dead.get(number, [])
            slots = range(number * SIZE, min(number * SIZE + SIZE, length))
            alive = [slot for slot in slots if slot - number * SIZE not in offsets]

            def load() -> list[Any]:
                loaded.append(f"{name}{number}")
                return chunk_from_data(alive if name == "keys" else map(Message, alive), offsets)

            return LazyChunk(len(slots), load, address=f"{name}{number}", dead=len(offsets))

        numbers = range(-(-length // SIZE))
        columns = {
            name: Log.from_chunks([chunk(name, number) for number in numbers], chunk_size=SIZE)
            for name in ("keys", "values")
        }
        return Entities.from_columns(columns), loaded

    def test_length_counts_the_living_and_loads_nothing(self) -> None:
        entities, loaded = self.restored(10, {0: [1], 2: [0]})

        assert len(entities) == 8
        assert loaded == []

    @pytest.mark.parametrize("dead", [{}, {0: [1, 2]}])
    def test_the_last_ones_load_their_chunks_of_values_alone(self, dead: dict[int, list[int]]) -> None:
        entities, loaded = self.restored(18, dead)

        assert [message.id for message in entities.last(4)] == [14, 15, 16, 17]
        assert sorted(loaded) == ["values3", "values4"]

    def test_a_position_loads_its_chunk_of_values_alone(self) -> None:
        entities, loaded = self.restored(18, {0: [1, 2], 1: [3]})

        assert entities.at(-1).id == 17
        assert entities.at(6).id == 9
        assert loaded == ["values4", "values2"]

    def test_updates_keep_slots_of_the_dead(self) -> None:
        entities, loaded = self.restored(10, {0: [1]})
        changed = entities.update(5, text="new").remove(0)

        assert changed.ids() == (2, 3, 4, 5, 6, 7, 8, 9)
        assert 1 not in changed
        assert changed[5].text == "new"
        assert [chunk.dead for chunk in changed.columns()["values"].chunks()] == [2, 0, 0]
        assert sorted(set(loaded)) == ["keys0", "keys1", "keys2", "values0", "values1"]

    def test_two_restored_ones_are_equal_unseen(self) -> None:
        (one, loaded), (other, also_loaded) = self.restored(10, {0: [1]}), self.restored(10, {0: [1]})

        assert one == other
        assert loaded == also_loaded == []
