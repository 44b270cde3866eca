"""How a layered store writes: where the key lives; then memory, caches and the archive are told.

What says what it expects (`Write.expected`) acts where the key lives, whatever the options: they say where a
key is made, and where a plain write takes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.storage.backend import Entry, Mark, Write, Written
from eliza_state.storage.errors import OtherHome, OutcomeUnknown, Unsupported
from eliza_state.storage.layered.archiving import Archiving
from eliza_state.storage.layered.cache_layer import CacheLayer, copy_of
from eliza_state.storage.layered.layer import Layer
from eliza_state.storage.layered.layers import Layers
from eliza_state.storage.layered.options import CACHED, VOLATILE, PersistOptions
from eliza_state.storage.layered.reading import LayeredReading, own_marks
from eliza_state.storage.storage import TOMBSTONE_MS
from eliza_state.storage.wrapper import encoded

R = TypeVar("R")
V = TypeVar("V")


class LayeredWriting(Generic[V]):
    """Write keys where they belong, and tell who holds copies."""

    def __init__(self, layers: Layers[V], reading: LayeredReading[V], *, clock: Clock) -> None:
        self._layers = layers
        self._front = layers.front
        self._own = layers.own
        self._own_slots = layers.own.table.slots
        self._owner = layers.owner
        self._is_alone = not layers.caches and layers.archive is None
        self._reading = reading
        self._clock = clock
        self.archiving: Final = Archiving(layers.archive, clock=clock)
        """What follows in the archive."""

    @property
    def _now_ms(self) -> int:
        return self._clock() // 1_000

    async def write(self, writes: Sequence[Write[V]], options: PersistOptions) -> Sequence[Written]:
        """Store values where the options say; those that expect a version, where their keys live.

        Raises `OtherHome` for a key that lives further down, or further up and is to be archived under a
        condition; `Unsupported` where there is no such layer; `NotArchived`.
        """
        owned = {} if self._owner is None else await self._owned(self._owner, writes, options)
        compared = {write.key for write in writes if write.expected is not None}
        above = await self._above(compared, owned, options) if compared else {}
        if not above:
            return await self._write(writes, options, owned)
        if options.archive:
            raise OtherHome(
                f"{next(iter(above))!r} is kept further up and not archived; set it without a condition"
            )
        written: dict[int, Written] = {}
        for chosen in (VOLATILE, CACHED, options):
            at = [number for number, write in enumerate(writes) if above.get(write.key, options) is chosen]
            if at:
                outcomes = await self._write([writes[number] for number in at], chosen, owned)
                written.update(zip(at, outcomes, strict=True))
        return [written[number] for number in range(len(writes))]

    async def _owned(
        self, owner: CacheLayer, writes: Sequence[Write[V]], options: PersistOptions
    ) -> Mapping[str, Entry[bytes]]:
        """Return what is the cache's own and alive, among what may have to be compared or taken home."""
        if options.volatile:
            return {}
        try:
            copies = await owner.call(owner.backend.read_copies(list({write.key: None for write in writes})))
        except StoreError:
            if not options.persistent:
                raise
            at_home = await self._live_below([write.key for write in writes if write.expected is not None])
            if any(write.expected is not None and write.key not in at_home for write in writes):
                raise  # it may be in the cache
            return {}
        now_ms = self._now_ms
        return {key: copy.entry for key, copy in copies.items() if copy.is_own and copy.entry.is_live(now_ms)}

    async def _above(
        self, keys: set[str], owned: Mapping[str, Entry[bytes]], options: PersistOptions
    ) -> dict[str, PersistOptions]:
        """Return those of the keys that live further up than the options say, with where that is."""
        if options.volatile:
            return {}
        now_ms = self._now_ms
        above = {key: CACHED for key in keys & owned.keys() if options.persistent}
        marks = await self._own.look(list(keys))
        return {**above, **{key: VOLATILE for key, mark in marks.items() if mark.is_live(now_ms)}}

    async def _write(
        self, writes: Sequence[Write[V]], options: PersistOptions, owned: Mapping[str, Entry[bytes]]
    ) -> Sequence[Written]:
        if options.volatile:
            return await self._write_own(writes)
        contents = [encoded(write, self._layers.encoding) for write in writes]
        if not options.persistent:
            return await self._write_cache(writes, contents, owned)
        if owned:
            owned = {write.key: owned[write.key] for write in writes if write.key in owned}
        return await self.write_home(writes, contents, owned=owned, archive=options.archive)

    # in this process, and in the cache

    async def _write_own(self, writes: Sequence[Write[V]]) -> Sequence[Written]:
        keys = [write.key for write in writes]
        known = await self._own.look(keys)
        unknown = [key for key in keys if key not in known or not known[key].is_live(self._now_ms)]
        await self._refuse(unknown)
        if self._layers.owner is not None:
            _refuse_live(await own_marks(self._layers.owner, unknown), now_ms=self._now_ms)
        for key in keys:
            self._front.drop(key)
        return self._own.put(writes)

    async def _write_cache(
        self, writes: Sequence[Write[V]], contents: Sequence[Write[bytes]], owned: Mapping[str, Entry[bytes]]
    ) -> Sequence[Written]:
        cache = self._layers.owner
        if cache is None:
            raise Unsupported(
                "no layer keeps what is not persistent: open the store with a shared cache and"
                " `cache_keeps_own=True`, or use `volatile`"
            )
        keys = [write.key for write in writes]
        await self._refuse([key for key in keys if key not in owned])
        written = await self.change(keys, cache, cache.backend.write(contents))
        if self._own_slots:
            await self._left(writes, written)
        self._hold(writes, contents, written)
        return written

    async def _refuse(self, keys: Sequence[str]) -> None:
        """Refuse to write keys that live at home, or in the archive alone."""
        if keys:
            _refuse_live(await self._reading.look_home(keys), now_ms=self._now_ms)

    async def _live_below(self, keys: Sequence[str]) -> set[str]:
        now_ms = self._now_ms
        return {key for key, mark in (await self._reading.look_home(keys)).items() if mark.is_live(now_ms)}

    async def _left(self, writes: Sequence[Write[V]], written: Sequence[Written]) -> None:
        """Forget what this process had of its own of keys that were stored further down."""
        pairs = zip(writes, written, strict=True)
        await self._own.remove([write.key for write, outcome in pairs if outcome.is_stored])

    # at home

    @contextlib.asynccontextmanager
    async def _taking_home(self, owned: Mapping[str, Entry[bytes]]) -> AsyncGenerator[None]:
        """Leave the cache mere copies of what was its own, which end by age, while it is written at home.

        A process that ends in between must not leave something behind that hides the home for good.
        """
        owner = self._layers.owner
        assert owner is not None
        with contextlib.suppress(StoreError):  # then the home is right all the same, and the cache repaired
            copies = [copy_of(key, entry) for key, entry in owned.items()]
            await owner.call(owner.backend.write_copies(copies, max_age_ms=owner.max_age_ms))
        try:
            yield
        except OutcomeUnknown:
            raise
        except StoreError:
            with contextlib.suppress(StoreError):
                again = [
                    Write(key, entry.value, entry.deadline_ms, entry.ttl_ms, expected=entry.version)
                    for key, entry in owned.items()
                ]
                await owner.call(owner.backend.write(again))
            raise

    async def write_home(
        self,
        writes: Sequence[Write[V]],
        contents: Sequence[Write[bytes]],
        *,
        owned: Mapping[str, Entry[bytes]] = MappingProxyType({}),
        archive: bool = False,
    ) -> Sequence[Written]:
        """Store values at home, `owned` ones that the cache had; tell memory, caches and the archive."""
        if archive and self._layers.archive is None:
            raise Unsupported("there is no archive to write to; add one to the layers")
        if owned:
            async with self._taking_home(owned):
                written = await self._store(contents)
        else:
            written = await self._store(contents)
        if self._own_slots:
            await self._left(writes, written)
        self._hold(writes, contents, written)
        if not self._is_alone:
            copies = _copies(contents, written)
            await self._tell(copies)
            await self.archiving.follow(copies, archived=archive)
        return written

    async def _store(self, contents: Sequence[Write[bytes]]) -> Sequence[Written]:
        """Write at home, where keys are compared with what is there, or with what the archive alone has."""
        if self._layers.archive is None:
            return await self._write_at_home(contents)
        await self._bring_home([write.key for write in contents if write.expected == 0])
        written = list(await self._write_at_home(contents))
        nothing = Written(0, is_stored=False)
        at = [n for n, write in enumerate(contents) if write.expected and written[n] == nothing]
        if at and await self._bring_home([contents[number].key for number in at]):
            again = await self._write_at_home([contents[number] for number in at])
            for number, outcome in zip(at, again, strict=True):
                written[number] = outcome
        return written

    async def _bring_home(self, keys: Sequence[str]) -> bool:
        """Copy home what the archive alone has of keys, under its version; tell whether there was any."""
        if not keys:
            return False
        at_home = await self._layers.home.call(self._layers.home.backend.look(keys))
        alone = await self.archiving.read([key for key in keys if key not in at_home])
        copies = [copy_of(key, entry) for key, entry in alone.items() if entry.is_live(self._now_ms)]
        if copies:
            await self._write_at_home(copies)
        return bool(copies)

    def _write_at_home(self, contents: Sequence[Write[bytes]]) -> Awaitable[Sequence[Written]]:
        home = self._layers.home
        return self.change([write.key for write in contents], home, home.backend.write(contents))

    async def change(self, keys: Sequence[str], layer: Layer[Any], change: Awaitable[R]) -> R:
        """Await a change of keys where they live; whatever may still land leaves them in doubt."""
        try:
            return await layer.call(change, writes=True)
        except BaseException as error:
            if not isinstance(error, StoreError) or isinstance(error, OutcomeUnknown):
                self._doubt(keys)
            raise

    def _doubt(self, keys: Sequence[str]) -> None:
        """Ask only where they live for keys whose change may still land."""
        self._reading.doubts.add(keys)
        for key in keys:
            self._front.drop(key)
        for cache in self._layers.caches:
            cache.distrust(keys, delay_ms=TOMBSTONE_MS)

    def _hold(
        self, writes: Sequence[Write[V]], contents: Sequence[Write[bytes]], written: Sequence[Written]
    ) -> None:
        """Hold in memory what was stored."""
        now_ms = self._now_ms
        for write, content, (version, is_stored) in zip(writes, contents, written, strict=True):
            key = write.key
            self._reading.loads.reached(key, version)
            if is_stored and not (write.keeps_deadline and write.deadline_ms is not None):
                entry = Entry(content.value, version, write.deadline_ms, write.ttl_ms)
                self._reading.hold(key, entry, write.value, confirmed_at_ms=now_ms, now_ms=now_ms)
            else:
                # Where somebody has touched the entry, its deadline is later than it is known to be here.
                self._front.drop(key, below=version)

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


def _copies(contents: Sequence[Write[bytes]], written: Sequence[Written]) -> list[Write[bytes]]:
    """Return what was stored as copies, each under its version."""
    return [
        content._replace(expected=None, version=version, keeps_deadline=False)
        for content, (version, is_stored) in zip(contents, written, strict=True)
        if is_stored
    ]


def _refuse_live(marks: Mapping[str, Mark], *, now_ms: int) -> None:
    for key, mark in marks.items():
        if mark.is_live(now_ms):
            raise OtherHome(
                f"{key!r} is kept further down, from where its old value would come back;"
                " delete it first, or keep it there"
            )
