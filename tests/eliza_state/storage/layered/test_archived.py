"""The archive below the home of a layered store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Write
from eliza_state.storage.disk import ArchiveBackend
from eliza_state.storage.errors import StaleValue, ValueTooLarge
from eliza_state.storage.layered import LayeredStore, NotArchived
from tests.eliza_state.storage.layered.conftest import ARCHIVED, World, drain

Change = Callable[[LayeredStore[Any], int], Awaitable[object]]


async def with_archived(world: World, value: int, *, ttl_ms: int | None = None) -> LayeredStore[Any]:
    """Return a store whose archive alone has `a`: the home is lost, and so are the copies."""
    store = world.store(archive=True)
    await store.set("a", value, ttl_ms=ttl_ms, options=ARCHIVED)
    await world.home.inner.clear("")
    world.cache.lose()
    await store.forget()
    return store


async def test_the_archive_is_the_last_to_be_asked(world: World) -> None:
    store = await with_archived(world, 1)

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


async def test_what_only_the_archive_has_is_updated(world: World) -> None:
    store = await with_archived(world, 1)

    assert await store.update("a", lambda value: (value or 0) + 1) == 2
    assert await store.get("a", consistency="home") == 2


async def test_what_only_the_archive_has_is_compared_with(world: World) -> None:
    store = await with_archived(world, 1)
    entry = await store.entry("a")
    assert entry is not None
    with pytest.raises(StaleValue):
        await store.set("a", 2, expected_version=0)
    with pytest.raises(StaleValue):
        await store.set("a", 2, expected_version=entry.version + 1)
    before = await store.get("a", consistency="home")
    await store.set("a", 2, expected_version=entry.version)

    assert (before, await store.get("a", consistency="home")) == (1, 2)


async def test_what_goes_with_it_is_compared_on_its_own(world: World) -> None:
    store = await with_archived(world, 1)
    entry = await store.entry("a")
    assert entry is not None
    written = await store.backend.write(
        [Write("a", 2, expected=entry.version), Write("b", 3, expected=7), Write("c", 4)]
    )

    assert [outcome.is_stored for outcome in written] == [True, False, True]


async def test_an_update_keeps_the_deadline_that_only_the_archive_has(world: World) -> None:
    store = await with_archived(world, 1, ttl_ms=10_000)
    await store.update("a", lambda value: (value or 0) + 1)
    world.clock.advance(ms=10_000)

    assert await store.get("a") is None


async def test_a_key_deleted_in_the_archive_only_is_gone(world: World) -> None:
    store = await with_archived(world, 1)

    assert await store.delete("a")
    assert await store.get("a") is None


async def test_an_archive_on_the_disk_lies_below_a_home(world: World, tmp_path: Path) -> None:
    store = LayeredStore[Any](world.home, ArchiveBackend(tmp_path, clock=world.clock), clock=world.clock)
    world.stores.append(store)
    await store.set("a", 1, options=ARCHIVED)
    await world.home.inner.clear("")
    await store.forget()

    assert await store.get("a") == 1


# a home that removes dead entries by itself


async def die(world: World) -> None:
    """Let what has a deadline pass it, and the home remove it by itself."""
    world.clock.advance(ms=1_000_000)
    await world.home.inner.sweep()
    world.cache.lose()


@pytest.mark.parametrize(
    "change",
    [
        lambda store, version: store.set("a", 2, ttl_ms=1_000),
        lambda store, version: store.set("a", 2, ttl_ms=1_000, expected_version=version),
        lambda store, version: store.set_many({"a": 2}, ttl_ms=1_000),
        lambda store, version: store.update("a", lambda value: 2, ttl_ms=1_000),
        lambda store, version: store.update("a", lambda value: GONE),
        lambda store, version: store.delete("a", expected_version=version),
        lambda store, version: store.delete("a"),
    ],
)
async def test_nothing_that_was_replaced_comes_back_when_the_home_forgets(
    world: World, change: Change
) -> None:
    store = world.store(archive=True)
    version = await store.set("a", 1, options=ARCHIVED)
    await change(store, version)
    await die(world)

    assert await store.get("a") is None
    assert not await store.has("a")
    assert [key async for key in store.keys()] == []


async def test_a_condition_that_fails_buries_nothing(world: World) -> None:
    store = world.store(archive=True)
    version = await store.set("a", 1, options=ARCHIVED)
    with pytest.raises(StaleValue):
        await store.delete("a", expected_version=version + 1)
    await world.home.inner.clear("")
    world.cache.lose()
    await store.forget()

    assert await store.get("a") == 1


async def test_what_is_written_to_stay_costs_the_archive_nothing(world: World) -> None:
    store = world.store(archive=True)
    await store.set("a", 1)
    await store.update("a", lambda value: 2)

    assert (world.archive.reads.calls, world.archive.writes.calls) == (0, 0)


# an archive that fails


@pytest.mark.parametrize("error", [StoreError("no disk"), ValueTooLarge("a", size_bytes=2, max_bytes=1)])
async def test_who_cannot_archive_is_told_that_the_home_has_it(world: World, error: Exception) -> None:
    store = world.store(archive=True)
    world.archive.writes.error = error
    with pytest.raises(NotArchived, match="the home has what was written of 'a'") as caught:
        await store.set("a", 1, options=ARCHIVED)
    mark = await store.mark("a")
    world.archive.writes.heal()
    await store.set("a", 1, options=ARCHIVED)

    assert mark is not None
    assert caught.value.versions == {"a": mark.version}
    assert len(await world.archive.read(["a"])) == 1


async def test_who_cannot_bury_is_told_and_may_repeat_it(world: World) -> None:
    store = world.store(archive=True)
    await store.set_many({"overwritten": 1, "deleted": 1})
    await store.keeping(ARCHIVED).set_many({"overwritten": 1, "deleted": 1})
    world.archive.reads.error = StoreError("no disk")
    with pytest.raises(NotArchived):
        await store.set("overwritten", 2, ttl_ms=1_000)
    with pytest.raises(StoreError):
        await store.delete("deleted")
    values = await store.get_many(["overwritten", "deleted"])
    world.archive.reads.heal()
    await store.set("overwritten", 2, ttl_ms=1_000)
    await store.delete("deleted")
    await die(world)

    assert values == {"overwritten": 2}
    assert await store.get_many(["overwritten", "deleted"]) == {}
