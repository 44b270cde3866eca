"""Storages whose keys live on while they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from eliza_state.storage.backend import Entry
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrapper import Wrapper

T = TypeVar("T")
S = TypeVar("S", bound=Storage[Any])


class SlidingBackend(Wrapper[T]):
    """A backend that touches what is read from it."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[T]]:
        found = await self.inner.read(keys)
        now_ms = self.now_ms
        sliding = [key for key, entry in found.items() if entry.ttl_ms is not None and entry.is_live(now_ms)]
        if not sliding:
            return found
        touched = await self.inner.touch(sliding)
        return {key: _rolled(entry, now_ms) if key in touched else entry for key, entry in found.items()}


def _rolled(entry: Entry[T], now_ms: int) -> Entry[T]:
    # The reader is told the deadline that the key has by now.
    assert entry.ttl_ms is not None
    return entry._replace(deadline_ms=now_ms + entry.ttl_ms)


def sliding(storage: S) -> S:
    """Return the same storage, whose live keys with a time to live are touched whenever they are read.

    Reads are `get`, `get_many`, `entry`, `update`, `values` and `entries`; `has`, `mark` and `keys` are none.
    A read of such keys costs one more call of the backend, `touch`; others cost what they did. Closing it
    closes the storage. The rule is that of `@puregram/session`: touch after each access.
    """
    return storage.around(SlidingBackend)
