"""Backends for tests: one that fails or waits when it is told to, and a shared cache without a server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from eliza_state.clock import Clock, now_us
from eliza_state.storage.backend import GONE, Backend, Entry, Mark, Marks, Write, Written
from eliza_state.storage.cache import CacheBackend, Copy, OnChange
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from eliza_state.storage.wrapper import Wrapper

T = TypeVar("T")


class Faults:
    """What is to go wrong: calls fail, calls wait at a gate, or all goes well."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        """What every call raises instead of doing anything; `None`: nothing."""
        self.error_after: BaseException | None = None
        """What every call raises after it has done its work, as when a reply is lost; `None`: nothing."""
        self.calls = 0
        """How many calls have begun."""
        self._gate = asyncio.Event()
        self._held_before = self._held_after = 0.0

    def heal(self) -> None:
        """Let all go well from now on, and let go what waits."""
        self.error = self.error_after = None
        self._held_before = self._held_after = 0
        self._gate.set()
        self._gate = asyncio.Event()

    def hold(self, *, after: bool = False, calls: float = math.inf) -> None:
        """Let the next calls wait before they begin, or after their work; `heal` lets them go."""
        if after:
            self._held_after = calls
        else:
            self._held_before = calls

    async def begin(self) -> None:
        """Do what is to go wrong before the work of a call."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        if self._held_before > 0:
            self._held_before -= 1
            await self._gate.wait()

    async def end(self) -> None:
        """Do what is to go wrong after the work of a call."""
        if self._held_after > 0:
            self._held_after -= 1
            await self._gate.wait()
        if self.error_after is not None:
            raise self.error_after


class FaultyBackend(Wrapper[T]):
    """A backend whose calls fail or wait as `faults` say; reading and writing have faults of their own."""

    def __init__(self, inner: Backend[T]) -> None:
        super().__init__(inner)
        self.is_inline = False
        self.reads: Final = Faults()
        self.writes: Final = Faults()

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[T]]:
        await self.reads.begin()
        found = await super().read(keys)
        await self.reads.end()
        return found

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        await self.reads.begin()
        found = await super().look(keys)
        await self.reads.end()
        return found

    async def write(self, writes: Sequence[Write[T]]) -> Sequence[Written]:
        await self.writes.begin()
        written = await super().write(writes)
        await self.writes.end()
        return written

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        await self.writes.begin()
        removed = await super().remove(keys, dead_only=dead_only)
        await self.writes.end()
        return removed

    async def touch(self, keys: Sequence[str]) -> set[str]:
        await self.writes.begin()
        touched = await super().touch(keys)
        await self.writes.end()
        return touched


class _Listening:
    def __init__(self, listeners: list[_Listening], on_change: OnChange, on_lost: Callable[[], None]) -> None:
        self.on_change = on_change
        self.on_lost = on_lost
        self._listeners = listeners
        listeners.append(self)

    async def close(self) -> None:
        if self in self._listeners:
            self._listeners.remove(self)


class MemoryCache(CacheBackend[bytes]):
    """A shared cache in memory: several layered stores of one process share it as processes share a server.

    `reads` and `writes` make it fail or wait, `lose` forgets what it holds, `disconnect` breaks the listening
    of all stores and connects them again.
    """

    name = "cache"
    is_durable = False

    def __init__(self, *, clock: Clock = now_us) -> None:
        super().__init__(clock=clock)
        self.reads: Final = Faults()
        self.writes: Final = Faults()
        self._entries = MemoryBackend[bytes](Table[Any](), encoding=None, clock=clock)
        self._copies: dict[str, tuple[int, int]] = {}
        self._listeners: list[_Listening] = []

    def lose(self) -> None:
        """Forget all entries, as a server does that is restarted without its data."""
        self._entries = MemoryBackend[bytes](Table[Any](), encoding=None, clock=self.clock)
        self._copies.clear()

    def disconnect(self) -> None:
        """Tell the listeners that they may have missed something."""
        for listener in list(self._listeners):
            listener.on_lost()

    def _announce(self, key: str, version: int) -> None:
        for listener in list(self._listeners):
            listener.on_change(key, version)

    async def listen(self, on_change: OnChange, on_lost: Callable[[], None]) -> _Listening:
        return _Listening(self._listeners, on_change, on_lost)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[bytes]]:
        return {key: copy.entry for key, copy in (await self.read_copies(keys)).items()}

    async def read_copies(self, keys: Sequence[str]) -> Mapping[str, Copy[bytes]]:
        await self.reads.begin()
        now_ms = self.now_ms
        found: dict[str, Copy[bytes]] = {}
        for key, entry in (await self._entries.read(keys)).items():
            confirmed_at_ms, until_ms = self._copies.get(key, (now_ms, now_ms + 1))
            if until_ms > now_ms:
                found[key] = Copy(entry, confirmed_at_ms, key not in self._copies)
        await self.reads.end()
        return found

    async def write(self, writes: Sequence[Write[bytes]]) -> Sequence[Written]:
        await self.writes.begin()
        written = await self._entries.write(writes)
        for write, (version, is_stored) in zip(writes, written, strict=True):
            if is_stored:
                self._copies.pop(write.key, None)
                self._announce(write.key, version)
        await self.writes.end()
        return written

    async def write_copies(
        self,
        writes: Sequence[Write[bytes]],
        *,
        max_age_ms: int,
        confirmed_at_ms: int | None = None,
        announce: bool = False,
    ) -> None:
        await self.writes.begin()
        confirmed_ms = self.now_ms if confirmed_at_ms is None else confirmed_at_ms
        for write in writes:
            assert write.version is not None
            if write.key not in self._copies and write.value is not GONE:
                await self._entries.remove([write.key])
            (written,) = await self._entries.write([write])
            if written.is_stored:
                self._copies[write.key] = (confirmed_ms, self.now_ms + max_age_ms)
            if announce:
                self._announce(write.key, write.version)
        await self.writes.end()

    async def drop_copies(self, keys: Sequence[str]) -> None:
        await self.writes.begin()
        copies = [key for key in keys if self._copies.pop(key, None) is not None]
        await self._entries.remove(copies)
        await self.writes.end()

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        await self.writes.begin()
        for key in keys:
            self._copies.pop(key, None)
            self._announce(key, self.clock())
        removed = await self._entries.remove(keys, dead_only=dead_only)
        await self.writes.end()
        return removed

    async def touch(self, keys: Sequence[str]) -> set[str]:
        await self.writes.begin()
        return await self._entries.touch(keys)

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        await self.reads.begin()
        async for page in self._entries.scan(space, prefix=prefix, nested=nested):
            yield page

    async def scan_own(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        async for page in self.scan(space, prefix=prefix, nested=nested):
            yield [(key, mark) for key, mark in page if key not in self._copies]

    async def clear(self, space: str) -> None:
        await self._entries.clear(space)

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        return await self._entries.sweep(limit=limit)

    async def close(self) -> None:
        """Nothing: several stores share it."""
