"""Redis fails in every way it can: what was acknowledged stays, and no older value comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.backend import Write
from eliza_state.storage.layered import LayeredStore, PersistOptions
from eliza_state.testing import FaultProxy
from tests.eliza_state.storage.layered.site import PATIENT, Site, closing, status
from tests.eliza_state.storage.redis.server import PATIENT_MS, eventually

if TYPE_CHECKING:
    from tests.servers import PostgresServer, RedisServer

StartServer = Callable[..., "RedisServer"]

HURRIED = {**PATIENT, "redis": 100}


@pytest.fixture
async def site(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Site]:
    async with closing(Site(redis_server.url, f"sqlite:///{tmp_path}/state.db")) as site:
        yield site


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(*redis_server.address) as proxy:
        yield proxy


def on(server: RedisServer, tmp_path: Path) -> Any:
    return closing(Site(server.url, f"sqlite:///{tmp_path}/state.db"))


async def is_repaired(store: LayeredStore[Any]) -> bool:
    return status(store, "redis").to_repair == 0


# the network


async def test_what_redis_did_not_confirm_is_repaired(site: Site, proxy: FaultProxy) -> None:
    store = site.store(redis_url=f"redis://{proxy.address}", timeouts_ms=HURRIED)
    await store.set("key", 1)
    proxy.drop_replies()
    await store.set("key", 2)
    await store.forget()
    asked = await store.get("key")
    proxy.heal()
    await eventually(lambda: is_repaired(store))
    other = site.store()

    assert asked == 2
    assert await other.get("key") == 2
    assert status(other, "sql").hits == 0


async def test_a_slow_redis_is_waited_for_no_longer_than_its_limit(site: Site, proxy: FaultProxy) -> None:
    await site.quiet().set_many({f"k{number}": number for number in range(10)})
    store = site.store(redis_url=f"redis://{proxy.address}", timeouts_ms=HURRIED)
    proxy.delay(ms=60_000)
    begin_s = time.monotonic()
    found = [await store.get(f"k{number}") for number in range(10)]
    took_s = time.monotonic() - begin_s

    assert found == list(range(10))
    assert not status(store, "redis").is_up
    assert status(store, "redis").skipped > 0
    assert took_s < 20


async def test_a_redis_that_is_fast_again_is_used_again(site: Site, proxy: FaultProxy) -> None:
    store = site.store(redis_url=f"redis://{proxy.address}", timeouts_ms=HURRIED)
    await store.set("key", 1)
    proxy.refuse()
    proxy.reset()
    for number in range(4):
        await store.set("key", number)
    proxy.heal()
    await eventually(lambda: is_repaired(store))

    assert status(store, "redis").is_up
    assert await site.store().get("key") == 3


async def test_who_was_cut_off_does_not_trust_memory_nor_older_copies(site: Site, proxy: FaultProxy) -> None:
    reader = site.store(redis_url=f"redis://{proxy.address}")
    writer = site.store()
    await writer.set("key", 1)
    await site.hearing(reader, "key", 1)
    proxy.refuse()
    proxy.reset()
    await eventually(lambda: is_forgotten(reader))
    await site.quiet().set("key", 2)
    while_cut_off = await reader.get("key")
    proxy.heal()
    await site.hearing(reader, "key", 2)

    assert while_cut_off == 2


async def is_forgotten(store: LayeredStore[Any]) -> bool:
    front = store.backend.reading._front  # type: ignore[attr-defined]
    return not front.table.slots


async def test_a_lost_connection_for_changes_empties_the_memory(site: Site, proxy: FaultProxy) -> None:
    store = site.store(redis_url=f"redis://{proxy.address}")
    await store.set("key", 1)
    await site.hearing(store, "key", 1)
    misses = status(store, "memory").misses
    proxy.reset()
    await eventually(lambda: is_forgotten(store))

    assert await store.get("key") == 1
    assert status(store, "memory").misses == misses + 1


# the server


async def test_nothing_acknowledged_is_lost_when_redis_is_killed(
    own_redis_server: StartServer, tmp_path: Path
) -> None:
    server = own_redis_server()
    async with on(server, tmp_path) as site:
        store = site.store(timeouts_ms=HURRIED)
        acknowledged: dict[str, int] = {}
        killed = asyncio.Event()

        async def write(writer: int) -> None:
            number = 0
            while not (killed.is_set() and number % 10 == 0):
                number += 1
                await store.set(f"writer {writer}", number)
                acknowledged[f"writer {writer}"] = number

        writing = [asyncio.create_task(write(writer)) for writer in range(4)]
        await eventually(lambda: have_begun(acknowledged))
        await asyncio.to_thread(server.kill)
        killed.set()
        await asyncio.gather(*writing)
        await store.forget()

        assert await store.get_many(acknowledged) == acknowledged
        assert await site.quiet().get_many(acknowledged) == acknowledged


async def have_begun(acknowledged: dict[str, int]) -> bool:
    return len(acknowledged) == 4


async def test_an_old_value_does_not_come_back_with_redis(
    own_redis_server: StartServer, tmp_path: Path
) -> None:
    """Redis comes back with what it had before: values that were overwritten and deleted meanwhile."""
    server = own_redis_server(arguments=("--appendonly", "yes", "--appendfsync", "always"))
    async with on(server, tmp_path) as site:
        writer, reader = site.store(), site.store()
        await writer.set_many({"changed": 1, "deleted": 1, "same": 1})
        await site.hearing(reader, "changed", 1)
        await asyncio.to_thread(server.kill)
        await writer.set("changed", 2)
        await writer.delete("deleted")
        await eventually(lambda: is_gone(reader))
        seen: list[Any] = []
        restarting = asyncio.create_task(asyncio.to_thread(server.start))
        while not (restarting.done() and await is_repaired(writer) and len(seen) > 50):
            seen.append(await reader.get_many(["changed", "deleted", "same"]))
            await asyncio.sleep(0.002)
        await restarting
        other = site.store()

        assert {"changed": 2, "same": 1} == await other.get_many(["changed", "deleted", "same"])
        assert status(other, "sql").hits == 0
        assert all(found == {"changed": 2, "same": 1} for found in seen)


async def is_gone(store: LayeredStore[Any]) -> bool:
    """Tell whether a store has noticed that Redis is gone and what was written since."""
    return await store.get("changed") == 2 and await store.get("deleted") is None


async def test_a_deletion_that_redis_missed_leaves_a_tombstone_there(site: Site, proxy: FaultProxy) -> None:
    """A late promotion of the old value finds it, and changes nothing."""
    writer = site.store(redis_url=f"redis://{proxy.address}", timeouts_ms=HURRIED)
    late, _ = site.held()
    version = await writer.set("key", 1)
    proxy.refuse()
    proxy.reset()
    await writer.delete("key")
    proxy.heal()
    await eventually(lambda: is_repaired(writer))
    (cache,) = late.backend._layers.caches  # type: ignore[attr-defined]
    await cache.promote([_copy("key", version)], confirmed_at_ms=time.time_ns() // 1_000_000)

    assert await site.store().get("key") is None


def _copy(key: str, version: int) -> Any:
    return Write(key, b"json:1", version=version)


async def test_a_replica_that_takes_no_writes_costs_speed_only(
    own_redis_server: StartServer, tmp_path: Path
) -> None:
    primary = own_redis_server()
    async with on(own_redis_server(replica_of=primary), tmp_path) as site:
        store = site.store()
        for number in range(5):
            await store.set("key", number)
            await store.forget()
            assert await store.get("key") == number
        await store.delete("key")

        assert await store.get("key") is None
        assert status(store, "redis").failures > 0


async def test_a_full_redis_holds_no_older_copy(own_redis_server: StartServer, tmp_path: Path) -> None:
    server = own_redis_server()
    async with on(server, tmp_path) as site:
        writer = site.store()
        await writer.set_many({"key": 1, "other": 1})
        server.configure(maxmemory_policy="noeviction", maxmemory="1mb")
        await writer.set("key", 2)
        await writer.delete("other")
        reader = site.store()

        assert await reader.get_many(["key", "other"]) == {"key": 2}
        assert await writer.get_many(["key", "other"]) == {"key": 2}
        server.configure(maxmemory=0)
        await eventually(lambda: is_repaired(writer))
        assert await site.store().get("key") == 2


# what others put there


async def test_something_else_at_a_key_is_passed_over(site: Site) -> None:
    await site.quiet().set_many({"wrong": 1, "right": 1})
    with site.client() as client:
        client.lpush("eliza_state:wrong", "somebody else's")
    store = site.store()

    assert await store.get_many(["wrong", "right"]) == {"wrong": 1, "right": 1}
    await store.set_many({"wrong": 2, "right": 2})
    assert await site.store().get_many(["wrong", "right"]) == {"wrong": 2, "right": 2}
    await eventually(lambda: waits_alone(store))


async def waits_alone(store: LayeredStore[Any]) -> bool:
    return status(store, "redis").to_repair == 1


async def test_something_else_at_a_key_does_not_hold_up_the_repair_of_others(
    site: Site, proxy: FaultProxy
) -> None:
    store = site.store(redis_url=f"redis://{proxy.address}", timeouts_ms=HURRIED)
    keys = [f"k{number}" for number in range(20)]
    await store.set_many(dict.fromkeys(keys, 1))
    proxy.drop_replies()
    await store.set_many(dict.fromkeys(keys, 2))
    with site.client() as client:
        client.delete("eliza_state:k7")
        client.lpush("eliza_state:k7", "somebody else's")
    proxy.heal()
    await eventually(lambda: waits_alone(store))

    assert await site.store().get_many(keys) == dict.fromkeys(keys, 2)


async def test_a_copy_that_cannot_be_read_is_replaced_by_what_is_at_home(site: Site) -> None:
    await site.store().set("key", {"a": 1})
    with site.client() as client:
        client.append("eliza_state:key", b"}garbage")
    store = site.store()
    found = await store.get("key")
    await eventually(lambda: is_repaired(store))

    assert found == {"a": 1}
    other = site.store()
    assert await other.get("key") == {"a": 1}
    assert status(other, "sql").hits == 0


# keys of its own


async def test_what_only_redis_knows_is_an_error_while_it_does_not_answer(
    site: Site, proxy: FaultProxy
) -> None:
    store = site.store(redis_url=f"redis://{proxy.address}", timeouts_ms=HURRIED, cache_keeps_own=True)
    cached = PersistOptions(persistent=False)
    await store.set("own", 1, options=cached)
    await store.set("home", 1)
    await store.forget()
    proxy.refuse()
    proxy.reset()
    with pytest.raises(StoreError):
        await store.get("own")
    with pytest.raises(StoreError):
        await store.set("own", 2, options=cached)

    assert await store.get("home") == 1
    proxy.heal()
    await eventually(lambda: is_answered(store, "own", 1))


async def test_a_write_that_redis_did_not_answer_is_done_or_not(site: Site, proxy: FaultProxy) -> None:
    store = site.store(redis_url=f"redis://{proxy.address}", timeouts_ms=HURRIED, cache_keeps_own=True)
    cached = PersistOptions(persistent=False)
    await store.set("own", 1, options=cached)
    proxy.drop_replies()
    with pytest.raises(StoreError):
        await store.set("own", 2, options=cached)
    proxy.heal()
    there = await site.store(cache_keeps_own=True).get("own")

    assert there in (1, 2)
    await eventually(lambda: is_answered(store, "own", there))


async def is_answered(store: LayeredStore[Any], key: str, value: Any) -> bool:
    try:
        found = await store.get(key)
    except StoreError:
        return False
    assert found == value, "it is either an error or right"
    return True


# the home


async def test_a_home_that_is_down_is_an_error_for_writes_and_copies_are_read(
    redis_url: str, own_postgres_server: Callable[..., PostgresServer]
) -> None:
    server = own_postgres_server()
    async with closing(Site(redis_url, server.url)) as site:
        store, other = site.store(), site.store(timeouts_ms={"redis": PATIENT_MS, "sql": 2_000})
        await store.set("key", 1)
        await asyncio.to_thread(server.kill)
        with pytest.raises(StoreError):
            await other.set("other", 2)
        found = [await other.get("key"), await store.get("key")]
        await asyncio.to_thread(server.start)
        await store.set("key", 3)

        assert found[0] == found[1] == 1
        assert await store.get("key", consistency="home") == 3
