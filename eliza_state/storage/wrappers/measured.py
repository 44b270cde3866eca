"""Storages that count what is asked of them, and how long it takes.

>>> storage = measured(SqlStorage(url))
>>> storage.statistics.hit_rate
0.93
>>> storage.statistics.latencies["read"].p99_us
412.0
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeVar

import attrs

from eliza_state.storage.backend import GONE, Backend, Entry, Mark, Marks, Write, Written
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrapper import Encoded, Wrapper
from eliza_state.storage.wrappers.histogram import Histogram, Latency

T = TypeVar("T")
V = TypeVar("V")

_OPERATIONS: Final = ("read", "look", "write", "remove", "touch", "scan", "clear", "sweep", "flush")


@attrs.frozen
class Traffic:
    """How many bytes of values went through, as they are stored."""

    read_bytes: int
    written_bytes: int


@attrs.frozen
class Statistics:
    """What was asked of a storage since it was measured, or reset.

    `hits` and `misses` count keys that were read, `sets` and `deletes` keys that were. `errors` counts by
    the name of the exception's class; writes that lost a race are `StaleValue`, whether or not they were
    tried again. `traffic` is `None` where values are not kept as bytes. `latencies` are those of the
    backend, encoding included, by operation: `read`, `look` (that is `has`), `write`, `remove`, `touch`,
    `scan` (for each page), `clear`, `sweep`, `flush`; those that never ran are missing.
    """

    hits: int
    misses: int
    sets: int
    deletes: int
    errors: Mapping[str, int]
    traffic: Traffic | None
    latencies: Mapping[str, Latency]

    @property
    def hit_rate(self) -> float | None:
        """The share of reads that found something; `None` before the first."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else None


class _Tally:
    """The figures of a measured storage, while they grow."""

    def __init__(self, timer: Callable[[], int], *, counts_bytes: bool) -> None:
        self.timer = timer
        self._counts_bytes = counts_bytes
        self.reset()

    def reset(self) -> None:
        self.hits = self.misses = self.sets = self.deletes = 0
        self.read_bytes = self.written_bytes = 0
        self.errors: dict[str, int] = {}
        self.histograms = {operation: Histogram() for operation in _OPERATIONS}

    def fail(self, kind: type[BaseException]) -> None:
        self.errors[kind.__name__] = self.errors.get(kind.__name__, 0) + 1

    def statistics(self) -> Statistics:
        latencies = {
            name: histogram.latency for name, histogram in self.histograms.items() if histogram.count
        }
        return Statistics(
            hits=self.hits,
            misses=self.misses,
            sets=self.sets,
            deletes=self.deletes,
            errors=MappingProxyType(dict(self.errors)),
            traffic=Traffic(self.read_bytes, self.written_bytes) if self._counts_bytes else None,
            latencies=MappingProxyType(latencies),
        )


class _Timed:
    """Record how long a block takes, and its error if it raises one."""

    __slots__ = ("_operation", "_started", "_tally")

    def __init__(self, tally: _Tally, operation: str) -> None:
        self._tally = tally
        self._operation = operation

    def __enter__(self) -> Self:
        self._started = self._tally.timer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tally = self._tally
        tally.histograms[self._operation].add(tally.timer() - self._started)
        if kind is not None and issubclass(kind, Exception):
            tally.fail(kind)


class _Weighing(Wrapper[bytes]):
    """A backend that counts the bytes that go through it."""

    def __init__(self, inner: Backend[bytes], tally: _Tally) -> None:
        super().__init__(inner)
        self._tally = tally

    def at_hand(self, key: str) -> Entry[bytes] | None:
        entry = self.inner.at_hand(key)
        if entry is not None and entry.value is not GONE:
            self._tally.read_bytes += len(entry.value)
        return entry

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[bytes]]:
        found = await self.inner.read(keys)
        self._tally.read_bytes += sum(len(entry.value) for entry in found.values() if entry.value is not GONE)
        return found

    async def write(self, writes: Sequence[Write[bytes]]) -> Sequence[Written]:
        outcomes = await self.inner.write(writes)
        self._tally.written_bytes += sum(
            len(write.value)
            for write, outcome in zip(writes, outcomes, strict=True)
            if outcome.is_stored and write.value is not GONE
        )
        return outcomes


class _Measuring(Wrapper[T]):
    """A backend that counts what is asked of it."""

    def __init__(self, inner: Backend[T], tally: _Tally) -> None:
        super().__init__(inner)
        self._tally = tally

    def at_hand(self, key: str) -> Entry[T] | None:
        tally = self._tally
        started = tally.timer()
        try:
            entry = self.inner.at_hand(key)
        except Exception as error:
            tally.fail(type(error))
            raise
        if entry is None:
            return None  # says nothing: it is `read` that counts
        tally.histograms["read"].add(tally.timer() - started)
        # The clock is asked only where it matters, for this is the shortest way of all.
        if entry.is_live(0 if entry.deadline_ms is None else self.now_ms):
            tally.hits += 1
        else:
            tally.misses += 1
        return entry

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[T]]:
        with _Timed(self._tally, "read"):
            found = await self.inner.read(keys)
        now_ms = self.now_ms
        hits = sum(entry.is_live(now_ms) for entry in found.values())
        self._tally.hits += hits
        self._tally.misses += len(keys) - hits
        return found

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        with _Timed(self._tally, "look"):
            return await self.inner.look(keys)

    async def write(self, writes: Sequence[Write[T]]) -> Sequence[Written]:
        with _Timed(self._tally, "write"):
            outcomes = await self.inner.write(writes)
        for write, outcome in zip(writes, outcomes, strict=True):
            if not outcome.is_stored:
                if write.expected is not None:
                    self._tally.fail(StaleValue)
            elif write.value is GONE:
                self._tally.deletes += 1
            else:
                self._tally.sets += 1
        return outcomes

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        with _Timed(self._tally, "remove"):
            removed = await self.inner.remove(keys, dead_only=dead_only)
        self._tally.deletes += removed
        return removed

    async def touch(self, keys: Sequence[str]) -> set[str]:
        with _Timed(self._tally, "touch"):
            return await self.inner.touch(keys)

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        pages = self.inner.scan(space, prefix=prefix, nested=nested)
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(pages, AsyncGenerator):
                await stack.enter_async_context(contextlib.aclosing(pages))
            while True:
                with _Timed(self._tally, "scan"):
                    page = await anext(pages, None)
                if page is None:
                    return
                yield page

    async def clear(self, space: str) -> None:
        with _Timed(self._tally, "clear"):
            await self.inner.clear(space)

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        with _Timed(self._tally, "sweep"):
            return await self.inner.sweep(limit=limit)

    async def flush(self) -> None:
        with _Timed(self._tally, "flush"):
            await self.inner.flush()


class MeasuredStorage(Storage[V]):
    """The same storage, measured; its namespaces count together. Made by `measured`."""

    def __init__(self, storage: Storage[V], *, timer: Callable[[], int] = time.perf_counter_ns) -> None:
        backend: Backend[Any] = storage.backend
        self._tally = _Tally(timer, counts_bytes=isinstance(backend, Encoded))
        if isinstance(backend, Encoded):
            backend = Encoded(_Weighing(backend.inner, self._tally), backend.encoding)
        super().__init__(_Measuring(backend, self._tally), ttl_ms=storage._ttl_ms)
        self._space = storage._space
        self._owns_backend = storage._owns_backend

    @property
    def statistics(self) -> Statistics:
        """The figures at this moment."""
        return self._tally.statistics()

    def reset(self) -> None:
        """Begin anew at zero."""
        self._tally.reset()


def measured(storage: Storage[V], *, timer: Callable[[], int] = time.perf_counter_ns) -> MeasuredStorage[V]:
    """Return the same storage with `statistics`; what goes past it to the one that was given is not in them.

    `timer` gives nanoseconds. A storage that is not wrapped pays nothing. Bytes are counted where the
    outermost backend encodes: put other wrappers around the measured storage. Closing it closes the storage.
    """
    return MeasuredStorage(storage, timer=timer)
