"""A table of entries in memory whose expiry and eviction cost a constant time a key, whatever their number.

Keys with a deadline stand in buckets of time (hashed timing wheels, Varghese and Lauck 1987, with a heap of
the buckets in place of the wheel). A key is in one bucket at most: a deadline that moves on takes its key
along only when the old bucket comes due, so that touching is free.
"""

from __future__ import annotations

import heapq
import sys
from collections import OrderedDict
from typing import Final, Generic, TypeVar

import attrs

from eliza_state.storage.backend import Entry

T = TypeVar("T")

BUCKET_MS: Final = 1_000
"""How long a dead entry may take up room beyond its deadline, at least."""
SLOT_BYTES: Final = 500
"""What a key takes beside its text and its value, with the objects around them; an estimate."""
DEADLINE_BYTES: Final = 170
"""What the deadline of a key takes, with the key's place in its bucket; an estimate."""
FOREVER_MS: Final = 2**62
"""Until when a copy is fresh that nobody could make stale."""
_DUE_A_CALL: Final = 4
_STALE_BUCKETS: Final = 64


@attrs.define(eq=False)
class Slot(Generic[T]):
    """An entry in a table.

    `fresh_until_ms` is until when a copy may be taken for what it is a copy of. `bucket` is where the key
    waits for its deadline (-1: nowhere).
    """

    entry: Entry[T]
    size_bytes: int
    fresh_until_ms: int
    bucket: int = -1


def room_of(key: str, deadline_ms: int | None) -> int:
    """Return how many bytes a key takes in a table beside its value, about."""
    return SLOT_BYTES + len(key) + (0 if deadline_ms is None else DEADLINE_BYTES)


class Table(Generic[T]):
    """Keep entries by key, the least recently used first, within bounds on count and bytes."""

    def __init__(self, *, max_entries: int | None = None, max_bytes: int | None = None) -> None:
        for bound in (max_entries, max_bytes):
            if bound is not None and bound < 1:
                raise ValueError(f"a bound is at least 1, got {bound!r}")
        self._max_entries = sys.maxsize if max_entries is None else max_entries
        self._max_bytes = sys.maxsize if max_bytes is None else max_bytes
        self.slots: OrderedDict[str, Slot[T]] = OrderedDict()
        """The slots by key, the least recently used first; changed through the methods only."""
        self.size_bytes = 0
        """What the entries take."""
        self.evicted = 0
        """How many entries went for want of room."""
        self._buckets: dict[int, set[str]] = {}  # none of them empty
        self._due: list[int] = []  # a heap: every bucket, and some that are gone

    def put(
        self, key: str, entry: Entry[T], *, size_bytes: int, now_ms: int, fresh_until_ms: int = FOREVER_MS
    ) -> None:
        """Store an entry as the most recently used one, and make room where a bound asks for it.

        `size_bytes` is what its value takes, and `room_of` what is around it. One that is larger than the
        bound makes no other one go: it is gone at once itself.
        """
        if size_bytes > self._max_bytes:
            self.drop(key)
            self.evicted += 1
            return
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = Slot(entry, size_bytes, fresh_until_ms)
            self.size_bytes += size_bytes
        else:
            self.size_bytes += size_bytes - slot.size_bytes
            slot.entry = entry
            slot.size_bytes = size_bytes
            slot.fresh_until_ms = fresh_until_ms
            self.slots.move_to_end(key)
        if entry.deadline_ms is not None:
            self._schedule(key, slot, entry.deadline_ms)
        if self._due:
            self.expire(now_ms, limit=_DUE_A_CALL)
        while len(self.slots) > self._max_entries or self.size_bytes > self._max_bytes:
            self._evict()

    def _schedule(self, key: str, slot: Slot[T], deadline_ms: int) -> None:
        bucket = deadline_ms // BUCKET_MS + 1
        if 0 <= slot.bucket <= bucket:
            return
        self._unschedule(key, slot)
        slot.bucket = bucket
        waiting = self._buckets.get(bucket)
        if waiting is None:
            self._buckets[bucket] = {key}
            heapq.heappush(self._due, bucket)
        else:
            waiting.add(key)

    def _unschedule(self, key: str, slot: Slot[T]) -> None:
        if slot.bucket < 0:
            return
        waiting = self._buckets[slot.bucket]
        waiting.discard(key)
        if not waiting:
            del self._buckets[slot.bucket]
            if len(self._due) > 2 * len(self._buckets) + _STALE_BUCKETS:
                self._due = list(self._buckets)
                heapq.heapify(self._due)

    def _evict(self) -> None:
        self.drop(next(iter(self.slots)))
        self.evicted += 1

    def expire(self, now_ms: int, *, limit: int) -> list[str]:
        """Drop entries past their deadline, looking at up to `limit` of them; return their keys."""
        expired: list[str] = []
        while limit > 0 and self.is_due(now_ms):
            bucket = self._due[0]
            waiting = self._buckets.get(bucket)
            if waiting is None:
                heapq.heappop(self._due)
                continue
            limit -= 1
            key = waiting.pop()
            if not waiting:
                del self._buckets[bucket]
            if self._expire_one(key, now_ms):
                expired.append(key)
        return expired

    def is_due(self, now_ms: int) -> bool:
        """Tell whether `expire` would have something to look at."""
        return bool(self._due) and self._due[0] * BUCKET_MS <= now_ms

    def _expire_one(self, key: str, now_ms: int) -> bool:
        slot = self.slots[key]
        slot.bucket = -1
        deadline_ms = slot.entry.deadline_ms
        if deadline_ms is None:
            return False
        if deadline_ms > now_ms:
            self._schedule(key, slot, deadline_ms)
            return False
        self.drop(key)
        return True

    def drop(self, key: str) -> Entry[T] | None:
        """Remove an entry and return it; `None` if there is none."""
        slot = self.slots.pop(key, None)
        if slot is None:
            return None
        self._unschedule(key, slot)
        self.size_bytes -= slot.size_bytes
        return slot.entry

    def clear(self) -> None:
        """Remove all entries."""
        self.slots.clear()
        self._buckets.clear()
        self._due.clear()
        self.size_bytes = 0
