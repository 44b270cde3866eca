"""How the records are divided among those who share a follower, so that the order within a scope is kept."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs

from eliza_state.change import Record
from eliza_state.followers.positions import partition_place
from eliza_state.path import Path

_KEPT_PAGES: Final = 8


@attrs.frozen
class Division:
    """The partitions of a shared follower: `count` of them.

    All records at or below one scope of a `level`, which is `depth` steps below the root, are in one; a
    record that is addressed to no such scope or below goes by its own path.
    """

    level: str
    depth: int
    count: int

    def places(self, name: str) -> list[str]:
        """Return the names under which the positions of a follower's partitions are stored."""
        return [partition_place(name, self.level, number) for number in range(self.count)]

    def number(self, path: Path) -> int:
        """Return the partition of what is addressed to a path, the same in every process."""
        steps = path.steps
        is_below = len(steps) >= self.depth and steps[self.depth - 1][0] == self.level
        return _hash(Path(steps[: self.depth]) if is_below else path) % self.count


@functools.lru_cache(maxsize=4_096)
def _hash(path: Path) -> int:
    return int.from_bytes(hashlib.blake2b(path.encode().encode(), digest_size=8).digest(), "big")


@attrs.frozen
class Share:
    """One partition, by its number."""

    division: Division
    number: int

    def has(self, record: Record) -> bool:
        """Tell whether a record is in it."""
        return self.division.number(record.path) == self.number


class Read(Protocol):
    """Return the records with `after < position <= until`, at most `limit`."""

    def __call__(self, *, after: int, until: int, limit: int) -> Awaitable[list[Record]]:
        """Read them."""
        ...


class Pages:
    """Read once what the partitions of one process ask for one after the other."""

    def __init__(self, read: Callable[..., Awaitable[list[Record]]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._pages: dict[tuple[int, int], tuple[int, list[Record]]] = {}

    async def read(self, *, after: int, until: int, limit: int) -> list[Record]:
        """Return the records with `after < position <= until`, at most `limit`."""
        async with self._lock:
            read_to, records = self._pages.get((after, limit), (0, []))
            if len(records) < limit and read_to < until:
                records = await self._read(after=after, until=until, limit=limit)
                self._pages[after, limit] = until, records
                if len(self._pages) > _KEPT_PAGES:
                    del self._pages[next(iter(self._pages))]
        return [record for record in records if record.position <= until]
