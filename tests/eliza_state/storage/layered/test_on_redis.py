"""Memory over Redis over a database: who reads from where, and who hears of what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from eliza_state.clock import now_us
from eliza_state.storage.layered import LayeredStore, PersistOptions
from eliza_state.storage.redis.calls import GRACE_MS
from tests.eliza_state.storage.layered.site import Site, closing, status
from tests.eliza_state.storage.redis.server import eventually


@pytest.fixture(params=["sqlite", "postgres"])
def home_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
async def site(redis_url: str, home_url: str) -> AsyncIterator[Site]:
    async with closing(Site(redis_url, home_url)) as site:
        yield site


def in_redis(site: Site, key: str) -> Callable[[], Any]:
    """Return the question whether Redis holds something under a key."""

    async def is_there() -> bool:
        with site.client() as client:
            return bool(client.exists(f"eliza_state:{key}"))

    return is_there


# promotion


async def test_what_is_found_at_home_is_promoted_into_redis_and_memory(site: Site) -> None:
    await site.quiet().set("key", {"a": [1]})
    store = site.store()
    await store.get("key")
    await eventually(in_redis(site, "key"))
    await site.hearing(store, "key", {"a": [1]})

    assert await site.store().get("key") == {"a": [1]}
    assert status(site.listening[-1], "sql").hits == 0


async def test_another_store_reads_what_was_written_from_redis(site: Site) -> None:
    await site.store().set("key", 1)
    other = site.store()

    assert await other.get("key") == 1
    assert (status(other, "redis").hits, status(other, "sql").hits) == (1, 0)


async def test_copies_live_in_redis_for_as_long_as_the_key_at_most(site: Site) -> None:
    await site.quiet().set("key", 1, ttl_ms=20_000)
    store = site.store()
    await store.get("key")
    await eventually(in_redis(site, "key"))
    with site.client() as client:
        remaining_ms = client.pttl("eliza_state:key")

    assert 0 < remaining_ms <= 20_000 + GRACE_MS
    assert await site.store().entry("key") == await site.quiet().entry("key")


async def test_copies_are_no_older_in_redis_than_permitted(site: Site) -> None:
    await site.store(max_age_ms=2_000).set("key", 1)
    with site.client() as client:
        remaining_ms = client.pttl("eliza_state:key")

    assert 0 < remaining_ms <= 2_000 + GRACE_MS


async def test_a_late_promotion_is_as_old_as_what_was_read(site: Site) -> None:
    """Promoted long after it was read, it is too old for others at once."""
    await site.quiet().set("key", 1)
    seconds = Late()
    home = site.home(seconds)
    slow = site.store(home=home, clock=seconds, max_age_ms=10_000)
    reading = slow.backend.reading  # type: ignore[attr-defined]
    promote = asyncio.Event()
    spawn = reading.tasks.spawn
    reading.tasks.spawn = lambda coroutine: spawn(_after(promote, coroutine))
    await slow.get("key")
    await site.quiet().set("key", 2)
    seconds.ahead_us += 11_000_000
    promote.set()
    await eventually(in_redis(site, "key"))

    assert await site.store(clock=seconds, max_age_ms=10_000).get("key") == 2


async def _after(event: asyncio.Event, coroutine: Any) -> None:
    try:
        await event.wait()
    except BaseException:
        coroutine.close()
        raise
    await coroutine


@attrs.define
class Late:
    """A clock that is ahead of the others."""

    ahead_us: int = 0

    def __call__(self) -> int:
        return now_us() + self.ahead_us


# hearing of each other


async def test_a_write_drops_the_copy_in_the_memory_of_others(site: Site) -> None:
    store, other = site.store(), site.store()
    await store.set("key", 1)
    await store.get("key")
    await site.hearing(other, "key", 1)
    await store.set("key", 2)

    await eventually(lambda: is_read(other, "key", 2))
    assert status(other, "sql").hits == 0


async def test_a_deletion_drops_the_copy_in_the_memory_of_others(site: Site) -> None:
    store, other = site.store(), site.store()
    await store.set("key", 1)
    await store.get("key")
    await site.hearing(other, "key", 1)
    await store.delete("key")

    await eventually(lambda: is_read(other, "key", None))
    assert not await other.has("key")


async def is_read(store: LayeredStore[Any], key: str, value: Any) -> bool:
    return bool(await store.get(key) == value)


@pytest.mark.parametrize("consistency", ["cached", "home"])
async def test_an_announcement_between_a_read_below_and_the_fill_above_wins(
    site: Site, consistency: Any
) -> None:
    await site.quiet().set("key", 1)
    store, home = site.held()
    writer = site.store()
    await writer.set("other", 0)
    await site.hearing(store, "other", 0)
    home.reads.hold(after=True, calls=1)
    late = asyncio.create_task(store.get("key", consistency=consistency))
    await eventually(lambda: is_called(home.reads))
    await writer.set("key", 2)
    loads = store.backend.reading.loads  # type: ignore[attr-defined]
    await eventually(lambda: is_reached(loads))
    home.reads.heal()
    await late

    assert await store.get("key") == 2


async def is_called(faults: Any) -> bool:
    return bool(faults.calls == 1)


async def is_reached(loads: Any) -> bool:
    return bool(loads.floor("key") > 0)


async def test_no_update_of_several_stores_is_lost(site: Site) -> None:
    stores = [site.store() for _ in range(3)]
    await asyncio.gather(
        *(store.update("n", lambda value: value + 1, default=0) for store in stores for _ in range(6))
    )

    assert await site.store().get("n") == 18


async def test_keys_of_redis_only_are_shared_and_not_at_home(site: Site) -> None:
    store, other = site.store(cache_keeps_own=True), site.store(cache_keeps_own=True)
    await store.set("key", 1, options=PersistOptions(persistent=False))

    assert await other.get("key") == 1
    assert await site.quiet().get("key") is None
    await other.set("key", 2)
    assert await store.get("key", consistency="home") == 2
    assert await site.quiet().get("key") == 2


# event loops and closing


def test_one_event_loop_after_another(redis_url: str, home_url: str) -> None:
    """What was written between the loops, while nobody listened, is seen in the second."""
    site = Site(redis_url, home_url)
    store = site.store()

    async def hear() -> None:
        await store.set("key", 1)
        await site.hearing(store, "key", 1)

    async def write() -> None:
        async with Site(redis_url, home_url).store() as other:
            await other.set("key", 2)

    asyncio.run(hear())
    asyncio.run(write())
    found = asyncio.run(read_and_close(store))

    assert found == 2


async def read_and_close(store: LayeredStore[Any]) -> Any:
    async with store:
        return await store.get("key")


async def test_closing_leaves_no_task_connection_or_thread(site: Site) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    with site.client() as client:
        connections = len(client.client_list())
        store = site.store()
        await store.set("key", 1)
        await site.hearing(store, "key", 1)
        await store.set_many({f"k{number}": number for number in range(50)})
        await store.forget()
        await asyncio.gather(*(store.get(f"k{number}") for number in range(50)))
        await store.close()

        async def are_gone() -> bool:
            return len(client.client_list()) == connections and set(threading.enumerate()) <= threads

        await eventually(are_gone)
    assert asyncio.all_tasks() == tasks


async def test_closing_during_a_write_leaves_no_task(site: Site) -> None:
    tasks = asyncio.all_tasks()
    store = site.store()
    await store.get("key")
    writing = [asyncio.ensure_future(store.set(f"k{number}", number)) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.wait(writing)
    acknowledged = {f"k{n}": n for n, write in enumerate(writing) if write.exception() is None}

    assert asyncio.all_tasks() == tasks
    assert await site.quiet().get_many(acknowledged) == acknowledged


# clocks


@pytest.mark.parametrize("ahead_ms", [-3_600_000, -1_000, 1_000, 3_600_000])
async def test_a_clock_that_jumps_costs_no_truth(site: Site, ahead_ms: int) -> None:
    clock = Late()
    store, other = site.store(max_age_ms=60_000), site.store(clock=clock, max_age_ms=60_000)
    await store.set("key", 1)
    await other.get("key")
    clock.ahead_us = ahead_ms * 1_000
    await other.set("key", 2)
    version = await store.set("key", 3)
    newest = await other.get("key", consistency="home")
    await other.set("key", 4, expected_version=version)

    assert newest == 3
    assert await store.get("key", consistency="home") == 4
    await eventually(lambda: is_read(store, "key", 4))
    await eventually(lambda: is_read(other, "key", 4))
