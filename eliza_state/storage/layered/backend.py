"""Layers as one backend: where a key lives, who is told of a write, and why an old value never comes back.

The lowest layer but the archive is the *home*: it acknowledges writes and issues versions. Above it lie
caches shared by processes, and the memory of this one; they hold copies, each with the version it has at
home, and a copy never replaces a higher version. An entry at home hides the archive even when it is dead (a
tombstone, or past its deadline), so that nothing that was overwritten or deleted comes back from there.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from eliza_state.clock import Clock
from eliza_state.problems import Problems
from eliza_state.storage.backend import GONE, Backend, Entry, Mark, Marks, Write, Written
from eliza_state.storage.cache import CacheBackend
from eliza_state.storage.layered.cache_layer import CacheLayer
from eliza_state.storage.layered.invalidation import Invalidation
from eliza_state.storage.layered.layer import Layer, LayerStatus
from eliza_state.storage.layered.layers import Layers
from eliza_state.storage.layered.options import DEFAULT, PersistOptions
from eliza_state.storage.layered.reading import LayeredReading, own_marks
from eliza_state.storage.layered.writing import LayeredWriting
from eliza_state.storage.storage import TOMBSTONE_MS
from eliza_state.storage.wrapper import Encoded

V = TypeVar("V")


class LayeredBackend(Backend[V]):
    """Keep values in layers, as the text of this module says; `LayeredStore` puts one together."""

    name = "layered"

    def __init__(self, layers: Layers[V], *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.is_durable = layers.home.backend.is_durable
        self._layers = layers
        self._front = layers.front
        self._own = layers.own
        self._options = DEFAULT
        self._is_fresh = False
        self.reading: Final = LayeredReading(layers, clock=clock)
        """The half that reads."""
        self._writing: Final = LayeredWriting(layers, self.reading, clock=clock)
        self._archiving: Final = self._writing.archiving
        sources: list[tuple[Backend[bytes], CacheLayer | None]] = [
            *((cache.backend, cache) for cache in layers.caches),
            (layers.home.backend, None),
        ]
        self._invalidations = [
            Invalidation(
                source, front=layers.front, loads=self.reading.loads, tasks=self.reading.tasks, layer=layer
            )
            for source, layer in sources
            if isinstance(source, CacheBackend)
        ]

    def seen(self, options: PersistOptions, *, fresh: bool = False) -> Self:
        """Return the same layers, written to with these options.

        With `fresh` no copies are read: whatever was acknowledged before is seen.
        """
        view = copy.copy(self)
        view._options = options
        view._is_fresh = fresh
        return view

    def at_hand(self, key: str) -> Entry[V] | None:
        return None if self._is_fresh else self.reading.at_hand(key)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[V]]:
        self._listen()
        return await (self.reading.read_home(keys) if self._is_fresh else self.reading.read(keys))

    def _listen(self) -> None:
        for invalidation in self._invalidations:
            invalidation.ensure()

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        return await self.reading.look(keys)

    async def write(self, writes: Sequence[Write[V]]) -> Sequence[Written]:
        self._listen()
        return await self._writing.write(writes, self._options)

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        if dead_only:
            await self._own.remove(keys, dead_only=True)
            return await self._layers.home.backend.remove(keys, dead_only=True)
        self._listen()
        keys = list(dict.fromkeys(keys))
        now_ms = self.now_ms
        alive = {key for key, mark in (await self._own.look(keys)).items() if mark.is_live(now_ms)}
        await self._own.remove(keys)
        alive |= await self._bury(keys)
        return len(alive | await self._remove_cached([key for key in keys if key not in alive]))

    async def _bury(self, keys: Sequence[str]) -> set[str]:
        """Leave tombstones for keys that are alive at home or in the archive; return those keys.

        The home's comes first: it hides what the archive has. What others write or delete meanwhile is looked
        at again: each value is deleted by one who is told so.
        """
        buried: set[str] = set()
        dead: dict[str, int] = {}
        while keys:
            now_ms = self.now_ms
            marks = await self.reading.look_home(keys)
            # A deletion before may not have reached the archive.
            dead |= {key: mark.version + 1 for key, mark in marks.items() if not mark.is_live(now_ms)}
            tombstones = [
                Write[Any](key, GONE, now_ms + TOMBSTONE_MS, TOMBSTONE_MS, expected=mark.version)
                for key, mark in marks.items()
                if mark.is_live(now_ms)
            ]
            written = await self._writing.write_home(tombstones, tombstones) if tombstones else ()
            outcomes = list(zip([write.key for write in tombstones], written, strict=True))
            buried |= {key for key, outcome in outcomes if outcome.is_stored}
            keys = [key for key, outcome in outcomes if not outcome.is_stored]
        if dead:
            await self._archiving.bury(dead)
        return buried

    async def _remove_cached(self, keys: Sequence[str]) -> set[str]:
        """Remove keys that live in the cache; return those that did."""
        if self._layers.owner is None:
            return set()
        now_ms = self.now_ms
        marks = await own_marks(self._layers.owner, keys)
        alive = [key for key, mark in marks.items() if mark.is_live(now_ms)]
        if alive:
            await self._writing.change(alive, self._layers.owner, self._layers.owner.backend.remove(alive))
            for key in alive:
                self._front.drop(key)
        return set(alive)

    async def touch(self, keys: Sequence[str]) -> set[str]:
        touched = await self._own.touch(keys)
        lower: list[Layer[Any]] = [self._layers.home]
        lower += [] if self._layers.owner is None else [self._layers.owner]
        lower += [] if self._layers.archive is None else [self._layers.archive]
        for layer in lower:
            if rest := [key for key in keys if key not in touched]:
                touched |= await layer.call(layer.backend.touch(rest))
        # The copies in caches keep the old deadline, past which they are not used.
        for key in touched:
            self._front.drop(key)
        return touched

    # all keys

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        async for page in self._layers.home.backend.scan(space, prefix=prefix, nested=nested):
            yield page
        async for page in self._own.scan(space, prefix=prefix, nested=nested):
            yield page
        if self._layers.owner is not None:
            async for page in self._layers.owner.backend.scan_own(space, prefix=prefix, nested=nested):
                yield await self._not_at_home(page, live_only=True)
        if self._layers.archive is not None:
            async for page in self._layers.archive.backend.scan(space, prefix=prefix, nested=nested):
                yield await self._not_at_home(page)

    async def _not_at_home(self, page: Marks, *, live_only: bool = False) -> Marks:
        """Leave out the keys that have an entry at home, with `live_only` those that are alive there."""
        now_ms = self.now_ms
        marks = await self._layers.home.call(self._layers.home.backend.look([key for key, _ in page]))
        hidden = {key for key, mark in marks.items() if not live_only or mark.is_live(now_ms)}
        return [(key, mark) for key, mark in page if key not in hidden]

    async def clear(self, space: str) -> None:
        async for page in self.scan(space, nested=True):
            now_ms = self.now_ms
            if keys := [key for key, mark in page if mark.is_live(now_ms)]:
                await self.remove(keys)

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        swept = await self._own.sweep(limit=limit)
        if self._layers.archive is None:
            return swept + await self._layers.home.backend.sweep(limit=limit)
        dead = await self._layers.home.backend.expired(limit=limit)
        marks = await self._layers.home.backend.look(dead)
        # What entries at home have hidden goes first; from then on nothing needs to hide it.
        await self._archiving.bury({key: mark.version + 1 for key, mark in marks.items()})
        await self._layers.home.backend.remove(dead, dead_only=True)
        return [*swept, *dead, *await self._layers.archive.backend.sweep(limit=limit)]

    async def flush(self) -> None:
        await self.flush_layer(None)

    async def flush_layer(self, name: str | None) -> None:
        """Write what is held back for a layer, or for all."""
        for layer in self._named(name):
            if isinstance(layer, CacheLayer):
                await layer.repair()
            else:
                await layer.backend.flush()

    async def forget(self, name: str) -> None:
        """Drop the copies that memory or a cache holds."""
        if name == "memory":
            self._front.forget()
            return
        for layer in self._named(name):
            if not isinstance(layer, CacheLayer):
                raise ValueError(f"{name} holds no copies, but what was stored; only caches can forget")
            await layer.forget()

    async def expunge(self) -> bool:
        archives = [] if self._layers.archive is None else [self._layers.archive]
        is_gone = [await layer.call(layer.backend.expunge()) for layer in (self._layers.home, *archives)]
        for cache in self._layers.caches:
            await cache.repair()
        return all(is_gone)

    def _named(self, name: str | None) -> list[Layer[Any]]:
        layers: list[Layer[Any]] = [*self._layers.caches, self._layers.home]
        layers += [] if self._layers.archive is None else [self._layers.archive]
        found = [layer for layer in layers if name in (None, layer.name)]
        if not found and name != "memory":
            names = ", ".join(layer.name for layer in layers)
            raise ValueError(f"no layer is named {name!r}; there are memory, {names}")
        return found

    @property
    def problems(self) -> Problems:
        """What has become of the layers."""
        return self._layers.home.problems

    def kept_in(self) -> list[Backend[V]]:
        """Return the home and the archive, each by itself: what is there is no copy."""
        layers = [self._layers.home] + ([] if self._layers.archive is None else [self._layers.archive])
        return [Encoded(layer.backend, self._layers.encoding) for layer in layers]

    def status(self) -> list[LayerStatus]:
        """Return the figures of the layers, from memory down."""
        front = LayerStatus("memory", "cache", True, self._front.hits, self.reading.misses, 0, 0)
        return [front, *(layer.status() for layer in self._named(None))]

    async def close(self) -> None:
        await self.reading.close()
        for invalidation in self._invalidations:
            await invalidation.close()
        self._front.forget()
        await self._own.close()
        for cache in self._layers.caches:
            await cache.close()
        await self._layers.home.backend.close()
        if self._layers.archive is not None:
            await self._layers.archive.backend.close()
