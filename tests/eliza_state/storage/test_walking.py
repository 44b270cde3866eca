"""Walks over storages: everything that lives, past what cannot be read."""

from __future__ import annotations

from collections import Counter

import pytest

from eliza_state.storage import MemoryStorage
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.walking import read_each, walk, wrapped
from eliza_state.storage.wrapper import Encoded
from eliza_state.storage.wrappers.sliding import SlidingBackend, sliding
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.kept import Kept, storage_over


async def test_it_comes_to_every_key_once_and_to_those_of_namespaces_below() -> None:
    storage = MemoryStorage[int]()
    await storage.set_many({f"k{index}": index for index in range(2_345)})
    await storage.namespace("a", "b").set("k", 1)
    seen = Counter([key async for found in walk(storage.backend, "") for key in found.entries])

    assert {1} == set(seen.values())
    assert {f"k{index}" for index in range(2_345)} | {"a/b/k"} == set(seen)


async def test_it_leaves_out_what_is_dead() -> None:
    clock = ManualClock()
    storage = MemoryStorage[int](clock=clock)
    await storage.set("dead", 1, ttl_ms=10)
    await storage.set("gone", 1)
    await storage.delete("gone", expected_version=(await storage.mark("gone") or pytest.fail("gone")).version)
    clock.advance(ms=10)

    assert [] == [key async for found in walk(storage.backend, "") for key in found.entries]


@pytest.mark.parametrize("damaged", [set[int](), {0}, {6}, {1, 2, 5}, set(range(7))])
async def test_what_is_damaged_hides_nothing_else(damaged: set[int]) -> None:
    kept = Kept()
    storage = storage_over(kept)
    for index in range(7):
        await storage.set(f"k{index}", index)
    for index in damaged:
        kept.plant(f"k{index}", b"nonsense")
    found = await read_each(storage.backend, [f"k{index}" for index in range(7)])

    assert set(range(7)) - damaged == {entry.live_value for entry in found.entries.values()}
    assert sorted(f"k{index}" for index in damaged) == sorted(error.key for error in found.damaged)


def test_a_backend_is_found_among_those_around_it() -> None:
    storage = sliding(storage_over(Kept()))

    assert storage.backend is wrapped(storage.backend, SlidingBackend)
    assert wrapped(storage.backend, Encoded) is not None
    assert isinstance(wrapped(storage.backend, MemoryBackend), Kept)
    assert None is wrapped(MemoryStorage[int]().backend, Encoded)
