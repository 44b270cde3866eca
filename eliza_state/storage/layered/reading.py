"""How a layered store reads: memory, then caches, then the home, then the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Generic, Literal, TypeVar

from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Entry, Gone, Mark
from eliza_state.storage.cache import Copy
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.layered.cache_layer import CacheLayer, copy_of
from eliza_state.storage.layered.doubts import Doubts
from eliza_state.storage.layered.layers import Layers
from eliza_state.storage.layered.loading import Loads
from eliza_state.storage.layered.tasks import Tasks

V = TypeVar("V")

LATEST_PROMOTION_MS: Final = 30_000
"""After how long what was read is not copied any more; tombstones are kept for longer."""


class LayeredReading(Generic[V]):
    """Find keys in layers, and hold what was found further up.

    While a cache that has keys of its own does not answer, a key that is not found may be there, and reading
    it fails. What is in doubt is read from the home.
    """

    def __init__(self, layers: Layers[V], *, clock: Clock) -> None:
        self._layers = layers
        self._front = layers.front
        self._own = layers.own
        self._clock = clock
        self._is_inline = not layers.caches and layers.home.backend.is_inline
        self.loads: Final = Loads[Entry[V]]()
        """What is being read just now."""
        self.doubts: Final = Doubts(lasting_ms=2 * LATEST_PROMOTION_MS)
        """The keys whose newest value only the home knows for a while."""
        self.tasks: Final = Tasks()
        """What goes on in the background."""
        self.misses = 0
        """How many keys were not in memory when they were read."""

    def at_hand(self, key: str) -> Entry[V] | None:
        """Return what there is of a key without any waiting: in memory, or in a home that is read inline."""
        now_ms = self._clock() // 1_000
        entry = self._front.get(key, now_ms=now_ms)
        if entry is None:
            entry = self._of_own(key, now_ms)
        if entry is None and self._is_inline:
            entry = self._at_home(key, now_ms)
        return entry

    def _at_home(self, key: str, now_ms: int) -> Entry[V] | None:
        # Nobody else runs meanwhile, so there is nothing to share with other tasks.
        home = self._layers.home
        entry = home.backend.at_hand(key)
        if entry is None or not entry.is_live(now_ms):
            return None
        self.misses += 1
        home.count(hits=1, asked=1)
        return self._fill({key: Copy(entry, now_ms, False)}, generation=self._front.generation)[key]

    def _of_own(self, key: str, now_ms: int) -> Entry[V] | None:
        own = self._own.at_hand(key)
        # A dead one says nothing: another process may have given the key a home since.
        return own if own is not None and own.is_live(now_ms) else None

    async def read(self, keys: Sequence[str]) -> dict[str, Entry[V]]:
        """Return what there is of keys, from the nearest layer that can be trusted."""
        found: dict[str, Entry[V]] = {}
        missing: list[str] = []
        now_ms = self._clock() // 1_000
        for key in keys:
            entry = self._front.get(key, now_ms=now_ms) or self._of_own(key, now_ms)
            if entry is None:
                missing.append(key)
            else:
                found[key] = entry
        if missing:
            found.update(await self._load(missing))
        return found

    async def read_home(self, keys: Sequence[str]) -> dict[str, Entry[V]]:
        """Return what there is of keys where they live: what was acknowledged before is seen."""
        now_ms = self._clock() // 1_000
        own = {key: entry for key, entry in (await self._own.read(keys)).items() if entry.is_live(now_ms)}
        return {**own, **await self._fetch([key for key in keys if key not in own], own_only=True)}

    async def _load(self, keys: Sequence[str]) -> dict[str, Entry[V]]:
        self.misses += len(keys)
        found: dict[str, Entry[V]] = {}
        if self._is_inline:
            entries = await self._layers.home.backend.read(keys)
            found = self._fill_from_home(entries, asked=len(keys))
            if self._layers.archive is None or len(entries) == len(keys):
                return found
            keys = [key for key in keys if key not in entries]
        loaded = await self.loads.get(keys, self._fetch)
        return {**found, **{key: self._newer(key, entry) for key, entry in loaded.items()}}

    def _fill_from_home(self, entries: Mapping[str, Entry[bytes]], *, asked: int) -> dict[str, Entry[V]]:
        now_ms = self._clock() // 1_000
        live = {key: Copy(entry, now_ms, False) for key, entry in entries.items() if entry.is_live(now_ms)}
        self._layers.home.count(hits=len(live), asked=asked)
        return self._fill(live, generation=self._front.generation)

    def _newer(self, key: str, entry: Entry[V]) -> Entry[V]:
        """Return what memory holds of a key by now, if that is newer than what a shared load found."""
        now_ms = self._clock() // 1_000
        held = self._front.peek(key, now_ms=now_ms)
        if held is None or held.version <= entry.version:
            return entry
        return self._front.get(key, now_ms=now_ms) or entry

    async def _fetch(self, keys: Sequence[str], own_only: bool = False) -> dict[str, Entry[V]]:
        """Return what there is of keys below memory; with `own_only` caches are asked for their own only."""
        with self.loads.watching(keys):
            generation = self._front.generation
            started_ms = self._clock() // 1_000
            cached, is_sure = await self._from_caches(keys, own_only=own_only, started_ms=started_ms)
            below: dict[str, Copy[bytes]] = {}
            if rest := [key for key in keys if key not in cached]:
                below = await self._from_below(rest)
                self._promote(below, into=self._layers.caches, started_ms=started_ms)
            if not is_sure and any(key not in cached and key not in below for key in keys):
                raise StoreError(
                    "a cache does not answer, or holds what cannot be read; keys that are not at home may be"
                    " there"
                )
            try:
                return self._fill({**cached, **below}, generation=generation)
            except DamagedValue as error:
                if error.key not in cached or cached[error.key].is_own:
                    raise
                for cache in self._layers.caches:
                    cache.distrust([error.key])
        return await self._fetch(keys, own_only)

    async def _from_caches(
        self, keys: Sequence[str], *, own_only: bool, started_ms: int
    ) -> tuple[dict[str, Copy[bytes]], bool]:
        """Return what the caches know, and whether the one that has keys of its own has answered."""

        def trusts(key: str) -> bool:
            return not own_only and key not in self.doubts

        found: dict[str, Copy[bytes]] = {}
        is_sure = True
        for depth, cache in enumerate(self._layers.caches):
            rest = [key for key in keys if key not in found]
            copies = await cache.usable(rest, trusts=trusts, floor=self.loads.floor)
            if copies is None:
                is_sure = is_sure and not cache.keeps_own
            else:
                found.update(copies)
                self._promote(copies, into=self._layers.caches[:depth], started_ms=started_ms)
        return found, is_sure

    async def _from_below(self, keys: Sequence[str]) -> dict[str, Copy[bytes]]:
        """Return what is alive at home, or in the archive where the home has no entry at all."""
        now_ms = self._clock() // 1_000
        entries = dict(await self._layers.home.call(self._layers.home.backend.read(keys)))
        self._layers.home.count(hits=len(entries), asked=len(keys))
        absent = [key for key in keys if key not in entries]
        if absent and self._layers.archive is not None:
            archived = await self._layers.archive.call(self._layers.archive.backend.read(absent))
            self._layers.archive.count(hits=len(archived), asked=len(absent))
            entries.update(archived)
        return {key: Copy(entry, now_ms, False) for key, entry in entries.items() if entry.is_live(now_ms)}

    def _promote(
        self, found: Mapping[str, Copy[bytes]], *, into: Sequence[CacheLayer], started_ms: int
    ) -> None:
        """Copy what was found into the caches above, in the background."""
        copies = {
            key: copy
            for key, copy in found.items()
            if not copy.is_own and copy.entry.value is not GONE and key not in self.doubts
        }
        if into and copies and 0 <= self._clock() // 1_000 - started_ms < LATEST_PROMOTION_MS:
            writes = [copy_of(key, copy.entry) for key, copy in copies.items()]
            # Ages do not begin anew from layer to layer.
            confirmed_at_ms = min(copy.confirmed_at_ms for copy in copies.values())
            for cache in into:
                self.tasks.spawn(cache.promote(writes, confirmed_at_ms=confirmed_at_ms))

    def _fill(self, found: Mapping[str, Copy[bytes]], *, generation: int) -> dict[str, Entry[V]]:
        """Return the values of what was found, and hold them in memory."""
        values: dict[str, Entry[V]] = {}
        now_ms = self._clock() // 1_000
        for key, (entry, copied_at_ms, is_own) in found.items():
            content, version, deadline_ms, ttl_ms = entry
            if content is GONE:
                continue
            value = self._layers.encoding.decode(content, key=key)
            values[key] = Entry(value, version, deadline_ms, ttl_ms)
            if generation == self._front.generation and version >= self.loads.floor(key):
                confirmed_at_ms = now_ms if is_own else copied_at_ms
                self.hold(key, entry, value, confirmed_at_ms=confirmed_at_ms, now_ms=now_ms)
        return values

    def hold(
        self,
        key: str,
        entry: Entry[bytes],
        value: V | Literal[Gone.GONE],
        *,
        confirmed_at_ms: int,
        now_ms: int,
    ) -> None:
        """Hold what is at home in memory, unless the key is in doubt."""
        if key not in self.doubts:
            self._front.hold(key, entry, value, confirmed_at_ms=confirmed_at_ms, now_ms=now_ms)

    async def look(self, keys: Sequence[str]) -> dict[str, Mark]:
        """Return the marks of keys, from the nearest layer that can be trusted."""
        now_ms = self._clock() // 1_000
        found = {key: mark for key, mark in (await self._own.look(keys)).items() if mark.is_live(now_ms)}
        for key in keys:
            entry = self._front.peek(key, now_ms=now_ms)
            if entry is not None:
                found[key] = entry.mark
        if rest := [key for key in keys if key not in found]:
            found.update(await self._look_below(rest))
        return found

    async def _look_below(self, keys: Sequence[str]) -> dict[str, Mark]:
        """Return the newest marks of keys; while the layers that have them fail, those of copies."""
        try:
            return await self._look_where_they_live(keys)
        except StoreError:
            with self.loads.watching(keys):
                started_ms = self._clock() // 1_000
                copies, _ = await self._from_caches(keys, own_only=False, started_ms=started_ms)
            if any(key not in copies for key in keys):
                raise
            return {key: copy.entry.mark for key, copy in copies.items()}

    async def _look_where_they_live(self, keys: Sequence[str]) -> dict[str, Mark]:
        now_ms = self._clock() // 1_000
        found = await self.look_home(keys)
        if self._layers.owner is not None:
            # Where the home has a tombstone, the key may live in the cache by now.
            away = [key for key in keys if key not in found or not found[key].is_live(now_ms)]
            found.update(await own_marks(self._layers.owner, away))
        return found

    async def look_home(self, keys: Sequence[str]) -> dict[str, Mark]:
        """Return the marks of keys at home, or in the archive where the home has no entry at all."""
        if not keys:
            return {}
        found = dict(await self._layers.home.call(self._layers.home.backend.look(keys)))
        absent = [key for key in keys if key not in found]
        if absent and self._layers.archive is not None:
            found.update(await self._layers.archive.call(self._layers.archive.backend.look(absent)))
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
