"""Layers as one backend: where a key lives, who is told of a write, and why an old value never comes back.

The lowest layer but the archive is the *home*: it acknowledges writes and issues versions. Above it lie
caches shared by processes, and the memory of this one; they hold copies, each with the version it has at
home, and a copy never replaces a higher version. An entry at home hides the archive even when it is dead (a
tombstone, or past its deadline), so that nothing that was overwritten or deleted comes back from there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs

from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Backend, Entry, Mark, Marks, Write, Written
from eliza_state.storage.cache import CacheBackend
from eliza_state.storage.errors import OtherHome, OutcomeUnknown, Unsupported
from eliza_state.storage.layered.cache_layer import CacheLayer
from eliza_state.storage.layered.invalidation import Invalidation
from eliza_state.storage.layered.layer import Layer, LayerStatus
from eliza_state.storage.layered.layers import Layers
from eliza_state.storage.layered.reading import LayeredReading, own_marks
from eliza_state.storage.storage import TOMBSTONE_MS
from eliza_state.storage.wrapper import encoded

R = TypeVar("R")
V = TypeVar("V")


@attrs.frozen
class PersistOptions:
    """Say where a value is kept.

    By default at home, with copies above. `persistent=False` keeps it in the shared cache only, in a store
    whose cache keeps keys of its own; `volatile` in this process only; `archive` in the archive as well.
    `ttl_ms` is its time to live in all layers. A key does not change its home silently: keeping a value
    higher up than its key lives raises `OtherHome`, because the old value would come back later.
    """

    ttl_ms: float | None = None
    persistent: bool = True
    volatile: bool = False
    archive: bool = False

    def __attrs_post_init__(self) -> None:
        if self.archive and (self.volatile or not self.persistent):
            raise ValueError("what is archived is persistent: `archive` goes with no other choice of layers")


DEFAULT: Final = PersistOptions()


class LayeredBackend(Backend[V]):
    """Keep values in layers, as the text of this module says; `LayeredStore` puts one together."""

    name = "layered"

    def __init__(self, layers: Layers[V], *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.is_durable = layers.home.backend.is_durable
        self._layers = layers
        self._front = layers.front
        self._own = layers.own
        self.reading: Final = LayeredReading(layers, clock=clock)
        """The half that reads."""
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

    def at_hand(self, key: str) -> Entry[V] | None:
        return self.reading.at_hand(key)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[V]]:
        self._listen()
        return await self.reading.read(keys)

    async def read_home(self, keys: Sequence[str]) -> Mapping[str, Entry[V]]:
        """Return what `read` does, but asks no copies: whatever was acknowledged before is seen."""
        self._listen()
        return await self.reading.read_home(keys)

    def _listen(self) -> None:
        for invalidation in self._invalidations:
            invalidation.ensure()

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        return await self.reading.look(keys)

    # writing

    async def write(self, writes: Sequence[Write[V]]) -> Sequence[Written]:
        return await self.write_as(writes, DEFAULT)

    async def write_as(self, writes: Sequence[Write[V]], options: PersistOptions) -> Sequence[Written]:
        """Store values where the options say.

        Raises `OtherHome` for a key that lives further down, `Unsupported` where there is no such layer.
        """
        self._listen()
        if options.volatile:
            return await self._write_own(writes)
        contents = [encoded(write, self._layers.encoding) for write in writes]
        if options.persistent:
            return await self._write_home(writes, contents, archive=options.archive)
        return await self._write_cache(writes, contents)

    async def _write_own(self, writes: Sequence[Write[V]]) -> Sequence[Written]:
        keys = [write.key for write in writes]
        known = await self._own.look(keys)
        unknown = [key for key in keys if key not in known or not known[key].is_live(self.now_ms)]
        await self._refuse_home(unknown)
        if self._layers.owner is not None:
            self._refuse(unknown, await own_marks(self._layers.owner, unknown))
        for key in keys:
            self._front.drop(key)
        return self._own.put(writes)

    async def _refuse_home(self, keys: Sequence[str]) -> None:
        if keys:
            self._refuse(keys, await self._layers.home.call(self._layers.home.backend.look(keys)))

    def _refuse(self, keys: Sequence[str], marks: Mapping[str, Mark]) -> None:
        """Refuse to write keys that live where `marks` come from."""
        now_ms = self.now_ms
        for key in keys:
            if key in marks and marks[key].is_live(now_ms):
                raise OtherHome(
                    f"{key!r} is kept further down, from where its old value would come back;"
                    " delete it first, or keep it there"
                )

    async def _write_cache(
        self, writes: Sequence[Write[V]], contents: Sequence[Write[bytes]]
    ) -> Sequence[Written]:
        cache = self._layers.owner
        if cache is None:
            raise Unsupported(
                "no layer keeps what is not persistent: open the store with a shared cache and"
                " `cache_keeps_own=True`, or use `volatile`"
            )
        keys = [write.key for write in writes]
        known = await own_marks(cache, keys)
        unknown = [key for key in keys if key not in known or not known[key].is_live(self.now_ms)]
        await self._refuse_home(unknown)
        written = await self._change(keys, cache, cache.backend.write(contents))
        await self._own.remove(keys)
        self._hold(writes, contents, written)
        return written

    async def _write_home(
        self, writes: Sequence[Write[V]], contents: Sequence[Write[bytes]], *, archive: bool
    ) -> Sequence[Written]:
        if archive and self._layers.archive is None:
            raise Unsupported("there is no archive to write to; add one to the layers")
        keys = [write.key for write in writes]
        home = self._layers.home
        written = await self._change(keys, home, home.backend.write(contents))
        await self._own.remove(keys)
        copies = self._hold(writes, contents, written)
        await self._tell(copies)
        if archive and self._layers.archive is not None:
            await self._layers.archive.call(self._layers.archive.backend.write(copies), writes=True)
        return written

    async def _change(self, keys: Sequence[str], layer: Layer[Any], change: Awaitable[R]) -> R:
        """Await a change of keys where they live; whatever may still land leaves them in doubt."""
        try:
            return await layer.call(change, writes=True)
        except BaseException as error:
            if not isinstance(error, StoreError) or isinstance(error, OutcomeUnknown):
                self._doubt(keys)
            raise

    def _doubt(self, keys: Sequence[str]) -> None:
        """Ask only where they live for keys whose change may still land."""
        self.reading.doubts.add(keys)
        for key in keys:
            self._front.drop(key)
        for cache in self._layers.caches:
            cache.distrust(keys, delay_ms=TOMBSTONE_MS)

    def _hold(
        self, writes: Sequence[Write[V]], contents: Sequence[Write[bytes]], written: Sequence[Written]
    ) -> list[Write[bytes]]:
        """Hold in memory what was stored, and return it as copies for the caches."""
        copies: list[Write[bytes]] = []
        now_ms = self.now_ms
        for write, content, (version, is_stored) in zip(writes, contents, written, strict=True):
            key = write.key
            self.reading.loads.reached(key, version)
            if is_stored:
                copies.append(content._replace(expected=None, version=version, keeps_deadline=False))
            if is_stored and not (write.keeps_deadline and write.deadline_ms is not None):
                entry = Entry(content.value, version, write.deadline_ms, write.ttl_ms)
                self.reading.hold(key, entry, write.value, confirmed_at_ms=now_ms)
            else:
                # Where somebody has touched the entry, its deadline is later than it is known to be here.
                self._front.drop(key, below=version)
        return copies

    async def _tell(self, copies: Sequence[Write[bytes]]) -> None:
        if not copies:
            return
        try:
            for cache in self._layers.caches:
                await cache.tell(copies)
        except BaseException:
            for cache in self._layers.caches:
                cache.distrust([copy.key for copy in copies])
            raise

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

        The home's comes first: it hides what the archive has.
        """
        now_ms = self.now_ms
        marks = dict(await self._layers.home.call(self._layers.home.backend.look(keys)))
        if self._layers.archive is not None:
            absent = [key for key in keys if key not in marks]
            marks.update(await self._layers.archive.call(self._layers.archive.backend.look(absent)))
        alive = [key for key, mark in marks.items() if mark.is_live(now_ms)]
        if alive:
            tombstones = [Write[V](key, GONE, now_ms + TOMBSTONE_MS, TOMBSTONE_MS) for key in alive]
            written = await self.write_as(tombstones, DEFAULT)
            await self._bury_archived(
                {key: version for key, (version, _) in zip(alive, written, strict=True)}
            )
        return set(alive)

    async def _bury_archived(self, versions: Mapping[str, int]) -> None:
        """Put tombstones over what the archive has of keys, unless it has a version from after them."""
        if self._layers.archive is None:
            return
        archive = self._layers.archive
        there = await archive.call(archive.backend.look(list(versions)))
        deadline_ms = self.now_ms + TOMBSTONE_MS
        tombstones = [
            Write[bytes](key, GONE, deadline_ms, TOMBSTONE_MS, version=versions[key])
            for key, mark in there.items()
            if not mark.is_gone
        ]
        if tombstones:
            await archive.call(archive.backend.write(tombstones), writes=True)

    async def _remove_cached(self, keys: Sequence[str]) -> set[str]:
        """Remove keys that live in the cache; return those that did."""
        if self._layers.owner is None:
            return set()
        now_ms = self.now_ms
        marks = await own_marks(self._layers.owner, keys)
        alive = [key for key, mark in marks.items() if mark.is_live(now_ms)]
        if alive:
            await self._change(alive, self._layers.owner, self._layers.owner.backend.remove(alive))
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
        await self._bury_archived({key: mark.version + 1 for key, mark in marks.items()})
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

    def _named(self, name: str | None) -> list[Layer[Any]]:
        layers: list[Layer[Any]] = [*self._layers.caches, self._layers.home]
        layers += [] if self._layers.archive is None else [self._layers.archive]
        found = [layer for layer in layers if name in (None, layer.name)]
        if not found and name != "memory":
            names = ", ".join(layer.name for layer in layers)
            raise ValueError(f"no layer is named {name!r}; there are memory, {names}")
        return found

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
