"""The plugins of one store, each with keys of its own.

>>> async with Plugins.in_database("sqlite:///state.db") as plugins:
...     await plugins["trader"].set("position", {"side": "long"})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from eliza_serializers import Seal, Serializer
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.plugins.access import Keyspace
from eliza_state.plugins.container import PluginState, plain
from eliza_state.problems import Problems
from eliza_state.storage import KVStorage, MemoryStorage, Storage
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.errors import InvalidKey, Unsupported
from eliza_state.storage.keys import check_name, names_of, space_of, split_key
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.serializing import serializer_named
from eliza_state.storage.table import Table
from eliza_state.storage.wrapper import Encoded

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

StateFactory: TypeAlias = Callable[[str], Storage[Any] | KVStorage[Any] | None]
"""Gives the plugin of a name a storage of its own; `None`: the one that all share."""

_SPACE: Final = "plugin"


class Plugins:
    """Give each plugin its state: `plugins["name"]`, always the same object.

    A plugin's keys lie in a namespace of `storage`, or of the storage that `state_factory` gives for its
    name, which is asked once, when the plugin is first named. Anything with `get`, `set`, `delete` and `has`
    is a storage (`eliza_state.storage.contract`). Closing closes what the factory made, but a namespace
    (`storage.namespace(…)`), which is how it lends a storage of the application's; `storage` itself stays
    open. What receivers raise is reported to `problems`. Belongs to one event loop while somebody listens.
    """

    def __init__(
        self,
        storage: Storage[Any],
        *,
        state_factory: StateFactory | None = None,
        problems: Problems | None = None,
    ) -> None:
        self.problems = Problems() if problems is None else problems
        """What went wrong without stopping a plugin."""
        self._storage = storage
        self._state_factory = state_factory
        self._keyspaces: dict[str, Keyspace] = {}
        self._containers: dict[str, PluginState] = {}
        self._own: set[str] = set()
        self._closing = AsyncExitStack()
        self._is_closed = False

    @classmethod
    def in_database(  # noqa: PLR0913  # keyword-only, and nearly all of them the storage's
        cls,
        url: str | URL | Engine = "memory://",
        *,
        table: str = "plugin_state",
        state_factory: StateFactory | None = None,
        serializer: Serializer | str = "json",
        secret_keys: Seal | None = None,
        transforms: Sequence[Transform] = (),
        sweep_interval_ms: float | None = None,
        read_only: bool = False,
        problems: Problems | None = None,
        clock: Clock = now_us,
    ) -> Self:
        """Keep the state in a table of a database, which several processes may share.

        `url` is what `SqlStorage` takes, which explains the rest, or `memory://`, which has no table and
        needs no sweeping. For more options open the storage yourself: `Plugins(SqlStorage(…))`. Opening
        connects, and blocks meanwhile; raises what `SqlStorage` raises. With `secret_keys`, the contents of
        secrets are sealed, by a serializer that is named; one that is given has keys of its own, so that
        both raise `ValueError`.
        """
        if secret_keys is not None:
            if not isinstance(serializer, str):
                raise ValueError("expected secret_keys with the name of a serializer, got one that is made")
            serializer = serializer_named(serializer, secrets=secret_keys)
        storage: Storage[Any]
        if str(url).startswith("memory:"):
            storage = _memory(serializer, transforms, clock)
        else:
            # A manager opens its plugins when they are asked for: one that has none does without a database.
            from eliza_state.storage.sql import SqlStorage  # noqa: PLC0415

            storage = SqlStorage(
                url,
                table=table,
                serializer=serializer,
                transforms=transforms,
                sweep_interval_ms=sweep_interval_ms,
                read_only=read_only,
                clock=clock,
            )
        plugins = cls(storage, state_factory=state_factory, problems=problems)
        plugins._closing.push_async_callback(storage.close)
        return plugins

    def __getitem__(self, name: str) -> PluginState:
        """Return the state of a plugin; `InvalidKey` for a name that no key may have."""
        container = self._containers.get(name) if type(name) is str else None
        return self._open(name) if container is None else container

    def _open(self, name: str) -> PluginState:
        try:
            name = check_name(plain(name))
        except InvalidKey as error:
            raise InvalidKey(f"a plugin's name is one that a key may have: {error}") from None
        if name not in self._containers:
            if self._is_closed:
                raise StoreError("the plugins are closed; make new ones")
            self._keyspaces[name] = Keyspace(name, self._storage_of(name), problems=self.problems)
            self._containers[name] = PluginState(self._keyspaces[name])
        return self._containers[name]

    def _storage_of(self, name: str) -> Storage[Any]:
        made = None if self._state_factory is None else self._state_factory(name)
        if made is None or made is self._storage:
            return self._storage.namespace(_SPACE, name)
        # Only where an application has storages of its own.
        from eliza_state.plugins.foreign import from_factory  # noqa: PLC0415

        storage = from_factory(made, name, clock=self._storage.backend.clock)
        self._own.add(name)
        if callable(getattr(made, "close", None)):
            self._closing.push_async_callback(storage.close)
        return storage.namespace(_SPACE, name)

    def storages(self) -> Mapping[str, Storage[Any]]:
        """Return the storage that plugins share, by an empty name, and those that some have of their own."""
        own = {name: self._keyspaces[name].storage for name in self._own if name in self._keyspaces}
        return {"": self._storage, **own}

    async def names(self) -> list[str]:
        """Return the names of the plugins that have keys, in order; all keys are looked over for it.

        A plugin with a storage of its own is listed if it was named here and its storage can list keys.
        """
        names = await _names_below(self._storage.namespace(_SPACE))
        for name in tuple(self._own):
            if await _has_keys(self._keyspaces[name].storage):
                names.add(name)
        return sorted(names)

    async def purge(self, name: str) -> int:
        """Remove everything that a plugin has stored, readable or not; return how many keys there were.

        Expired ones that were still there count. Listeners are not told. Also goes what lies in the shared
        storage of a plugin that has its own by now. Raises `Unsupported` where its storage cannot list keys.
        """
        keyspace = self._keyspaces[self[name].name]
        purged = await _clear(self._storage.namespace(_SPACE, keyspace.plugin))
        if keyspace.plugin in self._own:
            purged += await _clear(keyspace.storage)
        return purged

    async def settled(self) -> None:
        """Wait until every coroutine receiver has taken what was written so far."""
        for keyspace in tuple(self._keyspaces.values()):
            await keyspace.settled()

    async def close(self) -> None:
        """End all listeners and close the storages that were opened for the plugins; twice does nothing."""
        self._is_closed = True
        for keyspace in self._keyspaces.values():
            await keyspace.close()
        await self._closing.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _memory(serializer: Serializer | str, transforms: Sequence[Transform], clock: Clock) -> Storage[Any]:
    if not transforms:
        return MemoryStorage(serializer=serializer, clock=clock)
    encoding = Encoding[Any](serializer=serializer, transforms=transforms)
    return Storage(Encoded(MemoryBackend[bytes](Table(), encoding=None, clock=clock), encoding))


async def _names_below(storage: Storage[Any]) -> set[str]:
    space, depth = space_of(*storage.names), len(storage.names)
    names: set[str] = set()
    async for page in storage.backend.scan(space, nested=True):
        now_ms = storage.backend.now_ms
        spaces = {split_key(full)[0] for full, mark in page if mark.is_live(now_ms)}
        names.update(names_of(below)[depth] for below in spaces if below != space)
    return names


async def _has_keys(storage: Storage[Any]) -> bool:
    try:
        async for _ in storage.keys():
            return True
    except Unsupported:
        pass
    return False


async def _clear(storage: Storage[Any]) -> int:
    space = space_of(*storage.names)
    pages = storage.backend.scan(space, nested=True)
    count = sum([sum(not mark.is_gone for _, mark in page) async for page in pages])
    await storage.clear()
    return count
