"""What a layered store does when a layer fails, waits, or tells nothing."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.errors import OutcomeUnknown
from tests.eliza_state.storage.layered.conftest import CACHED, World, drain


async def test_a_cache_that_is_down_costs_no_more_than_speed(world: World) -> None:
    world.cache.reads.error = world.cache.writes.error = StoreError("down")
    store = world.store()
    await store.set("a", 1)
    await store.delete("b")

    assert await store.get("a") == 1
    assert await world.store().get("a") == 1


async def test_a_cache_that_hangs_is_waited_for_no_longer_than_its_limit(world: World) -> None:
    store = world.store(timeouts_ms={"cache": 10})
    await store.set("a", 1)
    await store.forget()
    world.cache.reads.hold()

    assert await asyncio.wait_for(store.get("a"), timeout=5) == 1


async def test_what_was_written_while_the_cache_was_away_is_repaired(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    await store.set("b", 1)
    world.cache.writes.error = StoreError("down")
    await store.set("a", 2)
    await store.delete("b")
    world.cache.writes.heal()
    await store.flush("cache")
    other = world.store()

    assert await other.get_many(["a", "b"]) == {"a": 2}


async def test_until_it_is_repaired_a_copy_is_not_used_by_who_knows(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    world.cache.writes.error = StoreError("down")
    await store.set("a", 2)
    await store.forget()

    assert await store.get("a") == 2
    (status,) = [status for status in store.status() if status.name == "cache"]
    assert status.to_repair == 1


async def test_a_key_that_may_be_in_the_cache_only_is_an_error_while_it_is_down(world: World) -> None:
    store = world.store(cache_keeps_own=True)
    await store.set("a", 1)
    await store.set("own", 1, options=CACHED)
    await store.forget()
    world.cache.reads.error = StoreError("down")

    assert await store.get("a") == 1
    with pytest.raises(StoreError, match="cache"):
        await store.get("own")


async def test_a_write_of_unknown_outcome_is_not_hidden_by_copies(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    world.home.writes.error_after = OutcomeUnknown("reply lost")
    with pytest.raises(OutcomeUnknown):
        await store.set("a", 2)
    world.home.writes.heal()

    assert await store.get("a") == 2


async def test_a_write_that_lands_after_its_caller_was_cancelled_is_seen(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    world.home.writes.hold(after=True)
    writing = asyncio.create_task(store.set("a", 2))
    await drain()
    writing.cancel()
    await asyncio.wait([writing])
    world.home.writes.heal()

    assert await store.get("a") == 2


async def test_a_home_that_hangs_is_reported_with_its_limit(world: World) -> None:
    store = world.store(timeouts_ms={"sql": 10})
    world.home.writes.hold()
    with pytest.raises(OutcomeUnknown, match="10 ms"):
        await store.set("a", 1)


async def test_has_answers_as_get_does_while_the_home_is_down(world: World) -> None:
    await world.store().set_many({"a": 1, "b": 2})
    store = world.store()
    await store.delete("b")
    await store.forget()
    world.home.reads.error = StoreError("down")

    assert await store.has("a")
    assert (await store.get("a"), await store.get("b")) == (1, None)
    assert await store.has_many(["a", "b"]) == {"a"}
    with pytest.raises(StoreError, match="down"):
        await store.has("c")


async def test_has_asks_the_home_while_it_answers(world: World) -> None:
    await world.store().set("a", 1)
    await world.store(cache=False).delete("a")

    assert not await world.store().has("a")
