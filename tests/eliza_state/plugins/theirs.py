"""A storage of somebody else, which keeps and hands out the very objects that it is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any


class Theirs:
    """Four methods, and none more."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    async def get(self, key: str, default: Any = None) -> Any:
        return self.held.get(key, default)

    async def set(self, key: str, value: Any) -> None:
        self.held[key] = value

    async def delete(self, key: str) -> None:
        self.held.pop(key, None)

    async def has(self, key: str) -> bool:
        return key in self.held


class TheirsListed(Theirs):
    """One that can be listed and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = 0

    async def keys(self) -> AsyncIterator[str]:
        for key in self.held:
            yield key

    async def close(self) -> None:
        self.closed += 1
