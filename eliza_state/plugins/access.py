"""What lies within the objects that plugins hold: the keys of one plugin, all of them or a shared part."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from eliza_state.errors import StateError
from eliza_state.plugins.changes import KeyChange, Listeners, own
from eliza_state.problems import Problems
from eliza_state.storage import Storage
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import DamagedValue, FutureValue, MigrationFailed
from eliza_state.storage.keys import escaped_prefix
from eliza_state.storage.storage import UNSET, TimeToLive

T = TypeVar("T")

_UNREADABLE: Final = (DamagedValue, FutureValue, MigrationFailed)

Outcome: TypeAlias = tuple[T, KeyChange | None]
"""What the caller of a write gets, and what listeners are told, if anything."""


class NotShared(StateError, PermissionError):
    """The key is not in the shared part, it is shared for reading alone, or sharing was revoked."""


class Keyspace:
    """The keys of one plugin.

    While somebody listens, the writes of one key take place one after the other, so that each change begins
    with what the one before ended with; without listeners nothing is read or copied for them.
    """

    def __init__(self, plugin: str, storage: Storage[Any], *, problems: Problems) -> None:
        self.plugin = plugin
        self.storage = storage
        self.listeners = Listeners(plugin, problems=problems)
        # The storage's own: a coroutine around it would take as long as many a value from memory.
        self.get: Callable[[str, Any], Coroutine[Any, Any, Any]] = storage.get
        self.has: Callable[[str], Coroutine[Any, Any, bool]] = storage.has
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._writes: set[asyncio.Task[Any]] = set()

    async def keys(self, prefix: str) -> list[str]:
        return sorted([key async for key in self.storage.keys(prefix=prefix)])

    async def set(self, key: str, value: Any, ttl_ms: TimeToLive = UNSET) -> None:
        if value is GONE:
            raise TypeError("GONE is no value: delete the key")
        if self.listeners.is_heard:
            await self._told(key, partial(self._set, key, own(value), ttl_ms))
        else:
            await self.storage.set(key, value, ttl_ms=ttl_ms)

    async def _set(self, key: str, value: Any, ttl_ms: TimeToLive) -> Outcome[None]:
        before = await self._before(key)
        await self.storage.set(key, value, ttl_ms=ttl_ms)
        return None, KeyChange(key, "set", before, value)

    async def delete(self, key: str) -> bool:
        if self.listeners.is_heard:
            return await self._told(key, partial(self._delete, key))
        return await self.storage.delete(key)

    async def _delete(self, key: str) -> Outcome[bool]:
        before = await self._before(key)
        existed = await self.storage.delete(key)
        return existed, KeyChange(key, "deleted", before, GONE) if existed else None

    async def update(self, key: str, function: Callable[[Any], Any], default: Any) -> Any:
        if self.listeners.is_heard:
            return await self._told(key, partial(self._update, key, function, default))
        return await self.storage.update(key, function, default=default)

    async def _update(self, key: str, function: Callable[[Any], Any], default: Any) -> Outcome[Any]:
        change: KeyChange | None = None

        def watched(value: Any) -> Any:
            nonlocal change
            change = None
            before = own(value)
            given = default if value is GONE else value
            after = function(given)
            if after is value or (value is GONE and after is given is None):
                return value  # nothing is to be written
            after = own(after)
            change = KeyChange(key, "deleted" if after is GONE else "set", before, after)
            return after

        after = await self.storage.update(key, watched, default=GONE)
        return own(after), change

    async def _before(self, key: str) -> Any:
        try:
            return await self.storage.get(key, GONE)
        except _UNREADABLE as error:  # such a value may still be overwritten and deleted
            self.listeners.report("value", f"a change is told without what was before it: {error}", error)
            return GONE

    async def _told(self, key: str, write: Callable[[], Awaitable[Outcome[T]]]) -> T:
        # A caller that is cancelled cancels its wait, not the write; who listens must hear of that.
        task = asyncio.get_running_loop().create_task(self._in_order(key, write))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _in_order(self, key: str, write: Callable[[], Awaitable[Outcome[T]]]) -> T:
        async with self._locks.setdefault(key, asyncio.Lock()):
            result, change = await write()
            if change is not None:
                self.listeners.publish(change)
            return result

    async def settled(self) -> None:
        """Wait until the writes under way have been told and every coroutine receiver has taken them."""
        if self._writes:
            await asyncio.wait(self._writes)
        await self.listeners.settled()

    async def close(self) -> None:
        """Wait for the writes under way, then end the listeners."""
        if self._writes:
            await asyncio.wait(self._writes)
        self.listeners.close()


class Grant:
    """The part of a plugin's keys that was handed to another, until it is revoked."""

    def __init__(self, keyspace: Keyspace, *, prefix: str, writable: bool) -> None:
        escaped_prefix(prefix)  # raises for one that no key can have
        self.plugin = keyspace.plugin
        self.prefix = prefix
        self.writable = writable
        self._keyspace: Keyspace | None = keyspace

    @property
    def is_revoked(self) -> bool:
        return self._keyspace is None

    def revoke(self) -> None:
        self._keyspace = None

    def _reading(self, key: str) -> Keyspace:
        if self._keyspace is None:
            raise NotShared(f"plugin {self.plugin!r} has revoked its share of {self.prefix!r}")
        if not key.startswith(self.prefix):
            raise NotShared(f"plugin {self.plugin!r} shares keys from {self.prefix!r} on, not {key!r}")
        return self._keyspace

    def _writing(self, key: str) -> Keyspace:
        keyspace = self._reading(key)
        if not self.writable:
            raise NotShared(f"plugin {self.plugin!r} shares {self.prefix!r} for reading alone")
        return keyspace

    async def get(self, key: str, default: Any) -> Any:
        return await self._reading(key).get(key, default)

    async def has(self, key: str) -> bool:
        return await self._reading(key).has(key)

    async def keys(self, prefix: str) -> list[str]:
        # The longer of the two, if it starts with the other.
        if self.prefix.startswith(prefix):
            prefix = self.prefix
        return await self._reading(prefix).keys(prefix)

    async def set(self, key: str, value: Any, ttl_ms: TimeToLive = UNSET) -> None:
        await self._writing(key).set(key, value, ttl_ms)

    async def delete(self, key: str) -> bool:
        return await self._writing(key).delete(key)

    async def update(self, key: str, function: Callable[[Any], Any], default: Any) -> Any:
        return await self._writing(key).update(key, function, default)
