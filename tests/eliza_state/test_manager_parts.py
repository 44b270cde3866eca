"""What hangs on a manager: plugins, effects and followers, which open and close with it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.change import Change
from eliza_state.effects import EffectContext
from eliza_state.errors import StateError, StoreError
from eliza_state.followers import RecordedEvent, Write
from eliza_state.manager import StateManager
from eliza_state.plugins import Plugins
from eliza_state.portal import SyncStateManager
from eliza_state.storage import MemoryStorage
from tests.eliza_state.chat import TALK, Said, modules

# Plugins


async def test_plugins_outlive_the_manager(sqlite_url: str) -> None:
    async with StateManager.open(sqlite_url) as manager:
        await manager.plugins["trader"].set("position", 3)
    async with StateManager.open(sqlite_url) as manager:
        assert await manager.plugins["trader"].get("position") == 3


async def test_a_store_without_plugins_has_no_file_for_them(sqlite_url: str, tmp_path: FilePath) -> None:
    async with StateManager.open(sqlite_url):
        pass

    assert not [name for name in os.listdir(tmp_path) if "plugins" in name]


async def test_a_function_gives_a_plugin_a_storage_of_its_own(sqlite_url: str) -> None:
    def choose(name: str) -> MemoryStorage[Any] | None:
        return MemoryStorage[Any]() if name == "scalper" else None

    for _ in range(2):
        async with StateManager.open(sqlite_url, plugins=choose) as manager:
            before = [await manager.plugins[name].get("last") for name in ("scalper", "trader")]
            await manager.plugins["scalper"].set("last", 1)
            await manager.plugins["trader"].set("last", 1)

    assert before == [None, 1]


async def test_plugins_may_lie_in_another_database(tmp_path: FilePath) -> None:
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    async with StateManager.open("memory://", plugins=elsewhere) as manager:
        await manager.plugins["trader"].set("position", 3)
    async with Plugins.in_database(elsewhere) as plugins:
        assert await plugins["trader"].get("position") == 3


async def test_plugins_that_were_lent_stay_open() -> None:
    async with Plugins.in_database() as plugins:
        async with StateManager.open("memory://", plugins=plugins) as manager:
            await manager.plugins["trader"].set("position", 3)

        assert await plugins["trader"].get("position") == 3


async def test_plugins_of_a_store_to_be_read_only_are_read_only(sqlite_url: str) -> None:
    async with StateManager.open(sqlite_url) as manager:
        await manager.plugins["trader"].set("position", 3)
    async with StateManager.open(sqlite_url, read_only=True) as manager:
        assert await manager.plugins["trader"].get("position") == 3
        with pytest.raises(StoreError, match="read only"):
            await manager.plugins["trader"].set("position", 4)


async def test_a_store_to_be_read_only_gets_no_file_for_plugins(sqlite_url: str, tmp_path: FilePath) -> None:
    async with StateManager.open(sqlite_url):
        pass
    async with StateManager.open(sqlite_url, read_only=True) as manager:
        with pytest.raises(StoreError):
            manager.plugins["trader"]

    assert not [name for name in os.listdir(tmp_path) if "plugins" in name]


async def test_a_closed_manager_has_no_plugins(url: str) -> None:
    manager = await StateManager.open(url)
    await manager.close()

    with pytest.raises(StoreError, match="closed"):
        manager.plugins["trader"]


async def test_what_a_plugins_receiver_raises_is_reported(manager: StateManager) -> None:
    def fail(_change: object) -> None:
        raise ValueError("broken")

    manager.plugins["trader"].listen(fail)
    await manager.plugins["trader"].set("position", 3)

    assert [type(problem.error) for problem in manager.problems] == [ValueError]


# Effects


async def test_an_effect_runs_after_a_change(manager: StateManager) -> None:
    seen: list[str] = []

    async def note(change: Change, _context: EffectContext) -> None:
        seen.append(change.event.text)

    manager.on(Said, note)
    await manager.dispatch(Said(user="ada", text="m1"), to=TALK)
    await manager.effects.settled()

    assert seen == ["m1"]


async def test_closing_cancels_effects(url: str) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(_change: Change, _context: EffectContext) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with StateManager.open(url, modules=modules()) as manager:
        manager.on(Said, wait)
        await manager.dispatch(Said(user="ada", text="m1"), to=TALK)
        await started.wait()

    assert cancelled.is_set()
    with pytest.raises(StateError, match="closed"):
        manager.on(Said, wait)


async def test_an_effect_can_dispatch_while_the_manager_closes(sqlite_url: str) -> None:
    started = asyncio.Event()

    async def at_the_end(_change: Change, context: EffectContext) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await context.dispatch(Said(user="ada", text="m2"))

    async with StateManager.open(sqlite_url, modules=modules()) as manager:
        manager.on(Said, at_the_end, policy="leading")
        await manager.dispatch(Said(user="ada", text="m1"), to=TALK)
        await started.wait()
    async with StateManager.open(sqlite_url, modules=modules()) as manager:
        assert await manager.at(TALK).version() == 2


# Followers


async def test_a_follower_goes_on_where_it_was_when_the_manager_closed(sqlite_url: str) -> None:
    heard: list[str] = []

    def note(told: RecordedEvent, _write: Write) -> None:
        heard.append(told.event.text)

    for text in ("m1", "m2"):
        async with StateManager.open(sqlite_url, modules=modules()) as manager:
            await manager.follow("notes", note, events=[Said])
            await manager.dispatch(Said(user="ada", text=text), to=TALK)
            await manager.followers.settled()

    assert heard == ["m1", "m2"]


async def test_a_handler_cannot_close_its_manager(manager: StateManager) -> None:
    refused: list[StateError] = []

    async def close(_told: RecordedEvent, _write: Write) -> None:
        try:
            await manager.close()
        except StateError as error:
            refused.append(error)

    await manager.follow("closing", close, events=[Said])
    await manager.dispatch(Said(user="ada", text="m1"), to=TALK)
    await manager.followers.settled()
    await manager.dispatch(Said(user="ada", text="m2"), to=TALK)

    assert len(refused) == 1


# From threads


def test_a_synchronous_manager_runs_what_has_an_asynchronous_face_alone(url: str) -> None:
    with SyncStateManager.open(url, modules=modules()) as manager:
        manager.run(lambda it: it.plugins["trader"].set("position", 3))

        assert manager.run(lambda it: it.plugins["trader"].get("position")) == 3
