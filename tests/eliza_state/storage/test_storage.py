"""What the face does beyond what the suite asks of every storage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.storage import KVStorage, MemoryStorage, Storage, TtlStorage, is_ttl_storage
from eliza_state.storage.backend import GONE, Entry, Mark, Write
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.storage import TOMBSTONE_MS, live_keys
from eliza_state.storage.table import Table
from eliza_state.storage.wrapper import Wrapper
from eliza_state.testing import ManualClock


class Interrupted(Wrapper[Any]):
    """Somebody else's write comes between each of the first reads and what follows it."""

    def __init__(self, inner, *, writes):
        super().__init__(inner)
        self.writes = list(writes)

    async def read(self, keys):
        found = await super().read(keys)
        if self.writes:
            await self.inner.write([self.writes.pop(0)])
        return found


class Hollow(Wrapper[Any]):
    """Nothing that a page names is there any more when it is read."""

    async def read(self, keys):
        return {}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def backend(clock):
    return MemoryBackend(Table(), encoding=None, clock=clock)


@pytest.fixture
def storage(backend):
    return Storage(backend)


def test_a_storage_has_the_contracts_of_others(storage):
    assert isinstance(storage, KVStorage)
    assert isinstance(storage, TtlStorage)
    assert is_ttl_storage(storage)


def test_a_storage_shows_its_backend_and_namespace(clock):
    assert "<MemoryStorage memory>" == repr(MemoryStorage())
    assert "<MemoryStorage memory/'a/b'/'ä'>" == repr(MemoryStorage().namespace("a/b", "ä"))


async def test_a_namespace_has_the_backend_and_the_default_time_to_live(backend, clock):
    inner = Storage(backend, ttl_ms=1_000).namespace("a")
    await inner.set("key", 1)
    clock.advance(ms=1_000)

    assert backend is inner.backend
    assert not await inner.has("key")


async def test_only_the_whole_storage_closes_the_backend(storage):
    await storage.namespace("a").namespace("b").close()
    await storage.set("key", 1)

    assert await storage.has("key")


# updates


async def test_an_update_is_tried_again_when_somebody_wrote_in_between(backend):
    storage = Storage(Interrupted(backend, writes=[Write("key", 10), Write("key", 20)]))
    seen = []
    await backend.write([Write("key", 1)])
    found = await storage.update("key", lambda value: seen.append(value) or value + 1)

    assert ([1, 10, 20], 21) == (seen, found)


async def test_an_update_is_tried_again_when_somebody_made_or_deleted_the_key(backend):
    storage = Storage(Interrupted(backend, writes=[Write("key", 10), Write("key", GONE, 2**50, 1)]))
    seen = []
    await storage.update("key", lambda value: seen.append(value) or value + 1, default=0)

    assert [0, 10, 0] == seen
    assert 1 == await storage.get("key")


async def test_an_update_that_deletes_is_tried_again_too(backend):
    storage = Storage(Interrupted(backend, writes=[Write("key", 10)]))
    seen = []
    await backend.write([Write("key", 1)])
    await storage.update("key", lambda value: seen.append(value) or GONE)

    assert [1, 10] == seen
    assert not await storage.has("key")


async def test_an_update_outlasts_many_who_are_faster(backend):
    storage = Storage(Interrupted(backend, writes=[Write("key", number) for number in range(7)]))
    await backend.write([Write("key", -1)])

    assert 7 == await storage.update("key", lambda value: value + 1)


async def test_an_update_can_be_given_up(backend):
    storage = Storage(Interrupted(backend, writes=[Write("key", number) for number in range(100_000)]))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await storage.update("key", lambda value: [value])

    assert [] != [key async for key in storage.keys()]


async def test_an_update_whose_key_dies_meanwhile_starts_from_the_default(backend, clock):
    storage = Storage(backend)
    await storage.set("key", 5, ttl_ms=1_000)
    seen = []

    def slow(value):
        seen.append(value)
        clock.advance(ms=600)
        return value + 1

    first = await storage.update("key", slow, default=0)
    second = await storage.update("key", slow, default=0)

    assert (6, 1) == (first, second)
    assert [5, 6, 0] == seen


async def test_an_update_from_a_default_has_the_default_time_to_live(backend, clock):
    storage = Storage(backend, ttl_ms=1_000)
    await storage.update("new", lambda _: 1)
    await storage.set("stays", 1, ttl_ms=None)
    await storage.update("stays", lambda _: 2)

    assert 1_000 == (await storage.mark("new")).ttl_ms
    assert (await storage.mark("stays")).ttl_ms is None


# tombstones


async def test_deleting_a_version_leaves_a_tombstone_for_a_while(storage, backend, clock):
    version = await storage.set("key", 1)
    await storage.delete("key", expected_version=version)
    mark = (await backend.look(["key"]))["key"]

    assert mark.is_gone
    assert mark.version > version
    assert (clock() // 1_000 + TOMBSTONE_MS, TOMBSTONE_MS) == mark[1:3]


async def test_a_tombstone_is_swept_when_its_time_has_come(storage, backend, clock):
    await storage.delete("key", expected_version=await storage.set("key", 1))
    before = await storage.sweep()
    clock.advance(ms=TOMBSTONE_MS + 5_000)

    assert (0, 1) == (before, await storage.sweep())
    assert {} == await backend.look(["key"])


async def test_a_plain_delete_leaves_none(storage, backend):
    await storage.set("key", 1)
    await storage.delete("key")

    assert {} == await backend.look(["key"])


# what comes of a backend's answers


async def test_what_is_gone_between_a_page_and_its_read_is_left_out(backend):
    await backend.write([Write("a", 1)])

    assert [] == [entry async for entry in Storage(Hollow(backend)).entries()]


async def test_keys_are_looked_up_as_they_are_escaped(storage, backend):
    for key in ("a/b", "%", "\n", "%2F"):
        await storage.set(key, key)

    assert {"a%2Fb", "%25", "%0A", "%252F"} == {key async for page in backend.scan("") for key, _ in page}
    assert ["a/b", "%", "\n", "%2F"] == [await storage.get(key) for key in ("a/b", "%", "\n", "%2F")]


async def test_a_key_may_be_of_a_class_of_its_own(storage):
    class Key(str):
        def __str__(self):
            return "not the key"

    await storage.set(Key("a"), 1)

    assert 1 == await storage.get("a") == await storage.get(Key("a"))


async def test_the_sign_of_a_deletion_is_no_value(storage, backend):
    with pytest.raises(TypeError, match="delete"):
        await storage.set("a", GONE)
    with pytest.raises(TypeError, match="delete"):
        await storage.set_many({"b": 1, "a": GONE})

    assert [] == [page async for page in backend.scan("") if page]


async def test_a_key_of_a_namespace_is_none_of_the_storage(storage):
    await storage.namespace("a").set("b", 1)

    assert await storage.get("a/b") is None
    assert not await storage.has("a/b")


def test_live_keys_of_a_page_are_those_that_exist():
    page = [("a", Mark(1)), ("b", Mark(1, 5, 5)), ("c", Mark(1, 6, 5)), ("d", Mark(1, 6, 5, is_gone=True))]

    assert ["a", "c"] == live_keys(page, now_ms=5)


async def test_an_expectation_that_fails_tells_the_key_as_its_user_wrote_it(storage):
    with pytest.raises(StaleValue, match="'a/b' is at version 0, not at the expected 7"):
        await storage.namespace("n").set("a/b", 1, expected_version=7)


async def test_an_entry_is_what_the_backend_holds(storage, clock):
    version = await storage.set("key", "value", ttl_ms=10)

    assert Entry("value", version, clock() // 1_000 + 10, 10) == await storage.entry("key")
