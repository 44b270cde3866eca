"""One load of a key at a time, however many ask for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")

Load: TypeAlias = Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]
"""Return what there is of keys; a key that is missing is left out."""


class Loads(Generic[T]):
    """Share what is being loaded among those who wait for it.

    A load goes on when those who wait for it are cancelled. `reached` tells the version that a key is known
    to have reached while it is watched, so that an older one is not kept.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Mapping[str, T]]] = {}
        self._watched: Counter[str] = Counter()
        self._floors: dict[str, int] = {}

    async def get(self, keys: Sequence[str], load: Load[T]) -> dict[str, T]:
        """Return what there is of keys, joining loads under way. Raises what the load raises."""
        loop = asyncio.get_running_loop()
        mine = [key for key in keys if not self._is_loading(key, loop)]
        if mine:
            task = loop.create_task(self._run(mine, load))
            self._tasks.update(dict.fromkeys(mine, task))
        found: dict[str, T] = {}
        for task in {self._tasks[key]: None for key in keys}:
            found.update(await asyncio.shield(task))
        return {key: found[key] for key in keys if key in found}

    def _is_loading(self, key: str, loop: asyncio.AbstractEventLoop) -> bool:
        task = self._tasks.get(key)
        # One of an event loop that was stopped in the middle never ends.
        return task is not None and task.get_loop() is loop

    async def _run(self, keys: Sequence[str], load: Load[T]) -> Mapping[str, T]:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(_retrieve)
        try:
            return await load(keys)
        finally:
            for key in keys:
                if self._tasks.get(key) is task:
                    del self._tasks[key]

    @contextlib.contextmanager
    def watching(self, keys: Sequence[str]) -> Generator[None]:
        """Remember which versions keys reach while they are read."""
        self._watched.update(keys)
        try:
            yield
        finally:
            self._watched.subtract(keys)
            for key in keys:
                if self._watched[key] <= 0:
                    del self._watched[key]
                    self._floors.pop(key, None)

    def reached(self, key: str, version: int) -> None:
        """Say that a key has reached a version, to those who read it just now."""
        if key in self._watched:
            self._floors[key] = max(version, self._floors.get(key, 0))

    def floor(self, key: str) -> int:
        """Return the version that a key is known to have reached since it is watched; 0 if none."""
        return self._floors.get(key, 0)

    async def settle(self) -> None:
        """Wait until nothing is being loaded."""
        loop = asyncio.get_running_loop()
        tasks = {task for task in self._tasks.values() if task.get_loop() is loop}
        if tasks:
            await asyncio.wait(tasks)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at the error of a load that nobody waits for any more, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()
