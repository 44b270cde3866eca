"""Processes at a store: `listen url`, `write url count` or `work url partitions`, which run until killed.

A listener prints the position of each change, a worker `conversation:text` for each record that it has
handled and `ready`, once it has begun.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from eliza_state.followers import Followers
from eliza_state.manager import StateManager
from tests.eliza_state import chat


def tell(text: object) -> None:
    os.write(1, f"{text}\n".encode())


async def listen(manager: StateManager, _argument: str) -> None:
    manager.subscribe(lambda change: tell(change.position))
    while not manager.feed.status.is_awake:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    tell("ready")
    await asyncio.get_running_loop().create_future()


async def write(manager: StateManager, count: str) -> None:
    for number in range(int(count)):
        await manager.dispatch(chat.Said(user="ada", text=str(number)), to=chat.TALK)
        tell(number)
    await asyncio.get_running_loop().create_future()


async def work(manager: StateManager, partitions: str) -> None:
    def handle(told: Any, write: Any) -> None:
        write(chat.Noted(text=told.event.text))

    async with Followers(manager, poll_interval_ms=50) as followers:
        await followers.join("worker", handle, partitions=int(partitions), events=[chat.Said], batch=5)
        tell("ready")
        await asyncio.get_running_loop().create_future()


async def run(task: str, url: str, argument: str) -> None:
    async with StateManager.open(url, modules=chat.modules()) as manager:
        await {"listen": listen, "write": write, "work": work}[task](manager, argument)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
