"""Storages in memory: fast, and gone with the process.

>>> storage = MemoryStorage[int]({"a": 1, "b": 2})
>>> await storage.get("a")
1
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from eliza_serializers import Serializer
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.storage.backend import (
    GONE,
    Backend,
    Entry,
    Mark,
    Marks,
    Write,
    Written,
    deadline_of,
    outcome_of,
)
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.immutable import WrittenForm, kept, size_of
from eliza_state.storage.keys import split_key
from eliza_state.storage.storage import Storage
from eliza_state.storage.table import Table, room_of

V = TypeVar("V")

_PAGE: Final = 1_000


class MemoryBackend(Backend[V]):
    """Keep entries in a table of this process.

    With an `encoding`, what could change is kept written and made anew for each reader; without one,
    everybody gets the object that was stored. With `is_cache`, what is read becomes the most recently used.
    """

    name = "memory"
    is_durable = False
    is_inline = True

    def __init__(
        self,
        table: Table[Any],
        *,
        encoding: Encoding[V] | None,
        is_cache: bool = False,
        clock: Clock = now_us,
    ) -> None:
        super().__init__(clock=clock)
        self._table = table
        self._slots = table.slots
        self._encoding = encoding
        self._is_cache = is_cache
        self._newest = 0
        self._closed = False

    @property
    def table(self) -> Table[Any]:
        """The table, for its figures."""
        return self._table

    def at_hand(self, key: str) -> Entry[V] | None:
        slot = self._slots.get(key)
        if slot is None:
            return None
        if self._is_cache:
            self._slots.move_to_end(key)
        entry: Entry[Any] = slot.entry
        if type(entry.value) is WrittenForm:
            assert self._encoding is not None
            return entry._replace(value=self._encoding.remade(entry.value, key=key))
        return entry

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[V]]:
        self._check_open()
        found = ((key, self.at_hand(key)) for key in keys)
        return {key: entry for key, entry in found if entry is not None}

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        self._check_open()
        slots = ((key, self._slots.get(key)) for key in keys)
        return {key: slot.entry.mark for key, slot in slots if slot is not None}

    async def write(self, writes: Sequence[Write[V]]) -> Sequence[Written]:
        return self.put(writes)

    def put(self, writes: Sequence[Write[V]]) -> Sequence[Written]:
        """Do what `write` does, without its coroutine: nothing here waits."""
        self._check_open()
        # All are written out before one is stored: a value that cannot be must not leave half of them.
        held = [self._held(write) for write in writes]
        now_us = self.clock()
        return [
            self._put(write, value, size_bytes, now_us)
            for write, (value, size_bytes) in zip(writes, held, strict=True)
        ]

    def _held(self, write: Write[V]) -> tuple[Any, int]:
        value = write.value
        if value is GONE or self._encoding is None:
            return value, 0
        content = self._encoding.encode(value, key=write.key)
        held = kept(value, content)
        return held, size_of(held, content)

    def _put(self, write: Write[V], value: Any, size_bytes: int, now_us: int) -> Written:
        slot = self._slots.get(write.key)
        stored = None if slot is None else slot.entry.mark
        written = outcome_of(write, stored, now_us=now_us)
        if written.is_stored:
            if slot is None and write.version is None:
                # The key may have been here before, when the clock showed the same or a later time.
                written = Written(max(written.version, self._newest + 1), is_stored=True)
            self._newest = max(self._newest, written.version)
            entry = Entry(value, written.version, deadline_of(write, stored), write.ttl_ms)
            size_bytes += room_of(write.key, entry.deadline_ms)
            self._table.put(write.key, entry, size_bytes=size_bytes, now_ms=now_us // 1_000)
        return written

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        self._check_open()
        now_ms = self.now_ms
        live = 0
        for key in keys:
            slot = self._slots.get(key)
            if slot is not None and not (dead_only and not slot.entry.mark.is_past(now_ms)):
                live += slot.entry.is_live(now_ms)
                self._table.drop(key)
        return live

    async def touch(self, keys: Sequence[str]) -> set[str]:
        self._check_open()
        return {key for key in keys if self._touch(key, self.now_ms)}

    def _touch(self, key: str, now_ms: int) -> bool:
        slot = self._slots.get(key)
        if slot is None or not slot.entry.is_live(now_ms):
            return False
        entry = slot.entry
        if entry.ttl_ms is not None:
            slot.entry = entry._replace(deadline_ms=now_ms + entry.ttl_ms)
        return True

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        self._check_open()
        head = space + prefix
        keys = [key for key in self._slots if key.startswith(head) and (nested or split_key(key)[0] == space)]
        for start in range(0, len(keys), _PAGE):
            slots = ((key, self._slots.get(key)) for key in keys[start : start + _PAGE])
            yield [(key, slot.entry.mark) for key, slot in slots if slot is not None]

    async def clear(self, space: str) -> None:
        self._check_open()
        for key in [key for key in self._slots if key.startswith(space)]:
            self._table.drop(key)

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        self._check_open()
        now_ms = self.now_ms
        swept: list[str] = []
        # The table also looks at keys that were refreshed; those do not count.
        while len(swept) < limit and self._table.is_due(now_ms):
            swept += self._table.expire(now_ms, limit=limit - len(swept))
        return swept

    async def close(self) -> None:
        self._closed = True
        self._table.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the storage is closed; make a new one")


class _TableStorage(Storage[V]):
    """What the storages in memory share: a table, filled from a seed."""

    def __init__(
        self,
        table: Table[Any],
        *,
        seed: Mapping[str, V] | None,
        encoding: Encoding[V] | None,
        ttl_ms: float | None,
        is_cache: bool,
        clock: Clock,
    ) -> None:
        backend = MemoryBackend(table, encoding=encoding, is_cache=is_cache, clock=clock)
        super().__init__(backend, ttl_ms=ttl_ms)
        self._table = table
        backend.put([self._write(key, value) for key, value in (seed or {}).items()])

    @property
    def size(self) -> int:
        """How many entries there are, in all namespaces; those past their deadline count until they go."""
        return len(self._table.slots)


class MemoryStorage(_TableStorage[V]):
    """Keep values in this process, as many as are set; `seed` is there from the start.

    Values that could change (a dict, a list, a class that is not frozen) are written out when they are set
    and made anew for each reader, so nobody changes what is stored; those that cannot are shared. With
    `share` every value is kept and handed out as it is, and may be of any class.
    """

    def __init__(
        self,
        seed: Mapping[str, V] | None = None,
        *,
        value_type: Any = None,
        serializer: Serializer | str = "json",
        share: bool = False,
        ttl_ms: float | None = None,
        clock: Clock = now_us,
    ) -> None:
        encoding = None if share else Encoding[V](value_type=value_type, serializer=serializer)
        super().__init__(Table(), seed=seed, encoding=encoding, ttl_ms=ttl_ms, is_cache=False, clock=clock)


class LruMemoryStorage(_TableStorage[V]):
    """Keep the most recently used values in this process.

    What has not been got or set for longest goes when there are more than `max_entries`, or when they take
    more than `max_bytes` (values, keys, and the table around them: an estimate). `has` and `delete` are no
    use. Values are kept as `MemoryStorage` keeps them; without their written form (`share`) their size is
    unknown.
    """

    def __init__(
        self,
        seed: Mapping[str, V] | None = None,
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        value_type: Any = None,
        serializer: Serializer | str = "json",
        share: bool = False,
        ttl_ms: float | None = None,
        clock: Clock = now_us,
    ) -> None:
        if max_entries is None and max_bytes is None:
            raise ValueError("expected a bound: max_entries, max_bytes, or both")
        if share and max_bytes is not None:
            raise ValueError("values that are kept as they are have no size in bytes: give max_entries only")
        encoding = None if share else Encoding[V](value_type=value_type, serializer=serializer)
        table = Table[Any](max_entries=max_entries, max_bytes=max_bytes)
        super().__init__(table, seed=seed, encoding=encoding, ttl_ms=ttl_ms, is_cache=True, clock=clock)

    @property
    def size_bytes(self) -> int:
        """What the entries take, an estimate; without meaning where values are kept as they are."""
        return self._table.size_bytes

    @property
    def evicted(self) -> int:
        """How many entries have gone for want of room."""
        return self._table.evicted
