"""Storages of others: used by their four methods, and asked for the rest by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.errors import StoreError
from eliza_state.storage import Storage
from eliza_state.storage.errors import Unsupported
from eliza_state.storage.keys import full_key, space_of
from eliza_state.storage.wrappers.enhanced import enhance_storage
from eliza_state.storage.wrappers.foreign import ForeignBackend, _base_key, _full_key
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import KVStorageContract

Use = Callable[[Storage[Any]], Awaitable[object]]


class Theirs:
    """A storage of somebody else: the methods of `KVStorage`, and none more."""

    def __init__(self, **values: Any) -> None:
        self.values_by_key: dict[str, Any] = values
        self.closed = 0

    async def get(self, key: str, default: Any = None) -> Any:
        await asyncio.sleep(0)
        return self.values_by_key.get(key, default)

    async def set(self, key: str, value: Any) -> None:
        await asyncio.sleep(0)
        self.values_by_key[key] = value

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0)
        self.values_by_key.pop(key, None)

    async def has(self, key: str) -> bool:
        return key in self.values_by_key

    async def close(self) -> None:
        self.closed += 1


class TheirsWithAll(Theirs):
    """One that has the optional methods too, and cannot be changed while it is iterated over."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.touched: list[str] = []

    async def keys(self) -> AsyncIterator[str]:
        for key in self.values_by_key:
            yield key

    async def touch(self, key: str) -> None:
        self.touched.append(key)


class TheirsWithEntries(Theirs):
    """One that has only `entries`."""

    async def entries(self) -> AsyncIterator[tuple[str, Any]]:
        for entry in self.values_by_key.items():
            yield entry


class Broken(Theirs):
    """One that raises what it likes."""

    async def get(self, key: str, default: Any = None) -> Any:
        raise ZeroDivisionError("oh")


class TestForeignStorage(KVStorageContract):
    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage[Any]]:
        async with enhance_storage(TheirsWithAll(), migrations={}) as storage:
            yield storage


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def now_ms(clock: ManualClock) -> int:
    return clock() // 1_000


def over(base: Any, clock: ManualClock) -> Storage[Any]:
    return enhance_storage(base, migrations={1: lambda value: value}, clock=clock)


async def keys_of(storage: Storage[Any]) -> set[str]:
    return {key async for key in storage.keys()}


# deadlines


async def test_a_deadline_stands_in_the_envelope(clock: ManualClock) -> None:
    base = Theirs()
    await over(base, clock).set("a", "x", ttl_ms=1_000)

    assert {"a": {"__v": 1, "__exp": now_ms(clock) + 1_000, "data": "x"}} == base.values_by_key


async def test_what_is_set_without_one_stays(clock: ManualClock) -> None:
    base = Theirs(a={"__v": 1, "__exp": now_ms(clock) + 10, "data": "x"})
    await over(base, clock).set("a", "y")

    assert {"a": {"__v": 1, "data": "y"}} == base.values_by_key


@pytest.mark.parametrize(
    ("use", "answer"),
    [
        (lambda storage: storage.get("a"), None),
        (lambda storage: storage.has("a"), False),
        (lambda storage: storage.entry("a"), None),
        (lambda storage: storage.delete("a"), False),
        (lambda storage: storage.touch("a"), False),
        (lambda storage: storage.get_many(["a"]), {}),
        (keys_of, set()),
    ],
)
async def test_what_is_past_its_deadline_does_not_exist(clock: ManualClock, use: Use, answer: Any) -> None:
    storage = over(TheirsWithAll(a={"__v": 1, "__exp": now_ms(clock), "data": "x"}), clock)

    assert answer == await use(storage)


@pytest.mark.parametrize("use", [lambda storage: storage.get("a"), lambda storage: storage.has("a")])
async def test_what_is_past_its_deadline_is_deleted_by_its_reader(clock: ManualClock, use: Use) -> None:
    base = Theirs(a={"__v": 1, "__exp": now_ms(clock), "data": "x"})
    await use(over(base, clock))

    assert {} == base.values_by_key


async def test_what_is_refreshed_meanwhile_is_not_deleted(clock: ManualClock) -> None:
    base = Theirs(a={"__v": 1, "__exp": now_ms(clock), "data": "old"})
    storage = over(base, clock)
    await asyncio.gather(storage.get("a"), storage.set("a", "new"), storage.get("a"))

    assert "new" == await storage.get("a")


async def test_a_migrated_value_keeps_its_deadline(clock: ManualClock) -> None:
    deadline_ms = now_ms(clock) + 10
    base = Theirs(a={"__v": 0, "__exp": deadline_ms, "data": "x"})
    await over(base, clock).get("a")

    assert {"a": {"__v": 1, "__exp": deadline_ms, "data": "x"}} == base.values_by_key


async def test_a_sweep_deletes_what_is_past_its_deadline(clock: ManualClock) -> None:
    dead = {"__v": 1, "__exp": now_ms(clock), "data": "x"}
    base = TheirsWithAll(a=dead, b=dead, c={"__v": 1, "data": "x"}, d="x")

    assert 2 == await over(base, clock).sweep()
    assert {"c", "d"} == set(base.values_by_key)


async def test_a_sweep_stops_at_its_limit(clock: ManualClock) -> None:
    dead = {"__v": 1, "__exp": now_ms(clock), "data": "x"}
    base = TheirsWithAll(a=dead, b=dead, c=dead)

    assert 2 == len(await ForeignBackend(base, clock=clock).sweep(limit=2))
    assert 1 == len(base.values_by_key)


# keys


async def test_a_key_without_a_namespace_is_theirs() -> None:
    base = TheirsWithAll(**{"chat/1%": "x"})
    storage = enhance_storage(base, migrations={})

    assert "x" == await storage.get("chat/1%")
    assert {"chat/1%"} == await keys_of(storage)


async def test_namespaces_are_apart() -> None:
    storage = enhance_storage(TheirsWithAll(), migrations={})
    places = [storage, storage.namespace("a"), storage.namespace("a", "b"), storage.namespace("%")]
    for place in places:
        for key in ("a/b", "%/a/b", "b", "%/b"):
            await place.set(key, [*place.names, key])

    for place in places:
        assert {"a/b", "%/a/b", "b", "%/b"} == await keys_of(place)
        assert [*place.names, "b"] == await place.get("b")


async def test_clearing_a_namespace_leaves_the_others() -> None:
    storage = enhance_storage(TheirsWithAll(a=1), migrations={})
    await storage.namespace("a").set("b", 2)
    await storage.namespace("a", "c").set("d", 3)
    await storage.namespace("a").clear()

    assert {"a"} == await keys_of(storage)
    assert set() == await keys_of(storage.namespace("a", "c"))


NAMES = st.text(st.sampled_from("a/%2F5") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=5))
def test_no_two_keys_become_one(paths: list[list[str]]) -> None:
    full = {full_key(space_of(*names), name) for *names, name in paths}

    assert full == {_full_key(_base_key(key)) for key in full}


async def test_keys_are_found_by_entries_where_there_is_nothing_else() -> None:
    storage = enhance_storage(TheirsWithEntries(a=1, b=2), migrations={})

    assert [("a", 1), ("b", 2)] == sorted([entry async for entry in storage.entries()])


async def test_what_is_listed_may_be_deleted() -> None:
    storage = enhance_storage(TheirsWithAll(a=1, b=2), migrations={})
    async for key in storage.keys():
        await storage.delete(key)

    assert set() == await keys_of(storage)


# what they lack


@pytest.mark.parametrize(
    ("use", "lacking"),
    [
        (keys_of, "Theirs has no method keys or entries"),
        (lambda storage: storage.clear(), "Theirs has no method keys or entries"),
        (lambda storage: storage.sweep(), "Theirs has no method keys or entries"),
        (lambda storage: storage.touch("a"), "Theirs has no method touch"),
        (lambda storage: storage.update("a", lambda value: value + 1), "Theirs has no versions"),
        (lambda storage: storage.set("a", 2, expected_version=1), "Theirs has no versions"),
        (lambda storage: storage.delete("a", expected_version=1), "Theirs has no versions"),
    ],
)
async def test_what_they_lack_is_named(use: Use, lacking: str) -> None:
    base = Theirs(a=1)
    with pytest.raises(Unsupported, match=lacking):
        await use(enhance_storage(base, migrations={}))

    assert {"a": 1} == base.values_by_key


async def test_their_touch_is_used() -> None:
    base = TheirsWithAll(a=1)
    storage = enhance_storage(base, migrations={})

    assert (True, False) == (await storage.touch("a"), await storage.touch("b"))
    assert ["a"] == base.touched


async def test_a_deadline_that_touching_would_not_roll_on_is_said_so(clock: ManualClock) -> None:
    storage = over(TheirsWithAll(), clock)
    await storage.set("a", 1, ttl_ms=1_000)

    with pytest.raises(Unsupported, match=r"'a' has a deadline.*TheirsWithAll\.touch"):
        await storage.touch("a")


async def test_what_they_raise_is_told_with_the_method() -> None:
    with pytest.raises(StoreError, match=r"Broken\.get failed: ZeroDivisionError: oh") as caught:
        await enhance_storage(Broken(), migrations={}).get("a")

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_they_are_flushed_if_they_know_how() -> None:
    flushed: list[bool] = []

    class TheirsWithFlush(Theirs):
        async def flush(self) -> None:
            flushed.append(True)

    await enhance_storage(TheirsWithFlush(), migrations={}).flush()
    await enhance_storage(Theirs(), migrations={}).flush()

    assert [True] == flushed


async def test_they_are_closed_once() -> None:
    base = Theirs()
    storage = enhance_storage(base, migrations={})
    await storage.close()
    await storage.close()

    assert 1 == base.closed
