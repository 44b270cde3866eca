"""Estimates of memory."""

from __future__ import annotations

import sys
import tracemalloc

import attrs
import pytest

from eliza_state.collections import Entities, Log, Map
from eliza_state.collections.chunk import LazyChunk
from eliza_state.health import memory


@attrs.frozen
class Item:
    id: str
    text: str


@attrs.frozen
class State:
    items: Entities[Item] = attrs.field(factory=Entities[Item])
    names: Map[str, int] = attrs.field(factory=Map[str, int])
    log: Log[str] = attrs.field(factory=Log[str])


def test_the_process_takes_some_memory():
    assert 10_000_000 < memory.process_bytes() < memory.machine_bytes()


def test_without_psutil_the_system_tells(monkeypatch: pytest.MonkeyPatch):
    known = memory.process_bytes()
    monkeypatch.setitem(sys.modules, "psutil", None)

    assert memory.process_bytes() == pytest.approx(known, rel=0.5)


def test_the_weight_of_a_state_is_about_what_it_takes():
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    state = State(items=Entities(Item(f"id {n}", f"text number {n}" * 5) for n in range(5_000)))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert memory.weight_of(state) == pytest.approx(taken, rel=0.4)


def test_chunks_that_are_not_loaded_are_not_loaded_for_it():
    def load() -> list[str]:
        raise AssertionError("loaded")

    log: Log[str] = Log.from_chunks([LazyChunk(512, load), LazyChunk(3, load)])

    assert memory.weight_of(State(log=log)) < 2_000


def test_entries_are_counted_by_field():
    state = State(names=Map({"a": 1}), log=Log("abc"))

    assert dict(memory.entries_of(state)) == {"items": 0, "names": 1, "log": 3}
