"""A store with two conversations, of which one has rested longer."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_state.manager import StateManager
from eliza_state.path import Path
from tests.eliza_state.chat import OTHER, ROOM, TALK, Joined, Said, TalkModule


async def say(manager: StateManager, path: Path, *texts: str) -> None:
    await manager.dispatch_all([(Said(user="ada", text=text), path) for text in texts])


async def texts(manager: StateManager, path: Path = TALK, **options: Any) -> list[str]:
    return list((await manager.at(path).state(TalkModule, **options)).texts)


@pytest.fixture
async def manager(opened: Any, sqlite_url: str) -> StateManager:
    manager: StateManager = await opened(sqlite_url)
    await say(manager, TALK, "one", "two")
    await say(manager, OTHER, "three")
    await say(manager, TALK, "four")
    await manager.dispatch(Joined(user="bo"), to=ROOM)
    return manager
