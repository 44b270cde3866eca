"""The contract of a backend that can lie in front of another: it keeps copies beside keys of its own."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from eliza_state.storage.backend import Backend, Entry, Marks, Write

T = TypeVar("T")

OnChange: TypeAlias = Callable[[str, int], None]
"""Told that a key has a new version: somebody wrote it."""


class Copy(NamedTuple, Generic[T]):
    """An entry in a cache.

    `is_own` says that the key lives here and nowhere below. Otherwise the entry is a copy, which the layer
    below confirmed at `confirmed_at_ms` (since 1970).
    """

    entry: Entry[T]
    confirmed_at_ms: int
    is_own: bool


class Listener(Protocol):
    """What `CacheBackend.listen` gives; closing it twice does nothing."""

    async def close(self) -> None: ...


class CacheBackend(Backend[T]):
    """A backend shared by processes that can lie in front of a slower one.

    What `write` stores is the cache's own: it is the home of that key. What `write_copies` stores is a copy.
    A copy replaces a copy of a lower version, and what is the cache's own whatever its version: what lies
    below is the truth. A tombstone replaces only what has a lower version: a key that was deleted below may
    be the cache's own by now.
    """

    @abc.abstractmethod
    async def read_copies(self, keys: Sequence[str]) -> Mapping[str, Copy[T]]:
        """Return the entries of those keys that have one, as `read` does, with where they come from."""

    @abc.abstractmethod
    async def write_copies(
        self,
        writes: Sequence[Write[T]],
        *,
        max_age_ms: int,
        confirmed_at_ms: int | None = None,
        announce: bool = False,
    ) -> None:
        """Store copies, each with the version it has below, for `max_age_ms` at most.

        They were confirmed at `confirmed_at_ms`, by default just now: what is copied late is as old as it is.
        With `announce`, every listener is told of each key and version, whether or not the copy was stored.
        """

    @abc.abstractmethod
    async def drop_copies(self, keys: Sequence[str]) -> None:
        """Remove those of the keys that are copies, whatever their version; what is its own stays."""

    @abc.abstractmethod
    def scan_own(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        """Yield what `scan` yields, without the copies."""

    @abc.abstractmethod
    async def listen(self, on_change: OnChange, on_lost: Callable[[], None]) -> Listener:
        """Tell of every key that is written from now on, by whichever process, as its version.

        `on_lost` is called when some may have been missed: when the connection is lost, and when it is back,
        before anything new is told. Both are called in the event loop that listens.
        """
