"""What a layered store promises, whatever its layers are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.errors import OtherHome, OutcomeUnknown, StaleValue, Unsupported
from eliza_state.storage.layered import LayeredStore, MemoryLimits, PersistOptions
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from tests.eliza_state.storage.layered.conftest import World

VOLATILE = PersistOptions(volatile=True)
CACHED = PersistOptions(persistent=False)
ARCHIVED = PersistOptions(archive=True)


async def drain() -> None:
    """Let everything run that can run."""
    for _ in range(20):
        await asyncio.sleep(0)


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


# Never an older value


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


# Faults


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


# The archive


async def test_the_archive_is_the_last_to_be_asked(world: World) -> None:
    store = world.store(archive=True)
    await store.set("a", 1, options=ARCHIVED)
    await world.home.inner.clear("")
    world.cache.lose()
    await store.forget()

    assert await store.get("a") == 1
    assert [key async for key in store.keys()] == ["a"]


async def test_what_was_deleted_does_not_come_back_from_the_archive(world: World) -> None:
    store = world.store(archive=True)
    await store.set("a", 1, options=ARCHIVED)
    await store.delete("a")
    world.clock.advance(ms=1_000_000)
    await store.sweep()

    assert await store.get("a") is None
    assert await world.archive.read(["a"]) == {}


async def test_what_was_overwritten_does_not_come_back_from_the_archive(world: World) -> None:
    store = world.store(archive=True)
    await store.set("a", 1, options=ARCHIVED)
    await store.set("a", 2, ttl_ms=1_000)
    world.clock.advance(ms=1_000)
    before = await store.get("a")
    await store.sweep()

    assert (before, await store.get("a")) == (None, None)


async def test_what_was_archived_after_the_sweep_had_looked_stays(world: World) -> None:
    store = world.store(archive=True)
    await store.set("a", 1, ttl_ms=1_000, options=ARCHIVED)
    world.clock.advance(ms=1_000)
    world.archive.writes.hold()
    sweeping = asyncio.create_task(store.sweep())
    await drain()
    await world.home.write([])
    world.archive.writes.heal()
    await store.set("a", 2, options=ARCHIVED)
    await sweeping
    await world.home.inner.clear("")
    world.cache.lose()
    await store.forget()

    assert await store.get("a") == 2


async def test_a_key_deleted_in_the_archive_only_is_gone(world: World) -> None:
    store = world.store(archive=True)
    await store.set("a", 1, options=ARCHIVED)
    await world.home.inner.clear("")
    world.cache.lose()
    await store.forget()

    assert await store.delete("a")
    assert await store.get("a") is None


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
