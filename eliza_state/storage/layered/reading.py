"""How a layered store reads: memory, then caches, then the home, then the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Generic, Literal, TypeVar

from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Backend, Entry, Gone, Mark, Write
from eliza_state.storage.cache import Copy
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.layered.cache_layer import CacheLayer
from eliza_state.storage.layered.doubts import Doubts
from eliza_state.storage.layered.front import Front
from eliza_state.storage.layered.layer import Layer
from eliza_state.storage.layered.loading import Loads
from eliza_state.storage.layered.tasks import Tasks
from eliza_state.storage.memory import MemoryBackend

V = TypeVar("V")

LATEST_PROMOTION_MS: Final = 30_000
"""After how long what was read is not copied any more; tombstones are kept for longer."""


class LayeredReading(Generic[V]):
    """Find keys in layers, and hold what was found further up.

    `own` holds the keys that live in this process only, `owner` is the cache that has keys of its own, if
    any: while it does not answer, a key that is not found may be there, and reading it fails. What is in
    doubt is read from the home.
    """

    def __init__(
        self,
        *,
        front: Front[V],
        own: MemoryBackend[V],
        caches: Sequence[CacheLayer],
        owner: CacheLayer | None,
        home: Layer[Backend[bytes]],
        archive: Layer[Backend[bytes]] | None,
        encoding: Encoding[V],
        clock: Clock,
    ) -> None:
        self._front = front
        self._own = own
        self._caches = tuple(caches)
        self._owner = owner
        self._home = home
        self._archive = archive
        self._encoding = encoding
        self._clock = clock
        self.loads: Final = Loads[Entry[V]]()
        """What is being read just now."""
        self.doubts: Final = Doubts(lasting_ms=2 * LATEST_PROMOTION_MS)
        """The keys whose newest value only the home knows for a while."""
        self.tasks: Final = Tasks()
        """What goes on in the background."""
        self.misses = 0
        """How many keys were not in memory when they were read."""

    def at_hand(self, key: str) -> Entry[V] | None:
        """Return what memory holds of a key."""
        entry = self._front.get(key, now_ms=self._clock() // 1_000)
        return self._own.at_hand(key) if entry is None else entry

    async def read(self, keys: Sequence[str]) -> dict[str, Entry[V]]:
        """Return what there is of keys, from the nearest layer that can be trusted."""
        found: dict[str, Entry[V]] = {}
        missing: list[str] = []
        for key in keys:
            entry = self.at_hand(key)
            if entry is None:
                missing.append(key)
            else:
                found[key] = entry
        if missing:
            found.update(await self._load(missing))
        return found

    async def read_home(self, keys: Sequence[str]) -> dict[str, Entry[V]]:
        """Return what there is of keys where they live: what was acknowledged before is seen."""
        own = await self._own.read(keys)
        return {**own, **await self._fetch([key for key in keys if key not in own], own_only=True)}

    async def _load(self, keys: Sequence[str]) -> dict[str, Entry[V]]:
        self.misses += len(keys)
        found: dict[str, Entry[V]] = {}
        if not self._caches and self._home.backend.is_inline:
            # Nobody else runs meanwhile, so there is nothing to share with other tasks.
            found, keys = await self._fetch_inline(keys)
            if not keys or self._archive is None:
                return found
        loaded = await self.loads.get(keys, self._fetch)
        return {**found, **{key: self._newer(key, entry) for key, entry in loaded.items()}}

    async def _fetch_inline(self, keys: Sequence[str]) -> tuple[dict[str, Entry[V]], list[str]]:
        now_ms = self._clock() // 1_000
        entries = await self._home.backend.read(keys)
        live = {key: Copy(entry, now_ms, False) for key, entry in entries.items() if entry.is_live(now_ms)}
        self._home.count(hits=len(live), asked=len(keys))
        absent = [key for key in keys if key not in entries]
        return self._fill(live, generation=self._front.generation), absent

    def _newer(self, key: str, entry: Entry[V]) -> Entry[V]:
        """Return what memory holds of a key by now, if that is newer than what a shared load found."""
        now_ms = self._clock() // 1_000
        held = self._front.peek(key, now_ms=now_ms)
        if held is None or held.version <= entry.version:
            return entry
        return self._front.get(key, now_ms=now_ms) or entry

    async def _fetch(self, keys: Sequence[str], own_only: bool = False) -> dict[str, Entry[V]]:
        generation = self._front.generation
        started_ms = self._clock() // 1_000
        found, is_sure = await self._from_caches(keys, own_only=own_only, started_ms=started_ms)
        rest = [key for key in keys if key not in found or found[key].entry.version < self.loads.floor(key)]
        if rest:
            below = await self._from_below(rest)
            found.update(below)
            self._promote(below, into=self._caches, started_ms=started_ms)
        if not is_sure and any(key not in found for key in keys):
            assert self._owner is not None
            raise StoreError(
                f"{self._owner.name} does not answer, and keys that are not at home may be there"
            )
        return self._fill(found, generation=generation)

    async def _from_caches(
        self, keys: Sequence[str], *, own_only: bool, started_ms: int
    ) -> tuple[dict[str, Copy[bytes]], bool]:
        """Return what the caches know, and whether the one that has keys of its own has answered."""
        found: dict[str, Copy[bytes]] = {}
        is_sure = True
        rest = list(keys)
        for depth, cache in enumerate(self._caches):
            if not rest:
                break
            only = own_only or any(key in self.doubts for key in rest)
            copies = await cache.usable(rest, floor=self.loads.floor, own_only=only)
            if copies is None:
                is_sure = is_sure and cache is not self._owner
                continue
            found.update(copies)
            self._promote(copies, into=self._caches[:depth], started_ms=started_ms)
            rest = [key for key in rest if key not in copies]
        return found, is_sure

    async def _from_below(self, keys: Sequence[str]) -> dict[str, Copy[bytes]]:
        """Return what is alive at home, or in the archive where the home has no entry at all."""
        now_ms = self._clock() // 1_000
        entries = dict(await self._home.call(self._home.backend.read(keys)))
        self._home.count(hits=len(entries), asked=len(keys))
        absent = [key for key in keys if key not in entries]
        if absent and self._archive is not None:
            archived = await self._archive.call(self._archive.backend.read(absent))
            self._archive.count(hits=len(archived), asked=len(absent))
            entries.update(archived)
        return {key: Copy(entry, now_ms, False) for key, entry in entries.items() if entry.is_live(now_ms)}

    def _promote(
        self, found: Mapping[str, Copy[bytes]], *, into: Sequence[CacheLayer], started_ms: int
    ) -> None:
        """Copy what was found into the caches above, in the background."""
        writes = [
            copy_of(key, copy.entry)
            for key, copy in found.items()
            if not copy.is_own and copy.entry.value is not GONE and key not in self.doubts
        ]
        if into and writes and 0 <= self._clock() // 1_000 - started_ms < LATEST_PROMOTION_MS:
            for cache in into:
                self.tasks.spawn(cache.promote(writes))

    def _fill(self, found: Mapping[str, Copy[bytes]], *, generation: int) -> dict[str, Entry[V]]:
        """Return the values of what was found, and hold them in memory."""
        values: dict[str, Entry[V]] = {}
        now_ms = self._clock() // 1_000
        for key, (entry, confirmed_at_ms, is_own) in found.items():
            content, version, deadline_ms, ttl_ms = entry
            if content is GONE:
                continue
            value = self._encoding.decode(content, key=key)
            values[key] = Entry(value, version, deadline_ms, ttl_ms)
            if generation == self._front.generation and version >= self.loads.floor(key):
                self.hold(key, entry, value, confirmed_at_ms=now_ms if is_own else confirmed_at_ms)
        return values

    def hold(
        self, key: str, entry: Entry[bytes], value: V | Literal[Gone.GONE], *, confirmed_at_ms: int
    ) -> None:
        """Hold what is at home in memory, unless the key is in doubt."""
        if key not in self.doubts:
            now_ms = self._clock() // 1_000
            self._front.hold(key, entry, value, confirmed_at_ms=confirmed_at_ms, now_ms=now_ms)

    async def look(self, keys: Sequence[str]) -> dict[str, Mark]:
        """Return the marks of keys, from the nearest layer that can be trusted."""
        found: dict[str, Mark] = dict(await self._own.look(keys))
        now_ms = self._clock() // 1_000
        for key in keys:
            entry = self._front.peek(key, now_ms=now_ms)
            if entry is not None:
                found[key] = entry.mark
        if rest := [key for key in keys if key not in found]:
            found.update(await self._look_below(rest))
        return found

    async def _look_below(self, keys: Sequence[str]) -> dict[str, Mark]:
        found = dict(await self._home.call(self._home.backend.look(keys)))
        if self._owner is not None:
            found.update(await own_marks(self._owner, [key for key in keys if key not in found]))
        rest = [key for key in keys if key not in found]
        if rest and self._archive is not None:
            found.update(await self._archive.call(self._archive.backend.look(rest)))
        return found

    async def close(self) -> None:
        """End what goes on in the background."""
        await self.loads.settle()
        await self.tasks.cancel()


async def own_marks(cache: CacheLayer, keys: Sequence[str]) -> dict[str, Mark]:
    """Return the marks of keys that live in a cache. Raises `StoreError` when it does not answer."""
    if not keys:
        return {}
    copies = await cache.call(cache.backend.read_copies(keys))
    return {key: copy.entry.mark for key, copy in copies.items() if copy.is_own}


def copy_of(key: str, entry: Entry[bytes]) -> Write[bytes]:
    """Return the write that copies an entry."""
    return Write(key, entry.value, entry.deadline_ms, entry.ttl_ms, version=entry.version)
