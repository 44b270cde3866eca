"""The memory in front of a layered store: copies of what lies below."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from eliza_state.storage.backend import GONE, Entry, Gone
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.immutable import WrittenForm, kept, size_of
from eliza_state.storage.table import FOREVER_MS, Table, room_of

V = TypeVar("V")


class Front(Generic[V]):
    """Hold the most recently used copies, within bounds, each for at most `max_age_ms` (`None`: no bound).

    A copy never replaces one of a higher version; a tombstone is a copy too. When the clock is turned back
    all copies go, since nobody knows their age any more. With `share` readers get the object that is held,
    and promise not to change it.
    """

    def __init__(
        self, table: Table[Any], *, encoding: Encoding[V], max_age_ms: int | None, share: bool = False
    ) -> None:
        self._table = table
        self._slots = table.slots
        self._encoding = encoding
        self._max_age_ms = max_age_ms
        self._share = share
        self._latest_ms = 0
        self.generation = 0
        """Grows when all copies are forgotten: what was read before that is not to be held after."""
        self.hits = 0
        """How many keys were found here."""

    @property
    def table(self) -> Table[Any]:
        """The table, for its figures."""
        return self._table

    def peek(self, key: str, *, now_ms: int) -> Entry[Any] | None:
        """Return the copy of a key as it is held, if it is fresh and not past its deadline."""
        slot = self._slots.get(key)
        if slot is None or slot.fresh_until_ms <= now_ms:
            return None
        if now_ms < self._latest_ms:  # somebody has turned the clock back
            self.forget()
            self._latest_ms = now_ms
            return None
        self._latest_ms = now_ms
        return slot.entry

    def get(self, key: str, *, now_ms: int) -> Entry[V] | None:
        """Return the copy of a key with its value as readers get it; it becomes the most recently used."""
        entry = self.peek(key, now_ms=now_ms)
        if entry is None:
            return None
        self.hits += 1
        self._slots.move_to_end(key)
        held = entry.value
        if type(held) is WrittenForm:
            value = self._encoding.remade(held, key=key)
            return Entry(value, entry.version, entry.deadline_ms, entry.ttl_ms)
        return entry

    def hold(
        self,
        key: str,
        entry: Entry[bytes],
        value: V | Literal[Gone.GONE],
        *,
        confirmed_at_ms: int,
        now_ms: int,
    ) -> None:
        """Hold a copy, given its written form and its value, unless one of a higher version is there."""
        if self._max_age_ms == 0:
            return
        if now_ms < self._latest_ms:
            self.forget()
        self._latest_ms = now_ms
        slot = self._slots.get(key)
        if slot is not None and slot.entry.version > entry.version:
            return
        content = entry.value
        held: Any = value
        size_bytes = room_of(key, entry.deadline_ms)
        if content is not GONE:
            assert value is not GONE
            held = value if self._share else kept(value, content)
            size_bytes += size_of(held, content)
        fresh_until_ms = FOREVER_MS if self._max_age_ms is None else confirmed_at_ms + self._max_age_ms
        if entry.deadline_ms is not None:
            fresh_until_ms = min(fresh_until_ms, entry.deadline_ms)
        self._table.put(
            key,
            Entry(held, entry.version, entry.deadline_ms, entry.ttl_ms),
            size_bytes=size_bytes,
            now_ms=now_ms,
            fresh_until_ms=fresh_until_ms,
        )

    def drop(self, key: str, *, below: int | None = None) -> None:
        """Forget the copy of a key; with `below`, only one of a lower version."""
        slot = self._slots.get(key)
        if slot is not None and (below is None or slot.entry.version < below):
            self._table.drop(key)

    def forget(self) -> None:
        """Forget all copies, and those that are on their way here."""
        self.generation += 1
        self._table.clear()
