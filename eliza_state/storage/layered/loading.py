"""One load of a key at a time, however many ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

Load: TypeAlias = Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]
"""Return what there is of keys; a key that is missing is left out."""

_Outcome: TypeAlias = asyncio.Future[Mapping[str, T] | None]
"""What came of a load; `None` when it was cancelled."""


class Loads(Generic[T]):
    """Share what is being loaded among those who wait for it.

    Who asks first loads; when they are cancelled, those who wait for them load again. `reached` tells the
    version that a key is known to have reached while it is watched, so that an older one is not kept.
    """

    def __init__(self) -> None:
        self._loading: dict[str, _Outcome[T]] = {}
        self._watched: dict[str, int] = {}
        self._floors: dict[str, int] = {}

    async def get(self, keys: Sequence[str], load: Load[T]) -> dict[str, T]:
        """Return what there is of keys, joining loads under way. Raises what the load raises."""
        loop = asyncio.get_running_loop()
        joined = {key: self._loading[key] for key in keys if self._is_loading(key, loop)}
        mine = [key for key in keys if key not in joined]
        found = dict(await self._load(mine, load, loop)) if mine else {}
        for outcome in set(joined.values()):
            theirs = [key for key, other in joined.items() if other is outcome]
            # Shielded: the outcome is for others as well.
            loaded = await asyncio.shield(outcome)
            if loaded is None:
                loaded = await self.get(theirs, load)
            found.update({key: loaded[key] for key in theirs if key in loaded})
        return found

    def _is_loading(self, key: str, loop: asyncio.AbstractEventLoop) -> bool:
        outcome = self._loading.get(key)
        # One of an event loop that was stopped in the middle never comes.
        return outcome is not None and outcome.get_loop() is loop

    async def _load(
        self, keys: Sequence[str], load: Load[T], loop: asyncio.AbstractEventLoop
    ) -> Mapping[str, T]:
        outcome: _Outcome[T] = loop.create_future()
        self._loading.update(dict.fromkeys(keys, outcome))
        try:
            loaded = await load(keys)
        except Exception as error:
            outcome.set_exception(error)
            outcome.exception()  # perhaps nobody waits for it, and asyncio would complain
            raise
        except BaseException:
            outcome.set_result(None)
            raise
        else:
            outcome.set_result(loaded)
            return loaded
        finally:
            for key in keys:
                if self._loading.get(key) is outcome:
                    del self._loading[key]

    def watching(self, keys: Sequence[str]) -> Watch:
        """Remember which versions keys reach while they are read, inside what is returned."""
        return Watch(keys, self._watched, self._floors)

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
        outcomes = {outcome for outcome in self._loading.values() if outcome.get_loop() is loop}
        if outcomes:
            await asyncio.wait(outcomes)


class Watch:
    """Watch keys, as one of those who do."""

    __slots__ = ("_floors", "_keys", "_watched")

    def __init__(self, keys: Sequence[str], watched: dict[str, int], floors: dict[str, int]) -> None:
        self._keys = keys
        self._watched = watched
        self._floors = floors

    def __enter__(self) -> None:
        for key in self._keys:
            self._watched[key] = self._watched.get(key, 0) + 1

    def __exit__(self, *raised: object) -> None:
        for key in self._keys:
            self._watched[key] -= 1
            if not self._watched[key]:
                del self._watched[key]
                self._floors.pop(key, None)
