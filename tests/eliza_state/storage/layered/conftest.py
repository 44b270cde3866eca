"""Layered stores over a home, a shared cache and an archive that fail when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from eliza_state.storage.layered import LayeredStore, PersistOptions
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from eliza_state.testing import ManualClock
from eliza_state.testing.backends import FaultyBackend, MemoryCache

CACHED = PersistOptions(persistent=False)
ARCHIVED = PersistOptions(archive=True)


async def drain() -> None:
    """Let everything run that can run."""
    for _ in range(20):
        await asyncio.sleep(0)


class Archive(FaultyBackend[bytes]):
    """An archive in memory."""

    name = "archive"
    is_archive = True

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(MemoryBackend(Table[Any](), encoding=None, clock=clock))
        self.name = "archive"


class Home(FaultyBackend[bytes]):
    """A home in memory, shared by stores as processes share a database."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(MemoryBackend(Table[Any](), encoding=None, clock=clock))
        self.name = "sql"

    async def close(self) -> None:
        """Nothing: several stores share it."""


@attrs.define
class World:
    """What stores of several processes share, and the stores."""

    clock: ManualClock
    home: Home
    cache: MemoryCache
    archive: Archive
    stores: list[LayeredStore[Any]]

    def store(self, *, cache: bool = True, archive: bool = False, **options: Any) -> LayeredStore[Any]:
        """Open a store as another process would."""
        layers: list[Any] = [self.cache] if cache else []
        layers += [self.home, *([self.archive] if archive else [])]
        store = LayeredStore[Any](*layers, clock=self.clock, **options)
        self.stores.append(store)
        return store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def world(clock: ManualClock) -> AsyncIterator[World]:
    world = World(clock, Home(clock), MemoryCache(clock=clock), Archive(clock), [])
    yield world
    world.home.reads.heal()
    world.home.writes.heal()
    world.cache.reads.heal()
    world.cache.writes.heal()
    for store in world.stores:
        await store.close()
