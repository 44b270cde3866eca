"""Stores with a forum in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from eliza_state import StateManager
from eliza_state.limits import Limits
from tests.eliza_state.query.forum import ForumModule


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
async def open_forum(url) -> AsyncIterator[Callable[..., Any]]:
    """Open managers on one store; so few scopes stay loaded that others are evicted."""
    managers: list[StateManager] = []

    async def open_(*modules: Any, max_scopes: int = 5, **options: Any) -> StateManager:
        manager = await StateManager.open(
            url, modules=modules or [ForumModule()], limits=Limits(max_scopes=max_scopes), **options
        )
        managers.append(manager)
        return manager

    yield open_
    for manager in managers:
        await manager.close()


@pytest.fixture
async def memory() -> AsyncIterator[StateManager]:
    async with StateManager.open("memory://", modules=[ForumModule()]) as manager:
        yield manager
