"""Verifying a store that is written meanwhile: nothing is taken for damage that is none."""

from __future__ import annotations

import asyncio

import pytest

from eliza_modules import ConversationModule, MessageReceived
from eliza_state.health import verify
from eliza_state.manager import StateManager


async def write(manager: StateManager, stopped: asyncio.Event) -> int:
    number = 0
    while not stopped.is_set():
        path = manager.agent("eliza").room("general").conversation(f"c{number % 3}").path
        events = [
            (MessageReceived(id=f"{number} {part}", user="ada", text="hello"), path) for part in range(20)
        ]
        await manager.dispatch_all(events)
        number += 1
    return number


async def test_a_store_in_use_never_alarms(sqlite_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("eliza_state.snapshotter.MIN_TAIL", 50)
    stopped = asyncio.Event()
    async with StateManager.open(sqlite_url, modules=[ConversationModule()]) as manager:
        writing = asyncio.create_task(write(manager, stopped))
        found = [await verify(manager, sample=None)]
        while len(found) < 6 or (found[-1].position == found[0].position and len(found) < 100):
            found.append(await verify(manager, sample=None))
        stopped.set()
        await writing

    assert not [each.findings for each in found if each.findings]
    assert found[-1].position > found[0].position


async def test_progress_is_told_and_a_caller_may_give_up(sqlite_url: str):
    async with StateManager.open(sqlite_url, modules=[ConversationModule()]) as manager:
        talk = manager.agent("eliza").room("general").conversation("c")
        await talk.dispatch(MessageReceived(id="m", user="ada", text="hello"))
        told: list[str] = []
        await verify(manager, told=lambda progress: told.append(progress.doing))
        task = asyncio.create_task(verify(manager))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert list(dict.fromkeys(told)) == ["file", "records", "tables", "derived", "states"]
