"""Processes that follow a store: forked one for each line on the input, `url handler ticks`, and awaited.

A process kills itself at the given tick of what it goes through: the beginning and the end of each call of
the handler, and of each transaction. With 0 it ends by itself once it has done with all records; with -1
it says so and goes on until it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from eliza_state.followers import Follower, Followers, RecordedEvent, Write
from eliza_state.manager import StateManager
from tests.eliza_state import chat


class Ticks:
    """Count, and kill the process at a tick."""

    def __init__(self, left: int) -> None:
        self._left = left

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def follow(followers: Followers, handler: str, tick: Ticks) -> Follower:
    """Follow as `greeter`: what is said makes somebody of that name join, and is noted."""

    def greet(told: RecordedEvent, write: Write) -> None:
        tick()
        write(chat.Joined(user=told.event.text), to=chat.ROOM)
        write(chat.Noted(text=told.event.text))
        tick()

    async def greet_slowly(told: RecordedEvent, write: Write) -> None:
        await asyncio.sleep(0)
        greet(told, write)

    chosen: Any = {"plain": greet, "coroutine": greet_slowly}[handler]
    return await followers.follow("greeter", chosen, events=[chat.Said], batch=3)


def count_transactions(manager: StateManager, tick: Ticks) -> None:
    journal: Any = manager.journal
    append = journal.append

    def ticking(*arguments: Any, **options: Any) -> Any:
        tick()
        appended = append(*arguments, **options)
        tick()
        return appended

    journal.append = ticking


async def run(url: str, handler: str, ticks: str) -> None:
    tick = Ticks(int(ticks))
    async with StateManager.open(f"{url}?synchronous=NORMAL", modules=chat.modules()) as manager:
        count_transactions(manager, tick)
        async with Followers(manager, poll_interval_ms=5, advance_interval_ms=0) as followers:
            follower = await follow(followers, handler, tick)
            await follower.settled()
            if ticks == "-1":
                os.write(1, b"%d\n" % os.getpid())
                await asyncio.get_running_loop().create_future()


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                asyncio.run(run(*line.split()))
            finally:
                os._exit(1 if sys.exc_info()[0] else 0)
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
