"""The face of every storage: keys and values, times to live, versions, namespaces.

>>> storage = MemoryStorage[int]()
>>> cooldowns = storage.namespace("plugin", "trader")
>>> await cooldowns.set("last", 7, ttl_ms=60_000)
>>> await cooldowns.update("last", lambda value: value + 1)
8
"""

from __future__ import annotations

import asyncio
import copy
import enum
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypeVar

from eliza_state.storage.backend import GONE, Backend, Entry, Gone, Mark, Marks, Write, Written
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.expiry import check_ttl
from eliza_state.storage.keys import escaped_prefix, full_key, name_of, names_of, space_of

V = TypeVar("V")
D = TypeVar("D")

TOMBSTONE_MS: Final = 60_000
"""How long a deletion is remembered where it must be."""
_PATIENT_ATTEMPTS: Final = 3
_LONGEST_PAUSE_S: Final = 0.05


class Unset(enum.Enum):
    UNSET = "unset"


UNSET: Final = Unset.UNSET

TimeToLive: TypeAlias = float | Literal[Unset.UNSET] | None
"""Milliseconds; `None` for ever; not given: what the storage or the entry has."""


class Storage(Generic[V]):
    """Keep values under text keys in a backend.

    A key is any non-empty Unicode text of at most 512 bytes in UTF-8; others raise `InvalidKey`. Times to
    live are in milliseconds; zero, negative, undefined and absurd ones raise `ValueError`. A key past its
    deadline does not exist for any method. `ttl_ms` is the default for what is set here.
    What the backend cannot do raises `StoreError`.
    """

    def __init__(self, backend: Backend[V], *, ttl_ms: float | None = None) -> None:
        self._backend = backend
        self._ttl_ms = check_ttl(ttl_ms)
        self._space = ""
        self._owns_backend = True

    @property
    def backend(self) -> Backend[V]:
        """Where the entries lie."""
        return self._backend

    @property
    def names(self) -> tuple[str, ...]:
        """The names of this namespace, outermost first; empty for the whole storage."""
        return names_of(self._space)

    def namespace(self, *names: str) -> Self:
        """Return the same storage seen from a namespace below this one: its keys are its own.

        Namespaces nest. The whole storage closes the backend; closing a namespace does nothing.
        """
        view = copy.copy(self)
        view._space += space_of(*names)
        view._owns_backend = False
        return view

    def around(self, wrap: Callable[[Backend[V]], Backend[V]]) -> Self:
        """Return the same storage, namespace and defaults over a backend that is put around this one's."""
        view = copy.copy(self)
        view._backend = wrap(self._backend)
        return view

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._backend.name}{''.join(f'/{name!r}' for name in self.names)}>"

    # one key

    async def get(self, key: str, default: D | None = None) -> V | D | None:
        """Return the value of a key, or `default` if it does not exist."""
        # A key without these two is its own escaped form as far as a look-up goes: no full key holds what
        # else would be escaped.
        is_plain = type(key) is str and "/" not in key and "%" not in key
        entry = self._backend.at_hand(self._space + key) if is_plain else None
        if entry is None:
            full = full_key(self._space, key)
            entry = (await self._backend.read((full,))).get(full)
            if entry is None:
                return default
        if entry.value is GONE:
            return default
        if entry.deadline_ms is not None and entry.deadline_ms <= self._backend.now_ms:
            return default
        return entry.value

    async def entry(self, key: str) -> Entry[V] | None:
        """Return value, version and times of a key; `None` if it does not exist."""
        full = full_key(self._space, key)
        return (await self._live((full,))).get(full)

    async def mark(self, key: str) -> Mark | None:
        """Return version and times of a key without its value; `None` if it does not exist."""
        full = full_key(self._space, key)
        mark = (await self._backend.look((full,))).get(full)
        return mark if mark is not None and mark.is_live(self._backend.now_ms) else None

    async def has(self, key: str) -> bool:
        """Tell whether a key exists."""
        return await self.mark(key) is not None

    async def set(
        self,
        key: str,
        value: V,
        *,
        ttl_ms: TimeToLive = UNSET,
        expected_version: int | None = None,
    ) -> int:
        """Store a value and return its version, a number that grows with every write of the key.

        It lives for `ttl_ms`, for the storage's default if that is not given, for ever with `None`.
        With `expected_version` it is stored only if the key is at that version, 0 meaning that it does not
        exist; else `StaleValue` is raised.
        """
        write = self._write(key, value, ttl_ms, expected_version)
        written = (await self._backend.write((write,)))[0]
        return self._version(key, write, written)

    def _write(
        self,
        key: str,
        value: V,
        ttl_ms: TimeToLive = UNSET,
        expected: int | None = None,
    ) -> Write[V]:
        if value is GONE:
            raise TypeError("GONE is no value: use `delete`, or return it from the function of an `update`")
        ttl = self._ttl_ms if ttl_ms is UNSET else check_ttl(ttl_ms)
        deadline_ms = None if ttl is None else self._backend.now_ms + ttl
        return Write(full_key(self._space, key), value, deadline_ms, ttl, expected)

    async def _newest(self, full: str) -> Entry[V] | None:
        return (await self._live((full,))).get(full)

    def _version(self, key: str, write: Write[Any], written: Written) -> int:
        if not written.is_stored and write.expected is not None:
            raise StaleValue(key, expected=write.expected, actual=written.version)
        return written.version

    async def delete(self, key: str, *, expected_version: int | None = None) -> bool:
        """Remove a key and tell whether it existed.

        With `expected_version` it is removed only if it is at that version; else `StaleValue` is raised.
        """
        full = full_key(self._space, key)
        if expected_version is None:
            return await self._backend.remove((full,)) > 0
        await self._write_tombstone(key, full, expected_version)
        return expected_version > 0

    async def _write_tombstone(self, key: str, full: str, expected: int) -> None:
        write = Write[V](full, GONE, self._backend.now_ms + TOMBSTONE_MS, TOMBSTONE_MS, expected)
        self._version(key, write, (await self._backend.write((write,)))[0])

    async def touch(self, key: str) -> bool:
        """Roll a key's deadline on by its time to live, and tell whether the key exists."""
        return bool(await self._backend.touch((full_key(self._space, key),)))

    async def update(
        self,
        key: str,
        function: Callable[[Any], V | Literal[Gone.GONE]],
        *,
        default: Any = None,
        ttl_ms: TimeToLive = UNSET,
    ) -> V | None:
        """Replace a value by a function of itself, and return the new one; no update is lost.

        `function` gets the value, or `default` if there is none. It may run several times: it is run again
        when somebody else wrote in between. Returning the very object that it got writes nothing, unless that
        is a default; returning `GONE` deletes the key, and the answer is `None`. The deadline stays as it is
        unless `ttl_ms` is given.
        """
        full = full_key(self._space, key)
        attempt = 0
        while True:
            entry = await self._newest(full)
            before: V | None = default if entry is None else entry.live_value
            after = function(before)
            if after is before and (entry is not None or after is None):
                return before
            try:
                return await self._replace(key, full, entry, after, ttl_ms)
            except StaleValue:
                attempt += 1
                await _pause(attempt)

    async def _replace(
        self,
        key: str,
        full: str,
        entry: Entry[V] | None,
        after: V | Literal[Gone.GONE],
        ttl_ms: TimeToLive,
    ) -> V | None:
        expected = 0 if entry is None else entry.version
        if after is GONE:
            if entry is not None:
                await self._write_tombstone(key, full, expected)
            return None
        write = self._write(key, after, ttl_ms, expected)
        if entry is not None and ttl_ms is UNSET:
            write = write._replace(deadline_ms=entry.deadline_ms, ttl_ms=entry.ttl_ms, keeps_deadline=True)
        self._version(key, write, (await self._backend.write((write,)))[0])
        return after

    # many keys

    async def get_many(self, keys: Iterable[str]) -> dict[str, V]:
        """Return the values of those keys that exist."""
        fulls = {full_key(self._space, key): key for key in keys}
        found = await self._live(tuple(fulls))
        return {key: found[full].live_value for full, key in fulls.items() if full in found}

    async def has_many(self, keys: Iterable[str]) -> AbstractSet[str]:
        """Return those of the keys that exist."""
        fulls = {full_key(self._space, key): key for key in keys}
        found = await self._backend.look(tuple(fulls))
        now_ms = self._backend.now_ms
        return {fulls[full] for full, mark in found.items() if mark.is_live(now_ms)}

    async def set_many(self, values: Mapping[str, V], *, ttl_ms: TimeToLive = UNSET) -> None:
        """Store several values; atomic for each key, and where the backend has transactions for all."""
        if writes := [self._write(key, value, ttl_ms) for key, value in values.items()]:
            await self._backend.write(writes)

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove several keys and return how many of them existed."""
        return await self._backend.remove(list(dict.fromkeys(full_key(self._space, key) for key in keys)))

    async def _live(self, fulls: Sequence[str]) -> dict[str, Entry[V]]:
        found = await self._backend.read(fulls)
        now_ms = self._backend.now_ms
        return {full: entry for full, entry in found.items() if entry.is_live(now_ms)}

    # all keys

    async def keys(self, *, prefix: str = "") -> AsyncIterator[str]:
        """Yield the keys of this namespace that start with `prefix`, those of namespaces below left out."""
        async for page in self._pages(prefix):
            for full in page:
                yield name_of(full)

    async def values(self, *, prefix: str = "") -> AsyncIterator[V]:
        """Yield the values of this namespace, in no particular order."""
        async for _, value in self.entries(prefix=prefix):
            yield value

    async def entries(self, *, prefix: str = "") -> AsyncIterator[tuple[str, V]]:
        """Yield the keys of this namespace with their values, in no particular order."""
        async for page in self._pages(prefix):
            found = await self._live(page)
            for full, entry in found.items():
                yield name_of(full), entry.live_value

    async def _pages(self, prefix: str) -> AsyncIterator[list[str]]:
        async for page in self._backend.scan(self._space, prefix=escaped_prefix(prefix)):
            yield live_keys(page, now_ms=self._backend.now_ms)

    async def clear(self) -> None:
        """Remove every key of this namespace and of those below it, and no other."""
        await self._backend.clear(self._space)

    # the storage

    async def sweep(self) -> int:
        """Remove what is past its deadline from the whole storage; return how many entries went."""
        swept = 0
        while keys := await self._backend.sweep():
            swept += len(keys)
        return swept

    async def flush(self) -> None:
        """Write what is held back."""
        await self._backend.flush()

    async def close(self) -> None:
        """Write what is held back and release what is held; twice does nothing."""
        if self._owns_backend:
            await self._backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def live_keys(page: Marks, *, now_ms: int) -> list[str]:
    """Return the keys of a page that exist."""
    return [key for key, mark in page if mark.is_live(now_ms)]


async def _pause(attempt: int) -> None:
    """Let others finish: at once for the first attempts, then for a random while that grows."""
    if attempt <= _PATIENT_ATTEMPTS:
        await asyncio.sleep(0)
    else:
        longest_s = min(_LONGEST_PAUSE_S, 0.001 * 2 ** (attempt - _PATIENT_ATTEMPTS))
        await asyncio.sleep(random.uniform(0, longest_s))  # noqa: S311  # spreads writers, keeps no secret
