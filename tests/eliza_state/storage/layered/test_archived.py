"""The archive below the home of a layered store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from eliza_state.storage.disk import ArchiveBackend
from eliza_state.storage.layered import LayeredStore
from tests.eliza_state.storage.layered.conftest import ARCHIVED, World, drain


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


async def test_an_archive_on_the_disk_lies_below_a_home(world: World, tmp_path: Path) -> None:
    store = LayeredStore[Any](world.home, ArchiveBackend(tmp_path, clock=world.clock), clock=world.clock)
    world.stores.append(store)
    await store.set("a", 1, options=ARCHIVED)
    await world.home.inner.clear("")
    await store.forget()

    assert await store.get("a") == 1
