"""Storages of others, of which no more is known than that they have the methods of `KVStorage`."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from typing import Any, Final, Self, cast
from weakref import WeakValueDictionary

import attrs

from eliza_state.clock import Clock, now_us
from eliza_state.errors import StateError, StoreError
from eliza_state.escaping import escape, unescape
from eliza_state.storage.backend import GONE, Backend, Entry, Marks, Write, Written
from eliza_state.storage.contract import KVStorage
from eliza_state.storage.errors import Unsupported
from eliza_state.storage.keys import split_key
from eliza_state.storage.wrappers.envelope import Envelope, Replacement, opened, sealed

_MISSING: Final = object()
_PAGE: Final = 100
_VERSION: Final = 1
_ESCAPED: Final = "%/"


class ForeignBackend(Backend[Envelope]):
    """Keep envelopes in somebody else's storage; deadlines stand in them, as `__exp`.

    Keys without a namespace are those of the storage itself. The rest is asked of it by name: `keys` or
    `entries`, asynchronous iterators, to list, clear and sweep, `touch` to touch. What it lacks raises
    `Unsupported`. There are no versions (each key is at 1), so nothing can be written on condition, and no
    update; replacing is safe among the users of one `ForeignBackend`. What the storage raises comes as
    `StoreError`. Closing closes it.
    """

    name = "foreign"
    is_durable = False  # for all we know

    def __init__(self, base: KVStorage[Any], *, clock: Clock = now_us) -> None:
        super().__init__(clock=clock)
        self._base = base
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._is_dry = False
        self._closed = False

    def dry(self) -> Self:
        """Return the same envelopes, which reading leaves as they are, the expired ones too."""
        view = copy.copy(self)
        view._is_dry = True
        return view

    def _lock(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    @contextlib.contextmanager
    def _asking(self, method: str) -> Generator[None, None, None]:
        try:
            yield
        except StateError:
            raise
        except Exception as error:  # what a storage of others raises is not known here
            raise StoreError(f"{self._named}.{method} failed: {type(error).__name__}: {error}") from error

    @property
    def _named(self) -> str:
        return type(self._base).__name__

    def _optional(self, name: str) -> Callable[..., Any] | None:
        method = getattr(self._base, name, None)
        return cast("Callable[..., Any]", method) if callable(method) else None

    def _method(self, *names: str) -> Callable[..., Any]:
        for name in names:
            if method := self._optional(name):
                return method
        raise Unsupported(f"{self._named} has no method {' or '.join(names)}, which this needs")

    async def _get(self, key: str) -> Entry[Envelope] | None:
        with self._asking("get"):
            raw = await self._base.get(_base_key(key), _MISSING)
        if raw is _MISSING:
            return None
        envelope = opened(raw)
        return Entry(attrs.evolve(envelope, deadline_ms=None), _VERSION, envelope.deadline_ms)

    async def _set(self, key: str, envelope: Envelope, deadline_ms: int | None) -> None:
        with self._asking("set"):
            await self._base.set(_base_key(key), sealed(attrs.evolve(envelope, deadline_ms=deadline_ms)))

    async def _delete(self, key: str) -> None:
        with self._asking("delete"):
            await self._base.delete(_base_key(key))

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[Envelope]]:
        found: dict[str, Entry[Envelope]] = {}
        for key in keys:
            entry = await self._get(key)
            if entry is not None and not entry.is_live(self.now_ms) and not self._is_dry:
                entry = await self._without_dead(key)
            if entry is not None:
                found[key] = entry
        return found

    async def _without_dead(self, key: str) -> Entry[Envelope] | None:
        """Remove what is past its deadline; return what is there nevertheless, refreshed meanwhile."""
        async with self._lock(key):
            entry = await self._get(key)
            if entry is None or entry.is_live(self.now_ms):
                return entry
            await self._delete(key)
            return None

    async def write(self, writes: Sequence[Write[Envelope]]) -> Sequence[Written]:
        for write in writes:
            if write.expected is not None or write.version is not None:
                raise Unsupported(
                    f"{self._named} has no versions: nothing can be updated, or written if it is at one"
                )
        for write in writes:
            assert write.value is not GONE
            async with self._lock(write.key):
                await self._set(write.key, write.value, write.deadline_ms)
        return [Written(_VERSION, is_stored=True)] * len(writes)

    async def replace(self, replacements: Sequence[Replacement]) -> list[int | None]:
        """Store envelopes over those seen, which keep their deadlines; return the new versions.

        `None` stands for one that was not stored, because there is another by now.
        """
        return [await self._replace(replacement) for replacement in replacements]

    async def _replace(self, replacement: Replacement) -> int | None:
        key, seen, envelope = replacement
        async with self._lock(key):
            if await self._get(key) != seen:
                return None
            await self._set(key, envelope, seen.deadline_ms)
        return _VERSION

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        removed = 0
        for key in keys:
            async with self._lock(key):
                entry = await self._get(key)
                is_live = entry is not None and entry.is_live(self.now_ms)
                if entry is not None and not (dead_only and is_live):
                    await self._delete(key)
                    removed += is_live
        return removed

    async def touch(self, keys: Sequence[str]) -> set[str]:
        touch = self._method("touch")
        found = await self.read(keys)
        for key, entry in found.items():
            if entry.deadline_ms is not None:
                raise Unsupported(
                    f"{key!r} has a deadline beside its value, which {self._named}.touch does not roll on"
                )
        with self._asking("touch"):
            for key in found:
                await touch(_base_key(key))
        return set(found)

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        head = space + prefix
        # All of them first: many storages cannot be changed while they are iterated over.
        keys = [
            key
            for key in await self._keys()
            if key.startswith(head) and (nested or split_key(key)[0] == space)
        ]
        dry = self.dry()
        for start in range(0, len(keys), _PAGE):
            found = await dry.read(keys[start : start + _PAGE])
            yield [(key, entry.mark) for key, entry in found.items()]

    async def _keys(self) -> list[str]:
        method = self._method("keys", "entries")
        with self._asking("keys"):
            listed = [item if isinstance(item, str) else item[0] async for item in method()]
        return [_full_key(key) for key in listed]

    async def clear(self, space: str) -> None:
        for key in [key for key in await self._keys() if key.startswith(space)]:
            await self._delete(key)

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        swept: list[str] = []
        async for page in self.scan("", nested=True):
            for key in [key for key, mark in page if not mark.is_live(self.now_ms)]:
                if len(swept) == limit:
                    return swept
                if await self._without_dead(key) is None:
                    swept.append(key)
        return swept

    async def flush(self) -> None:
        """Ask the storage to write what it holds back, if it knows how to."""
        if flush := self._optional("flush"):
            with self._asking("flush"):
                await flush()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            with self._asking("close"):
                await self._base.close()


def _base_key(full: str) -> str:
    """Return the key in somebody else's storage: the user's own where it stands in no namespace."""
    if "/" not in full:
        plain = unescape(full)
        if not plain.startswith(_ESCAPED):
            return plain
    return _ESCAPED + full


def _full_key(base_key: str) -> str:
    if base_key.startswith(_ESCAPED):
        return base_key[len(_ESCAPED) :]
    return escape(base_key, structure="/")
