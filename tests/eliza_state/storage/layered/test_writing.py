"""Updates and conditions act where a key lives, whatever the options; and keys that are taken home."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import OtherHome, StaleValue
from eliza_state.storage.layered import LayeredStore, PersistOptions
from tests.eliza_state.storage.layered.conftest import ARCHIVED, CACHED, World, drain

DEFAULT = PersistOptions()
VOLATILE = PersistOptions(volatile=True)


@pytest.fixture
def store(world: World) -> LayeredStore[Any]:
    return world.store(cache_keeps_own=True, archive=True)


HIGHER = [(VOLATILE, DEFAULT), (VOLATILE, CACHED), (CACHED, DEFAULT)]


@pytest.mark.parametrize(("lives", "options"), HIGHER)
async def test_an_update_acts_where_the_key_lives(
    world: World, store: LayeredStore[Any], lives: PersistOptions, options: PersistOptions
) -> None:
    await store.set("n", 5, options=lives)
    async with asyncio.timeout(5):
        after = await store.keeping(options).update("n", lambda value: value + 1, default=0)

    assert after == 6 == await store.get("n") == await store.get("n", consistency="home")
    assert world.home.writes.calls == 0


@pytest.mark.parametrize(("lives", "options"), HIGHER)
async def test_a_condition_that_fails_changes_nothing(
    world: World, store: LayeredStore[Any], lives: PersistOptions, options: PersistOptions
) -> None:
    version = await store.set("n", 5, options=lives)
    for expected in (0, version + 1):
        with pytest.raises(StaleValue) as caught:
            await store.set("n", 6, expected_version=expected, options=options)
        assert caught.value.actual == version

    assert await store.get("n") == 5
    assert world.home.writes.calls == 0


@pytest.mark.parametrize("lives", [VOLATILE, CACHED])
async def test_a_conditional_deletion_acts_where_the_key_lives(
    store: LayeredStore[Any], lives: PersistOptions
) -> None:
    version = await store.set("a", 5, options=lives)
    await store.set("b", 5, options=lives)
    await store.delete("a", expected_version=version)
    await store.update("b", lambda _: GONE)

    assert await store.get_many(["a", "b"]) == {}
    assert not await store.has_many(["a", "b"])


@pytest.mark.parametrize(("lives", "options"), [(DEFAULT, VOLATILE), (DEFAULT, CACHED), (CACHED, VOLATILE)])
async def test_an_update_further_up_than_the_key_lives_is_refused_at_once(
    store: LayeredStore[Any], lives: PersistOptions, options: PersistOptions
) -> None:
    await store.set("n", 5, options=lives)
    async with asyncio.timeout(5):
        with pytest.raises(OtherHome):
            await store.keeping(options).update("n", lambda value: value + 1, default=0)

    assert await store.get("n") == 5


@pytest.mark.parametrize("lives", [VOLATILE, CACHED])
async def test_what_lives_further_up_is_not_archived_by_an_update(
    store: LayeredStore[Any], lives: PersistOptions
) -> None:
    await store.set("n", 5, options=lives)
    with pytest.raises(OtherHome, match="further up"):
        await store.keeping(ARCHIVED).update("n", lambda value: value + 1)

    assert await store.get("n") == 5


async def test_writes_of_several_homes_keep_their_order(store: LayeredStore[Any]) -> None:
    volatile = await store.set("v", 1, options=VOLATILE)
    cached = await store.set("c", 1, options=CACHED)
    writes = [
        store._write("new", 2, expected=0),
        store._write("c", 2, expected=cached),
        store._write("v", 2, expected=volatile),
        store._write("c", 3, expected=cached),
    ]
    written = await store.backend.write(writes)

    assert [outcome.is_stored for outcome in written] == [True, True, True, False]
    assert await store.get_many(["new", "c", "v"]) == {"new": 2, "c": 2, "v": 2}


async def test_a_key_in_the_archive_alone_is_not_kept_further_up(
    world: World, store: LayeredStore[Any]
) -> None:
    await store.set("a", 1, options=ARCHIVED)
    await world.home.inner.clear("")
    world.cache.lose()
    await store.forget()

    for options in (VOLATILE, CACHED):
        with pytest.raises(OtherHome):
            await store.set("a", 2, options=options)


async def test_while_the_cache_is_down_a_condition_needs_the_key_at_home(
    world: World, store: LayeredStore[Any]
) -> None:
    version = await store.set("home", 1)
    await store.set("own", 1, options=CACHED)
    world.cache.reads.error = StoreError("down")
    with pytest.raises(StoreError, match="down"):
        await store.set("own", 2, expected_version=0)
    await store.set("home", 2, expected_version=version)
    await store.set("plain", 2)

    assert await store.get_many(["home", "plain"]) == {"home": 2, "plain": 2}
    assert await world.home.read(["own"]) == {}


# taking a key home


async def test_a_process_that_ends_while_it_takes_a_key_home_hides_nothing_for_long(
    world: World, store: LayeredStore[Any]
) -> None:
    await store.set("a", 1, options=CACHED)
    world.home.writes.hold(after=True)
    writing = asyncio.create_task(store.set("a", 2))
    await drain()
    writing.cancel()  # the cache is not told any more
    await asyncio.wait([writing])
    world.home.writes.heal()
    other = world.store(cache_keeps_own=True, max_age_ms=60_000)
    at_home = await other.get("a", consistency="home")
    world.clock.advance(ms=60_000)

    assert at_home == 2
    assert await other.get("a") == 2


async def test_a_key_that_was_not_taken_home_is_the_caches_own_again(
    world: World, store: LayeredStore[Any]
) -> None:
    await store.set("a", 1, options=CACHED)
    world.home.writes.error = StoreError("down")
    with pytest.raises(StoreError):
        await store.set("a", 2)
    world.clock.advance(ms=1_000_000)
    await store.forget()

    assert await store.get("a") == 1


async def test_of_two_deletions_at_a_time_one_is_told_that_the_key_existed(world: World) -> None:
    one, other = world.store(), world.store()
    await one.set("key", 5)
    world.home.writes.hold(calls=1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(one.delete("key"))
        await drain()
        told = await other.delete("key")
        world.home.writes.heal()

    assert [told, waiting.result()] == [True, False]


async def test_a_deletion_deletes_what_was_written_while_it_was_under_way(world: World) -> None:
    one, other = world.store(archive=True), world.store(archive=True)
    await one.set("key", 5)
    world.home.writes.hold(calls=1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(one.delete("key"))
        await drain()
        await other.set("key", 6)
        world.home.writes.heal()

    assert waiting.result()
    assert await other.get("key", consistency="home") is None
