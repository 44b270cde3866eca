"""What every side of a comparison stores, where, and how its reads are timed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

Get = Callable[[str], Awaitable[Any]]
"""Read one key."""


class Run(Protocol):
    """Run a coroutine in an event loop and return what it returns."""

    def __call__(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...


SESSION: Final = {
    "counter": 7,
    "user": "ada",
    "topic": "the weather of tomorrow",
    "sentiment": 0.25,
    "goals": ["find a hotel", "book it"],
    "ended": False,
}
TTL_S: Final = 3_600
TTL_MS: Final = TTL_S * 1_000
TASKS: Final = 32


def keys(count: int) -> list[str]:
    """Return so many keys of sessions."""
    return [f"session:{number}" for number in range(count)]


async def read_all(
    get: Get, wanted: Sequence[str], *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the microseconds that a read takes, one after the other.

    Where no side waits for anything, `time.process_time` tells the same and leaves out what else the
    machine does meanwhile.
    """
    started = clock()
    for key in wanted:
        await get(key)
    return (clock() - started) / len(wanted) * 1e6


@contextlib.contextmanager
def entered(opening: AbstractAsyncContextManager[T]) -> Generator[tuple[Run, T]]:
    """Enter in an event loop of its own and yield what runs a coroutine there, and what was entered."""
    with asyncio.Runner() as runner:

        async def enter() -> T:
            return await opening.__aenter__()

        async def leave() -> None:
            await opening.__aexit__(None, None, None)

        made = runner.run(enter())
        try:
            yield runner.run, made
        finally:
            runner.run(leave())
