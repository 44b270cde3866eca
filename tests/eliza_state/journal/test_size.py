"""What an event costs on disk."""

from __future__ import annotations

import datetime
import os
import random
from pathlib import Path as FilePath
from typing import Any

from eliza_modules import AgentModule, ConversationModule, RoomModule, SystemModule
from eliza_modules.conversation import MessageReceived
from eliza_state.manager import StateManager
from eliza_state.module import StateModule

MESSAGES = 1_000
BYTES_PER_MESSAGE = 600
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
LETTERS = "abcdefghijklmnopqrstuvwxyz     "


def message(number: int, chance: random.Random) -> MessageReceived:
    return MessageReceived(
        id=f"m{number}",
        user=f"user{number % 7}",
        text="".join(chance.choices(LETTERS, k=100)),
        at=START + datetime.timedelta(seconds=17 * number, microseconds=number),
    )


def size_bytes(folder: FilePath) -> int:
    """What the store takes on disk, whatever lies beside the database included."""
    return sum(os.path.getsize(folder / name) for name in os.listdir(folder))


async def test_a_chat_message_costs_at_most_600_bytes(file: FilePath) -> None:
    # Letters at random compress badly: a real chat costs less.
    chance = random.Random(1)
    modules: list[StateModule[Any]] = [SystemModule(), AgentModule(), RoomModule(), ConversationModule()]
    async with StateManager.open(f"sqlite:///{file}?synchronous=NORMAL", modules=modules) as manager:
        talk = manager.agent("eliza").room("general").conversation("c1")
        for number in range(1, MESSAGES + 1):
            await talk.dispatch(message(number, chance))

    assert size_bytes(file.parent) / MESSAGES <= BYTES_PER_MESSAGE
