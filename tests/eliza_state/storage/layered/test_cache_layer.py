"""What a cache in a layered store is trusted with, and how it is repaired."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.problems import Problems
from eliza_state.storage.backend import GONE, Write
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.layered.breaker import Breaker
from eliza_state.storage.layered.cache_layer import CacheLayer
from eliza_state.storage.layered.layer import Layer
from eliza_state.testing import ManualClock
from eliza_state.testing.backends import MemoryCache
from tests.eliza_state.storage.layered.conftest import World, drain
from tests.eliza_state.storage.redis.server import eventually


def layer(world: World, *, keeps_own: bool = False, breaker: Breaker | None = None) -> CacheLayer:
    home = Layer[Any](world.home, role="home", timeout_ms=10_000, breaker=Breaker(), problems=Problems())
    return CacheLayer(
        world.cache,
        timeout_ms=10_000,
        breaker=breaker or Breaker(),
        max_age_ms=10_000,
        keeps_own=keeps_own,
        home=home,
    )


def trusted(_key: str) -> bool:
    return True


def unknown(_key: str) -> int:
    return 0


async def fail(cache: CacheLayer, world: World) -> None:
    """Let a call fail, and what comes next go well."""
    world.cache.reads.error = StoreError("down")
    assert await cache.usable(["any"], trusts=trusted, floor=unknown) is None
    world.cache.reads.heal()


async def usable(cache: CacheLayer, *keys: str) -> dict[str, Any]:
    copies = await cache.usable(keys, trusts=trusted, floor=unknown)
    assert copies is not None
    return {key: copy.entry.value for key, copy in copies.items()}


async def test_keys_of_its_own_are_read_while_they_wait_for_repair(world: World) -> None:
    cache = layer(world, keeps_own=True)
    await world.cache.write([Write("own", b"1")])
    await world.cache.write_copies([Write("copy", b"1", version=1)], max_age_ms=10_000)
    cache.distrust(["own", "copy"], delay_ms=60_000)

    assert await usable(cache, "own", "copy") == {"own": b"1"}
    await cache.close()


async def test_copies_from_before_something_was_missed_are_not_used(world: World) -> None:
    cache = layer(world)
    await world.cache.write_copies([Write("old", b"1", version=1)], max_age_ms=10_000)
    world.clock.advance(ms=1)
    cache.distrust_older()
    await world.cache.write_copies([Write("new", b"1", version=1)], max_age_ms=10_000)

    assert await usable(cache, "old", "new") == {"new": b"1"}


async def test_a_deletion_is_repaired_as_a_tombstone(world: World) -> None:
    cache = layer(world)
    await world.cache.write_copies([Write("key", b"1", version=1)], max_age_ms=10_000)
    await world.home.write([Write("key", GONE, world.clock() // 1_000 + 60_000, 60_000, version=2)])
    cache.distrust(["key"])
    await cache.repair()
    await cache.promote([Write("key", b"1", version=1)], confirmed_at_ms=world.clock() // 1_000)

    assert await usable(cache, "key") == {"key": GONE}
    await cache.close()


async def test_what_is_its_own_since_the_deletion_stays(world: World) -> None:
    cache = layer(world, keeps_own=True)
    await world.home.write([Write("key", GONE, world.clock() // 1_000 + 60_000, 60_000, version=2)])
    await world.cache.write([Write("key", b"own")])
    cache.distrust(["key"])
    await cache.repair()

    assert await usable(cache, "key") == {"key": b"own"}
    await cache.close()


async def test_the_home_is_asked_when_the_cache_can_be_told(world: World) -> None:
    """Not before the breaker lets a call through, in which time several repairs would begin."""
    cache = layer(world, breaker=Breaker(failures=1))
    world.cache.writes.error = StoreError("down")
    await cache.tell([Write("key", b"1", version=1)])
    world.cache.writes.heal()

    async def is_repaired() -> bool:
        return cache.status().to_repair == 0

    await eventually(is_repaired)
    assert world.home.reads.calls == 1
    await cache.close()


async def test_nobody_waits_to_learn_whether_it_answers_again(world: World) -> None:
    """It is asked in the background, by one call at a time."""
    cache = layer(world, breaker=Breaker(failures=1, pause_ms=0.001))
    await fail(cache, world)
    world.cache.reads.hold()
    before = world.cache.reads.calls
    passed_over = [await cache.usable(["key"], trusts=trusted, floor=unknown) for _ in range(3)]
    await drain()

    assert [None, None, None] == passed_over
    assert 1 == world.cache.reads.calls - before
    world.cache.reads.heal()
    await cache.close()


async def test_one_that_answers_again_is_used_again(world: World) -> None:
    cache = layer(world, breaker=Breaker(failures=1, pause_ms=0.001))
    await world.cache.write_copies([Write("key", b"1", version=1)], max_age_ms=10_000)
    await fail(cache, world)

    async def is_used() -> bool:
        return await cache.usable(["key"], trusts=trusted, floor=unknown) is not None

    await eventually(is_used)
    assert await usable(cache, "key") == {"key": b"1"}
    assert cache.status().skipped > 0
    await cache.close()


async def test_a_writer_does_not_wait_for_one_that_is_left_alone(world: World) -> None:
    cache = layer(world, breaker=Breaker(failures=1, pause_ms=0.001))
    await fail(cache, world)
    world.cache.reads.hold()
    world.cache.writes.hold()
    await cache.tell([Write("key", b"1", version=1)])

    assert 1 == cache.status().to_repair
    world.cache.reads.heal()
    world.cache.writes.heal()
    await cache.close()


async def test_what_only_it_may_know_is_asked_for_by_who_wants_it(world: World) -> None:
    cache = layer(world, keeps_own=True, breaker=Breaker(failures=1, pause_ms=0.001))
    await world.cache.write([Write("own", b"1")])
    await fail(cache, world)

    assert await usable(cache, "own") == {"own": b"1"}
    await cache.close()


async def test_a_closed_one_begins_no_repair(world: World) -> None:
    cache = layer(world)
    await cache.close()
    cache.distrust(["key"])

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def far(clock: ManualClock) -> MemoryCache:
    """A cache between the one of `world` and the home."""
    cache = MemoryCache(clock=clock)
    cache.name = "far"
    return cache


async def two(world: World, far: MemoryCache) -> LayeredStore[Any]:
    store = LayeredStore[Any](world.cache, far, world.home, clock=world.clock, max_age_ms=10_000)
    world.stores.append(store)
    return store


async def test_ages_do_not_begin_anew_from_cache_to_cache(world: World, far: MemoryCache) -> None:
    store = await two(world, far)
    await store.set("key", 1)
    world.cache.lose()
    await world.store(cache=False).set("key", 2)
    world.clock.advance(ms=6_000)
    await store.forget()
    await store.get("key")  # promoted into the upper cache
    await drain()
    world.clock.advance(ms=6_000)
    await store.forget()

    assert await store.get("key") == 2


async def test_a_cancelled_write_is_repaired_in_every_cache(world: World, far: MemoryCache) -> None:
    store = await two(world, far)
    await store.set("key", 1)
    world.cache.writes.hold()
    writing = asyncio.create_task(store.set("key", 2))
    await drain()
    writing.cancel()
    await asyncio.wait([writing])
    world.cache.writes.heal()
    waiting = {status.name: status.to_repair for status in store.status()}
    await store.forget()

    assert (waiting["cache"], waiting["far"]) == (1, 1)
    assert await store.get("key") == 2


# closing


async def test_what_can_be_repaired_is_repaired_in_the_end(world: World) -> None:
    store = world.store()
    await store.set("key", 1)
    world.cache.writes.error = StoreError("down")
    await store.set("key", 2)
    world.cache.writes.heal()
    await store.close()

    assert await world.store().get("key") == 2
    assert world.home.reads.calls == 1
    assert not list(store.problems)


async def test_what_is_left_unrepaired_in_the_end_is_reported(world: World) -> None:
    store = world.store()
    world.cache.writes.error = StoreError("down")
    await store.set_many({"a": 1, "b": 1})
    await store.close()
    (problem,) = store.problems

    assert "cache: 2 of its copies could not be repaired" in problem.message
    assert problem.error is world.cache.writes.error


async def test_closing_waits_for_a_home_no_longer_than_its_limit(world: World) -> None:
    store = world.store(timeouts_ms={"sql": 10})
    world.cache.writes.error = StoreError("down")
    await store.set("a", 1)
    world.home.reads.hold()
    await asyncio.wait_for(store.close(), timeout=5)

    assert len(store.problems) == 1
