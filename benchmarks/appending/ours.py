"""This project: a manager with the ready-made module of conversations."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncGenerator
from typing import Final

from benchmarks.appending.sides import Append, Side, Store
from benchmarks.growing import BATCH, message
from eliza_modules import ConversationModule
from eliza_state import Change, Dispatch, Path, StateManager

NAME: Final = "eliza-state"
_ROOM: Final = Path((("agent", "eliza"), ("room", "general")))


@contextlib.asynccontextmanager
async def opened(store: Store) -> AsyncGenerator[Append]:
    """Open a store whose conversations stand below one room, and load them.

    It is filled by another manager, which writes the snapshots of all that when it closes.
    """
    url = store.url or f"sqlite:///{store.folder}/state.db"
    paths = [_ROOM.child("conversation", f"c{number}") for number in range(store.talks)]
    async with StateManager.open(url, modules=[ConversationModule()]) as manager:
        await _fill(manager, paths, store.history)
    async with StateManager.open(url, modules=[ConversationModule()]) as manager:
        talks = [manager.at(path) for path in paths]
        for talk in talks:
            await talk.version()

        async def append(talk: int, number: int) -> Change:
            return await talks[talk].dispatch(message(number))

        yield append


async def _fill(manager: StateManager, paths: list[Path], history: int) -> None:
    messages = (Dispatch(message(number), path) for path in paths for number in range(history))
    while batch := list(itertools.islice(messages, BATCH)):
        await manager.dispatch_all(batch)


OURS: Final = Side(NAME, opened)
