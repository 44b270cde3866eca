"""What is read from a layered store is never older than permitted, and never older than what was seen."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.storage.errors import StaleValue
from tests.eliza_state.storage.layered.conftest import World, drain


async def test_what_is_filled_in_late_does_not_replace_what_was_written_meanwhile(world: World) -> None:
    store = world.store(cache=False)
    await store.set("a", 1)
    await store.forget()
    world.home.reads.hold(after=True, calls=1)
    late = asyncio.create_task(store.get("a"))
    await drain()
    await store.set("a", 2)
    world.home.reads.heal()
    await late

    assert await store.get("a") == 2


async def test_an_announcement_between_a_read_below_and_the_fill_above_wins(world: World) -> None:
    reader, writer = world.store(), world.store()
    await world.store(cache=False).set("a", 1)
    world.home.reads.hold(after=True, calls=1)
    late = asyncio.create_task(reader.get("a"))
    await drain()
    await writer.set("a", 2)
    world.home.reads.heal()
    await late

    assert await reader.get("a") == 2


async def test_a_late_promotion_does_not_bring_back_what_was_deleted(world: World) -> None:
    reader, writer = world.store(), world.store()
    await world.store(cache=False).set("a", 1)
    world.home.reads.hold(after=True, calls=1)
    late = asyncio.create_task(reader.get("a"))
    await drain()
    await writer.delete("a")
    world.home.reads.heal()
    await late
    await drain()

    assert await world.store().get("a") is None
    assert await reader.get("a") is None


async def test_other_processes_hear_of_a_write(world: World) -> None:
    store, other = world.store(), world.store()
    await store.set("a", 1)
    await other.get("a")
    await drain()
    await store.set("a", 2)

    assert await other.get("a") == 2


async def test_when_listening_was_interrupted_nothing_in_memory_is_trusted(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    await drain()
    await store.get("a")
    calls = world.cache.reads.calls
    world.cache.disconnect()
    await store.get("a")

    assert world.cache.reads.calls == calls + 1


async def test_a_copy_is_never_older_than_permitted(world: World) -> None:
    quiet = world.store(max_age_ms=5_000)
    await quiet.set("a", 1)
    await world.store(cache=False).set("a", 2)  # says nothing to anybody
    world.clock.advance(ms=4_999)
    stale = await quiet.get("a")
    world.clock.advance(ms=1)

    assert (stale, await quiet.get("a")) == (1, 2)


async def test_ages_do_not_add_up_from_layer_to_layer(world: World) -> None:
    await world.store(max_age_ms=5_000).set("a", 1)
    await world.store(cache=False).set("a", 2)
    world.clock.advance(ms=4_000)
    late = world.store(max_age_ms=5_000)
    await late.get("a")
    world.clock.advance(ms=1_000)

    assert await late.get("a") == 2


async def test_a_clock_that_is_turned_back_makes_no_copy_younger(world: World) -> None:
    store = world.store(cache=False, max_age_ms=1_000)
    await store.set("a", 1)
    await world.store(cache=False).set("a", 2)
    world.clock.advance(ms=-3_600_000)

    assert await store.get("a") == 2


async def test_the_home_is_asked_when_the_newest_is_wanted(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    await world.store(cache=False).set("a", 2)

    assert await store.get("a") == 1
    assert await store.get("a", consistency="home") == 2


async def test_compare_and_set_compares_with_the_home(world: World) -> None:
    store = world.store()
    version = await store.set("a", 1)
    newer = await world.store(cache=False).set("a", 2)
    with pytest.raises(StaleValue) as caught:
        await store.set("a", 3, expected_version=version)

    assert caught.value.actual == newer
    assert await store.get("a", consistency="home") == 2
    assert await store.update("a", lambda value: value + 10) == 12


async def test_no_update_is_lost_among_processes(world: World) -> None:
    stores = [world.store() for _ in range(4)]
    await asyncio.gather(
        *(store.update("n", lambda value: value + 1, default=0) for store in stores for _ in range(10))
    )

    assert await world.store().get("n") == 40
