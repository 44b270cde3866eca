"""Group commit as one would write it by hand: a thread that commits whatever waits, all of it at once."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

import msgspec

from benchmarks.talk import TEXT, Said

T = TypeVar("T")


@contextlib.contextmanager
def grouping(write: Callable[[list[T]], object]) -> Generator[Callable[[T], Awaitable[None]]]:
    """Give a coroutine function that has an item written; `write` is called with many, in a thread."""
    loop = asyncio.get_running_loop()
    jobs: queue.SimpleQueue[tuple[T, asyncio.Future[None]] | None] = queue.SimpleQueue()

    def work() -> None:
        while (job := jobs.get()) is not None:
            batch = [job]
            while not jobs.empty() and (further := jobs.get()) is not None:
                batch.append(further)
            write([item for item, _ in batch])
            loop.call_soon_threadsafe(_wake, [stored for _, stored in batch])

    async def append(item: T) -> None:
        stored: asyncio.Future[None] = loop.create_future()
        jobs.put((item, stored))
        await stored

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield append
    finally:
        jobs.put(None)
        thread.join()


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for stored in waiting:
        stored.set_result(None)


def grouped(write: Callable[[list[bytes]], object], *, tasks: int, events: int) -> float:
    """Return the microseconds a message takes when tasks have their encoded messages written together."""
    encode = msgspec.json.Encoder().encode

    async def run() -> float:
        with grouping(write) as append:

            async def work(task: int) -> None:
                for number in range(events):
                    await append(encode(Said(id=f"{task}-{number}", user="ada", text=TEXT)))

            started = time.perf_counter()
            await asyncio.gather(*(work(task) for task in range(tasks)))
            return time.perf_counter() - started

    return asyncio.run(run()) / (tasks * events) * 1e6
