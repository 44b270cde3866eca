"""A store with a short history, and a debugger on it."""

from __future__ import annotations

import pytest

from eliza_state.debugger import Debugger
from eliza_state.manager import StateManager
from eliza_state.testing import ManualClock
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Drawn, Joined, Noted, Said
from tests.eliza_state.conftest import Open

HISTORY = [
    (Joined(user="ada"), ROOM),
    (Said(user="ada", text="hello"), TALK),
    (Said(user="bo", text="Hello yourself"), TALK),
    (Drawn(amount=3), AGENT),
    (Said(user="ada", text="elsewhere"), OTHER),
    (Noted(text="no effect"), TALK),
    (Said(user="ada", text="bye"), TALK),
    (Closed(), OTHER),
]
"""The events of the store; the position of each is its number, counted from 1."""

START_US = 1_767_225_600_000_000
"""When the first is recorded, 2026-01-01 in UTC; each further one a second later."""


@pytest.fixture
async def manager(opened: Open, url: str) -> StateManager:
    """A store of each kind that holds the history."""
    clock = ManualClock(START_US)
    manager: StateManager = await opened(url, clock=clock)
    for event, path in HISTORY:
        await manager.dispatch(event, to=path)
        clock.advance(ms=1_000)
    return manager


@pytest.fixture
def debugger(manager: StateManager) -> Debugger:
    """A debugger on it."""
    return Debugger(manager)
