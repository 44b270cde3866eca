"""The form in which chunks are stored."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.collections import TOMBSTONE, Chunk, LazyChunk, chunk_from_data, chunk_to_data
from eliza_state.collections.chunk import live_items


@given(st.lists(st.one_of(st.integers(), st.just(TOMBSTONE))))
def test_elements_come_back_in_their_slots(elements: list[Any]) -> None:
    dead = [offset for offset, element in enumerate(elements) if element is TOMBSTONE]
    items = [element for element in elements if element is not TOMBSTONE]
    chunk = chunk_from_data(items, dead, address="there")

    assert chunk == elements
    assert chunk.dead == len(dead)
    assert chunk.address == "there"
    assert chunk_to_data(chunk) == (items, dead)


def test_a_lazy_chunk_is_loaded_to_be_stored() -> None:
    lazy = LazyChunk[Any](3, lambda: chunk_from_data([1, 2], [1]), dead=1)

    assert chunk_to_data(lazy) == ([1, 2], [1])


def test_a_chunk_of_the_dead_alone_is_not_loaded() -> None:
    def load() -> list[Any]:
        raise AssertionError("nothing in it is asked for")

    assert [] == list(live_items(LazyChunk[Any](2, load, dead=2)))


def test_stored_items_are_a_copy() -> None:
    chunk = Chunk([1, 2])
    items, _ = chunk_to_data(chunk)
    items.append(3)

    assert chunk == [1, 2]


@pytest.mark.parametrize("dead", [[-1], [3], [1, 1], [2, 0], [0, 5]])
def test_offsets_that_do_not_fit_raise(dead: list[int]) -> None:
    with pytest.raises(ValueError, match="expected ascending offsets within the chunk"):
        chunk_from_data([1, 2], dead)


def test_a_load_with_other_dead_raises() -> None:
    lazy = LazyChunk[Any](2, lambda: [1, 2], dead=1)
    with pytest.raises(ValueError, match="expected 2 elements with 1 dead"):
        lazy.chunk()


def test_threads_that_load_at_the_same_time_go_on_with_one_result() -> None:
    def load() -> list[int]:
        if len(loads) < 2:
            loads.append(1)
            lazy.chunk()  # another thread, coming while this one loads
        return [1]

    loads: list[int] = []
    lazy = LazyChunk(1, load)

    assert lazy.chunk() is lazy.chunk()
    assert len(loads) == 2


def test_a_tombstone_shows_what_it_is() -> None:
    assert repr(TOMBSTONE) == "TOMBSTONE"
