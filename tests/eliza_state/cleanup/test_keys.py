"""Sweeping what is past its deadline."""

from __future__ import annotations

import pytest

from eliza_state.cleanup import ExpiredKeys, clean
from eliza_state.storage import MemoryStorage


@pytest.fixture
async def manager(open_chat, url):
    return await open_chat(url)


async def sweep(manager, *, dry_run=False, storages=()):
    report = await clean(manager, [ExpiredKeys(storages=storages)], share=1, dry_run=dry_run)
    (outcome,) = report.outcomes
    return outcome


async def stored(storage):
    """How many entries lie there, dead or alive."""
    return sum([len(page) async for page in storage.backend.scan("", nested=True)])


async def test_expired_values_of_plugins_go(manager, clock):
    plugin = manager.plugins["trader"]
    await plugin.set("stays", 1)
    await plugin.set_with_ttl("goes", 2, 1_000)
    clock.advance(ms=2_000)
    outcome = await sweep(manager)

    assert (outcome.done, await stored(manager.plugins.storages()[""])) == (1, 1)


async def test_a_dry_run_counts_them(manager, clock):
    await manager.plugins["trader"].set_with_ttl("goes", 2, 1_000)
    clock.advance(ms=2_000)
    outcome = await sweep(manager, dry_run=True)

    assert (outcome.done, await stored(manager.plugins.storages()[""])) == (1, 1)


async def test_other_storages_are_swept_where_the_policy_names_them(manager, clock):
    storage = MemoryStorage(clock=clock)
    for number in range(3):
        await storage.set(str(number), number, ttl_ms=1_000)
    clock.advance(ms=2_000)
    outcome = await sweep(manager, storages=(storage,))

    assert (outcome.done, await stored(storage)) == (3, 0)


async def test_a_storage_that_fails_does_not_stop_the_next(manager, clock, sqlite_storage):
    storage = MemoryStorage(clock=clock)
    await storage.set("goes", 1, ttl_ms=1_000)
    clock.advance(ms=2_000)
    await sqlite_storage.close()
    outcome = await sweep(manager, storages=(sqlite_storage, storage))

    assert (outcome.done, outcome.failed, outcome.failures[0].what) == (1, 1, "storage 1")


async def test_plugins_that_never_stored_anything_get_no_file(store, tmp_path):
    outcome = await sweep(store)

    assert (outcome.done, outcome.failed) == (0, 0)
    assert not list(tmp_path.glob("*-plugins"))


@pytest.fixture
def sqlite_storage(tmp_path):
    from eliza_state.storage.sql import SqlStorage

    return SqlStorage(f"sqlite:///{tmp_path}/other.db", synchronous="NORMAL")
