"""One layer: what counts as an outage, and who is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.layered import LayeredStore
from tests.eliza_state.storage.layered.conftest import World
from tests.eliza_state.storage.layered.site import status


async def test_a_home_whose_lock_others_hold_goes_on_being_read(world: World) -> None:
    await world.store(cache=False).set("a", 1)
    store = world.store(cache=False)
    world.home.writes.error = Busy("locked")
    for _ in range(5):
        with pytest.raises(Busy):
            await store.set("b", 1)

    assert await store.get("a") == 1
    assert status(store, "sql").is_up
    assert status(store, "sql").failures == 5


async def test_an_outage_and_its_end_are_reported_once(world: World) -> None:
    store = world.store(cache=False)
    error = world.home.reads.error = StoreError("no route")
    for _ in range(10):
        with pytest.raises(StoreError):
            await store.get("a")
    during = list(store.problems)
    world.home.reads.heal()
    await until_up(store)
    begun, ended = store.problems

    assert during == [begun]
    assert (begun.kind, begun.error) == ("layer", error)
    assert "sql is passed over" in begun.message
    assert "no route" in begun.message
    assert "sql answers again" in ended.message


async def until_up(store: LayeredStore[Any]) -> None:
    async with asyncio.timeout(30):
        while not status(store, "sql").is_up:
            await asyncio.sleep(0.05)
            try:
                await store.get("a")
            except StoreError:
                continue


async def test_a_single_failure_is_no_outage(world: World) -> None:
    store = world.store()
    await store.set("a", 1)
    await store.forget()
    world.cache.reads.error = StoreError("blip")
    await store.get("a")

    assert not list(store.problems)


async def test_views_of_a_store_report_together(world: World) -> None:
    store = world.store()

    assert store.namespace("room").problems is store.problems
