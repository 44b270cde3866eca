"""A small store with something of everything in its files, and ways to damage them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_modules import ConversationModule, MessageReceived, RoomModule, UserJoined
from eliza_state.errors import StoreError
from eliza_state.health import Verification, verify, verify_files
from eliza_state.manager import StateManager

MODULES = (ConversationModule, RoomModule)


def modules() -> list[Any]:
    return [module() for module in MODULES]


def url_of(folder: FilePath) -> str:
    return f"sqlite:///{folder}/state.db?synchronous=NORMAL"


async def fill(folder: FilePath) -> None:
    """Make a store: conversations, an erasure, snapshots with chunks, indexes, a plugin's values."""
    async with StateManager.open(url_of(folder), modules=modules()) as manager:
        room = manager.agent("eliza").room("general")
        await room.dispatch(UserJoined(user="ada"))
        talks = [room.conversation(f"c{number}") for number in range(3)]
        for talk, count in zip(talks, (530, 12, 3), strict=True):
            await manager.dispatch_all(
                [
                    (MessageReceived(id=f"m{n}", user="ada", text=f"hello {n}"), talk.path)
                    for n in range(count)
                ]
            )
        await talks[2].erase()
        first = await talks[0].dispatch(MessageReceived(id="last", user="bo", text="bye"), id="known")
        await talks[1].dispatch(MessageReceived(id="next", user="bo", text="why"), cause=first.record.id)
        await manager.plugins["trader"].set("position", {"side": "long"})
        await manager.query(ConversationModule, of="messages")


def make(folder: FilePath) -> None:
    """Fill a store in an event loop of its own; all of it is in the files, and none in their logs."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eliza_state.snapshotter.MIN_CLOSING_TAIL", 1)
        asyncio.run(fill(folder))
    for file in folder.glob("state.db*"):
        if not file.name.endswith((".lock", "-wal", "-shm")):
            run(folder, "PRAGMA wal_checkpoint(TRUNCATE)", file=file.name)


async def verified(folder: FilePath) -> Verification:
    """Verify a store whole, or its files where it cannot be opened."""
    try:
        async with StateManager.open(url_of(folder), modules=modules(), read_only=True) as manager:
            return await verify(manager, sample=None)
    except StoreError:
        return verify_files(str(folder / "state.db"))


def run(folder: FilePath, *statements: str, file: str = "state.db") -> int:
    """Run statements on a file behind everybody's back; return how many rows the last one changed."""
    with contextlib.closing(sqlite3.connect(folder / file, isolation_level=None)) as connection:
        changed = [connection.execute(statement).rowcount for statement in statements]
    return changed[-1]
