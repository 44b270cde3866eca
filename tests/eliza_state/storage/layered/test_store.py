"""What a layered store promises, whatever its layers are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.errors import OtherHome, Unsupported
from eliza_state.storage.layered import LayeredStore, MemoryLimits, PersistOptions
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from tests.eliza_state.storage.layered.conftest import ARCHIVED, CACHED, World, drain

VOLATILE = PersistOptions(volatile=True)


# Reading and promotion


async def test_a_key_is_read_from_memory_once_it_was_read(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    await store.get("a")
    calls = world.home.reads.calls, world.cache.reads.calls
    await store.get("a")

    assert (world.home.reads.calls, world.cache.reads.calls) == calls


async def test_another_process_reads_from_the_cache(world: World) -> None:
    await world.store().set("a", {"x": [1]})
    other = world.store()

    assert await other.get("a") == {"x": [1]}
    assert world.home.reads.calls == 0


async def test_what_was_found_at_home_is_promoted_with_its_remaining_time_to_live(world: World) -> None:
    await world.store(cache=False).set("a", 1, ttl_ms=1_000)
    world.clock.advance(ms=400)
    await world.store().get("a")
    await drain()
    entry = await world.store().entry("a")
    assert entry is not None
    deadline_ms = world.clock() // 1_000 + 600

    assert world.home.reads.calls == 1
    assert (entry.deadline_ms, entry.ttl_ms) == (deadline_ms, 1_000)


async def test_a_key_past_its_deadline_exists_in_no_layer(world: World) -> None:
    store, other = world.store(), world.store()
    await store.set("a", 1, ttl_ms=1_000)
    await other.get("a")
    world.clock.advance(ms=1_000)

    assert await store.get("a") is None
    assert await other.get("a") is None
    assert not await store.has("a")


@pytest.mark.parametrize("value", [None, 0, "", False, {}, []])
async def test_empty_values_are_values_in_every_layer(world: World, value: Any) -> None:
    await world.store().set("a", value)

    assert await world.store().get("a", "missing") == value
    assert await world.store(cache=False).get("a", "missing") == value


async def test_one_loader_per_key_however_many_ask(world: World) -> None:
    await world.store(cache=False).set("a", 1)
    store = world.store(cache=False)
    world.home.reads.hold()
    readers = [asyncio.create_task(store.get("a")) for _ in range(50)]
    await drain()
    world.home.reads.heal()

    assert await asyncio.gather(*readers) == [1] * 50
    assert world.home.reads.calls == 1


async def test_a_cancelled_reader_does_not_cancel_the_load_of_the_others(world: World) -> None:
    await world.store(cache=False).set("a", 1)
    store = world.store(cache=False)
    world.home.reads.hold()
    first = asyncio.create_task(store.get("a"))
    await drain()
    second = asyncio.create_task(store.get("a"))
    await drain()
    first.cancel()
    await drain()
    world.home.reads.heal()

    assert await second == 1


async def test_a_failed_load_fails_all_who_wait_and_none_after(world: World) -> None:
    await world.store(cache=False).set("a", 1)
    store = world.store(cache=False)
    world.home.reads.error = StoreError("down")
    outcomes = await asyncio.gather(store.get("a"), store.get("a"), return_exceptions=True)
    world.home.reads.heal()

    assert all(isinstance(outcome, StoreError) for outcome in outcomes)
    assert await store.get("a") == 1


# The home


async def test_the_home_acknowledges_and_an_error_there_is_an_error(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    world.home.writes.error = StoreError("down")
    with pytest.raises(StoreError, match="down"):
        await store.set("a", 2)

    assert await store.get("a") == 1
    assert await world.store().get("a") == 1


async def test_a_copy_goes_on_being_read_while_the_home_is_down(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    world.home.reads.error = StoreError("down")

    assert await store.get("a") == 1
    with pytest.raises(StoreError):
        await store.get("b")
    with pytest.raises(StoreError):
        await store.get("a", consistency="home")


async def test_a_volatile_key_is_in_this_process_only(world: World) -> None:
    store = world.store()
    await store.set("a", 1, options=VOLATILE)

    assert await store.get("a") == 1
    assert await world.store().get("a") is None
    assert [key async for key in store.keys()] == ["a"]
    assert world.home.writes.calls == 0


@pytest.mark.parametrize("options", [VOLATILE, CACHED])
async def test_a_key_that_lives_at_home_is_not_kept_further_up(world: World, options: PersistOptions) -> None:
    store = world.store(cache_keeps_own=True)
    await store.set("a", 1)
    with pytest.raises(OtherHome):
        await store.set("a", 2, options=options)
    await store.delete("a")
    await store.set("a", 3, options=options)

    assert await store.get("a") == 3


async def test_a_key_that_lives_in_the_cache_is_not_made_volatile(world: World) -> None:
    store = world.store(cache_keeps_own=True)
    await store.set("a", 1, options=CACHED)
    with pytest.raises(OtherHome):
        await world.store(cache_keeps_own=True).set("a", 2, options=VOLATILE)

    assert await store.get("a") == 1


async def test_a_key_that_is_not_persistent_is_shared_but_not_at_home(world: World) -> None:
    store = world.store(cache_keeps_own=True)
    await store.set("a", 1, options=CACHED)
    other = world.store(cache_keeps_own=True)

    assert await other.get("a") == 1
    assert world.home.writes.calls == 0
    assert [key async for key in other.keys()] == ["a"]
    assert await other.delete("a")
    assert await store.get("a", consistency="home") is None


async def test_updates_of_a_key_in_the_cache_stay_there(world: World) -> None:
    store = world.store(cache_keeps_own=True)
    cached = store.keeping(CACHED)
    await asyncio.gather(*(cached.update("n", lambda value: value + 1, default=0) for _ in range(20)))

    assert await store.get("n") == 20
    assert world.home.writes.calls == 0


async def test_a_persistent_write_takes_a_key_home(world: World) -> None:
    store = world.store(cache_keeps_own=True)
    await store.set("v", 1, options=VOLATILE)
    await store.set("c", 1, options=CACHED)
    await store.set_many({"v": 2, "c": 2})
    other = world.store(cache_keeps_own=True)

    assert await other.get_many(["v", "c"]) == {"v": 2, "c": 2}
    assert await store.get_many(["v", "c"]) == {"v": 2, "c": 2}
    world.cache.lose()
    assert await world.store().get_many(["v", "c"]) == {"v": 2, "c": 2}


async def test_an_expired_volatile_key_hides_nothing(world: World) -> None:
    store = world.store()
    await store.set("a", 1, ttl_ms=1_000, options=VOLATILE)
    world.clock.advance(ms=1_000)
    await world.store().set("a", 2)

    with pytest.raises(OtherHome):
        await store.set("a", 3, options=VOLATILE)
    assert await store.has("a")
    assert await store.get("a", consistency="home") == 2
    await store.forget()
    assert await store.get("a") == 2


async def test_a_key_deleted_at_home_may_live_in_the_cache(world: World) -> None:
    store = world.store(cache_keeps_own=True)
    await store.set("a", 1)
    await store.delete("a")
    await store.set("a", 2, options=CACHED)
    other = world.store(cache_keeps_own=True)

    assert await other.has("a")
    assert [key async for key in other.keys()] == ["a"]


async def test_without_a_layer_for_it_an_option_is_refused(world: World) -> None:
    store = world.store()
    with pytest.raises(Unsupported, match="cache_keeps_own"):
        await store.set("a", 1, options=CACHED)
    with pytest.raises(Unsupported, match="archive"):
        await store.set("a", 1, options=ARCHIVED)
    with pytest.raises(ValueError, match="archive"):
        PersistOptions(archive=True, volatile=True)


async def test_the_options_give_the_time_to_live(world: World) -> None:
    store = world.store()
    await store.set("a", 1, options=PersistOptions(ttl_ms=500))
    world.clock.advance(ms=500)

    assert await world.store().get("a") is None


# What it is made of


def test_layers_are_checked() -> None:
    home = MemoryBackend[bytes](Table(), encoding=None)
    with pytest.raises(ValueError, match="home"):
        LayeredStore[int]()
    with pytest.raises(ValueError, match="only a shared cache"):
        LayeredStore[int](home, home)
    with pytest.raises(ValueError, match="no layer is named 'redis'"):
        LayeredStore[int](home, timeouts_ms={"redis": 5})
    with pytest.raises(ValueError, match="cache_keeps_own"):
        LayeredStore[int](home, cache_keeps_own=True)
    with pytest.raises(StoreError, match="gopher"):
        LayeredStore[int]("gopher://x")


async def test_forgetting_a_layer_that_is_no_cache_is_refused(world: World) -> None:
    store = world.store()
    with pytest.raises(ValueError, match="sql"):
        await store.forget("sql")
    with pytest.raises(ValueError, match="no layer"):
        await store.flush("nothing")


async def test_memory_may_be_left_out(world: World) -> None:
    store = world.store(cache=False, memory=MemoryLimits(max_entries=0))
    await store.set("a", 1)
    await store.get("a")
    await store.get("a")

    assert world.home.reads.calls == 2


async def test_memory_stays_within_its_bounds(world: World) -> None:
    store = world.store(cache=False, memory=MemoryLimits(max_entries=10))
    await store.set_many({f"k{number}": number for number in range(100)})

    assert await store.get_many([f"k{number}" for number in range(100)]) == {
        f"k{number}": number for number in range(100)
    }
    assert store.status()[0].hits <= 10


async def test_a_closed_store_leaves_no_task(world: World) -> None:
    store = world.store()
    world.cache.writes.error = StoreError("down")
    await store.set("a", 1)
    await store.close()
    await drain()

    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_store_may_be_used_in_one_event_loop_after_the_other() -> None:
    home = MemoryBackend[bytes](Table(), encoding=None)
    store = LayeredStore[int](home)
    asyncio.run(store.set("a", 1))

    assert asyncio.run(store.get("a")) == 1
    asyncio.run(store.close())
