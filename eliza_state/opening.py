"""What `StateManager.open` returns, so that it can be awaited or entered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    """What can be closed, and waited for."""

    async def close(self) -> None:
        """Release what is held."""


M = TypeVar("M", bound=Closable)


class Opening(Generic[M]):
    """A manager about to be opened: await it, or enter it as an asynchronous context."""

    def __init__(self, start: Callable[[], Awaitable[M]]) -> None:
        self._start = start
        self._manager: M | None = None

    def __await__(self) -> Generator[Any, None, M]:
        return self._start().__await__()

    async def __aenter__(self) -> M:
        self._manager = await self._start()
        return self._manager

    async def __aexit__(self, *_: object) -> None:
        assert self._manager is not None
        await self._manager.close()
