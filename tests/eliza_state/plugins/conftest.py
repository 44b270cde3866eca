"""Plugins over each kind of storage, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path as FilePath

import pytest

from eliza_state.plugins import Plugins, PluginState
from eliza_state.testing import START, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: FilePath) -> str:
    """A database of each kind with nothing in it."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
async def plugins(database: str, clock: ManualClock) -> AsyncIterator[Plugins]:
    async with Plugins.in_database(database, clock=clock) as plugins:
        yield plugins


@pytest.fixture
def trader(plugins: Plugins) -> PluginState:
    return plugins["trader"]
