"""Backends around backends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Generic, TypeVar

from eliza_state.storage.backend import GONE, Backend, Entry, Mark, Marks, Write, Written
from eliza_state.storage.encoding import Encoding

T = TypeVar("T")
V = TypeVar("V")


class Around(Backend[V], Generic[V, T]):
    """A backend of values over one that keeps something else: all but reading and writing is passed on."""

    def __init__(self, inner: Backend[T]) -> None:
        super().__init__(clock=inner.clock)
        self.inner = inner
        """The backend that everything is passed on to."""
        self.name = inner.name
        self.is_durable = inner.is_durable
        self.is_inline = inner.is_inline

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        return await self.inner.look(keys)

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        return await self.inner.remove(keys, dead_only=dead_only)

    async def touch(self, keys: Sequence[str]) -> set[str]:
        return await self.inner.touch(keys)

    def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        return self.inner.scan(space, prefix=prefix, nested=nested)

    async def clear(self, space: str) -> None:
        await self.inner.clear(space)

    async def expired(self, *, limit: int = 10_000) -> list[str]:
        return await self.inner.expired(limit=limit)

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        return await self.inner.sweep(limit=limit)

    async def flush(self) -> None:
        await self.inner.flush()

    async def expunge(self) -> bool:
        return await self.inner.expunge()

    async def free_bytes(self) -> int:
        return await self.inner.free_bytes()

    async def give_back(self, *, max_bytes: int) -> int:
        return await self.inner.give_back(max_bytes=max_bytes)

    async def close(self) -> None:
        await self.inner.close()


class Wrapper(Around[T, T]):
    """A backend that passes everything on to another one of its kind; to be inherited from and changed."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[T]]:
        return await self.inner.read(keys)

    async def write(self, writes: Sequence[Write[T]]) -> Sequence[Written]:
        return await self.inner.write(writes)


class Encoded(Around[V, bytes]):
    """Values over a backend that keeps bytes."""

    def __init__(self, inner: Backend[bytes], encoding: Encoding[V]) -> None:
        super().__init__(inner)
        self.encoding = encoding
        """How values become bytes."""

    def _decoded(self, key: str, entry: Entry[bytes]) -> Entry[V]:
        content, version, deadline_ms, ttl_ms = entry
        value = GONE if content is GONE else self.encoding.decode(content, key=key)
        return Entry(value, version, deadline_ms, ttl_ms)

    def at_hand(self, key: str) -> Entry[V] | None:
        entry = self.inner.at_hand(key)
        return None if entry is None else self._decoded(key, entry)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[V]]:
        found = await self.inner.read(keys)
        return {key: self._decoded(key, entry) for key, entry in found.items()}

    async def write(self, writes: Sequence[Write[V]]) -> Sequence[Written]:
        return await self.inner.write([encoded(write, self.encoding) for write in writes])


def encoded(write: Write[V], encoding: Encoding[V]) -> Write[bytes]:
    """Return a write with its value as bytes. Raises `SerializationError` for one that cannot be written."""
    key, value, deadline_ms, ttl_ms, expected, version, keeps_deadline = write
    content = GONE if value is GONE else encoding.encode(value, key=key)
    return Write(key, content, deadline_ms, ttl_ms, expected, version, keeps_deadline)
