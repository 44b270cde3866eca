"""Slices as they are stored: a body, and the full chunks of large collections."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.collections import CHUNK_SIZE, Entities, Log, Map, Set
from eliza_state.errors import StateError
from eliza_state.event import event
from eliza_state.module import StateModule, reduces
from eliza_state.snapshots import ChunkMissing, Dump, digest_of, dump_slice, restore_slice


@event("poked")
class Poked:
    pass


@attrs.frozen(kw_only=True)
class Item:
    id: str
    size: int = 0


@attrs.frozen
class Shelf:
    log: Log[Item] = attrs.field(factory=Log[Item])
    by_key: Map[str, int] = attrs.field(factory=Map[str, int])
    names: Set[str] = attrs.field(factory=Set[str])
    items: Entities[Item] = attrs.field(factory=Entities[Item])
    note: str = ""
    nested: tuple[Log[int], ...] = ()


class ShelfModule(StateModule[Shelf]):
    name = "shelf"
    level = "room"

    @reduces(Poked)
    def poke(self, state: Shelf, _event: Poked) -> Shelf:
        return state


MODULE = ShelfModule()


class Chunks:
    """Where the chunks of a test are kept; tells which were fetched."""

    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}
        self.fetched: list[bytes] = []

    def keep(self, dump: Dump) -> Dump:
        self.stored.update(dump.chunks)
        dump.confirm()
        return dump

    def __call__(self, digests: Any) -> dict[bytes, bytes]:
        self.fetched += digests
        return {digest: self.stored[digest] for digest in digests}


def restore(dump: Dump, chunks: Any, *, module: StateModule[Any] = MODULE, place: str = "here") -> Any:
    return restore_slice(module, dump.body, chunks, place=place)


def shelf(count: int) -> Shelf:
    items = [Item(id=str(number), size=number) for number in range(count)]
    return Shelf(
        Log(items),
        Map({item.id: item.size for item in items}),
        Set(item.id for item in items),
        Entities(items),
        "note",
        (Log([1, 2]),),
    )


@pytest.mark.parametrize("count", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE])
def test_a_slice_comes_back(count):
    chunks, state = Chunks(), shelf(count)
    dump = chunks.keep(dump_slice(MODULE, state, place="here"))

    assert state == restore(dump, chunks)


@given(
    removed=st.sets(st.integers(0, 1_199), max_size=500), changed=st.sets(st.integers(0, 1_199), max_size=20)
)
def test_a_slice_with_gaps_comes_back_and_goes_on(removed, changed):
    state = shelf(1_200)
    for number in changed - removed:
        state = attrs.evolve(state, items=state.items.update(str(number), size=-1))
    for number in removed:
        state = attrs.evolve(
            state,
            items=state.items.remove(str(number)),
            names=state.names.discard(str(number)),
            by_key=state.by_key.delete(str(number)),
        )
    chunks = Chunks()
    restored = restore(chunks.keep(dump_slice(MODULE, state, place="here")), chunks)

    assert state == restored
    more = attrs.evolve(restored, items=restored.items.add(Item(id="new")), names=restored.names.add("0"))
    assert more == restore(chunks.keep(dump_slice(MODULE, more, place="here")), chunks)


def test_a_full_chunk_is_stored_once():
    chunks, state = Chunks(), Shelf(log=shelf(3 * CHUNK_SIZE).log)
    first = chunks.keep(dump_slice(MODULE, state, place="here"))
    grown = attrs.evolve(state, log=state.log.append(Item(id="new")))
    second = chunks.keep(dump_slice(MODULE, grown, place="here"))
    restored = restore(second, chunks)
    third = dump_slice(MODULE, attrs.evolve(restored, note="other"), place="here")

    assert (3, 0, 0) == (len(first.chunks), len(second.chunks), len(third.chunks))
    assert first.named == second.named == third.named
    assert chunks.fetched == []


def test_what_was_not_confirmed_is_written_again():
    state = shelf(CHUNK_SIZE)
    first = dump_slice(MODULE, state, place="here")

    assert first.chunks == dump_slice(MODULE, state, place="here").chunks


def test_chunks_are_written_again_elsewhere_and_on_demand():
    chunks, state = Chunks(), shelf(CHUNK_SIZE)
    first = chunks.keep(dump_slice(MODULE, state, place="here"))

    assert set(first.chunks) == set(dump_slice(MODULE, state, place="there").chunks)
    assert set(first.chunks) == set(dump_slice(MODULE, state, place="here", again=True).chunks)


def test_chunks_are_named_by_their_content():
    dump = dump_slice(MODULE, shelf(2 * CHUNK_SIZE), place="here")

    assert set(dump.named) == set(dump.chunks)
    assert all(digest == digest_of(content) for digest, content in dump.chunks.items())


def test_what_is_not_touched_is_not_fetched():
    chunks = Chunks()
    restored = restore(chunks.keep(dump_slice(MODULE, shelf(10 * CHUNK_SIZE + 60), place="here")), chunks)

    assert (len(restored.log), len(restored.items)) == (10 * CHUNK_SIZE + 60,) * 2
    assert [item.size for item in restored.log.last(50)] == list(
        range(10 * CHUNK_SIZE + 10, 10 * CHUNK_SIZE + 60)
    )
    assert chunks.fetched == []
    assert restored.log[0].id == "0"
    assert len(chunks.fetched) == 1


def test_chunks_that_are_touched_in_turn_are_fetched_together():
    items = [Item(id=str(number)) for number in range(40 * CHUNK_SIZE)]
    chunks, state = Chunks(), Shelf(log=Log(items))
    dump = chunks.keep(dump_slice(MODULE, state, place="here"))
    asked: list[int] = []

    def fetch(digests: Any) -> dict[bytes, bytes]:
        asked.append(len(digests))
        return chunks(digests)

    restored = restore(dump, fetch)

    assert items == list(restored.log)
    assert asked[0] == 1
    assert sum(asked) == 40
    assert len(asked) < 8


def test_a_chunk_that_cannot_be_read_is_told_and_refused():
    chunks, lost = Chunks(), []
    dump = chunks.keep(dump_slice(MODULE, shelf(CHUNK_SIZE), place="here"))
    restored = restore_slice(MODULE, dump.body, chunks, place="there", lose=lost.append)
    chunks.stored = dict.fromkeys(chunks.stored, b'[[{"odd"')

    with pytest.raises(ChunkMissing, match="cannot be read"):
        restored.log[0]
    assert len(lost) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"null", b'{"state": {}, "columns": {"x": {}}, "keys": {}}']
)
def test_a_body_that_cannot_be_read_is_refused(body):
    with pytest.raises(StateError, match="its body cannot be read"):
        restore_slice(MODULE, body, Chunks(), place="")


def test_a_state_that_cannot_be_written_names_its_module():
    with pytest.raises(StateError, match="the state of module 'shelf' cannot be written"):
        dump_slice(MODULE, Shelf(note=object()), place="")


class OwnModule(ShelfModule):
    def serialize(self, state: Any) -> Any:
        return {"note": state.note}

    def deserialize(self, data: Any) -> Any:
        return Shelf(note=data["note"])


def test_a_module_may_write_itself():
    dump = dump_slice(OwnModule(), Shelf(note="mine"), place="")

    assert restore(dump, Chunks(), module=OwnModule()) == Shelf(note="mine")


@pytest.mark.parametrize("method", ["serialize", "deserialize"])
def test_what_a_module_raises_there_is_told_as_one_error(method):
    def broken(self, value):
        raise TypeError("broken")

    module = type("Broken", (OwnModule,), {method: broken})()

    with pytest.raises(StateError, match="broken"):
        restore(dump_slice(module, Shelf(), place=""), Chunks(), module=module)


@pytest.mark.parametrize(
    ("state_type", "state"), [(int, 5), (dict[str, int], {"a": 1}), (Log[str], Log(["a"]))]
)
def test_a_state_may_be_of_any_type_the_serializer_writes(state_type, state):
    module = type("Plain", (ShelfModule,), {"state_type": state_type})()

    assert state == restore(dump_slice(module, state, place=""), Chunks(), module=module)
