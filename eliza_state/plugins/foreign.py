"""What a factory gives for a plugin, made a storage that can do what a plugin's state needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from eliza_state.clock import Clock
from eliza_state.plugins.changes import own
from eliza_state.storage import KVStorage, Storage
from eliza_state.storage.backend import Entry, Write, Written
from eliza_state.storage.wrapper import Wrapper
from eliza_state.storage.wrappers import enhance_storage

_METHODS: Final = ("get", "set", "delete", "has")


class Copied(Wrapper[Any]):
    """Values that nobody else holds: storages of others may keep and hand out the very objects."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[Any]]:
        found = await super().read(keys)
        return {key: entry._replace(value=own(entry.value)) for key, entry in found.items()}

    async def write(self, writes: Sequence[Write[Any]]) -> Sequence[Written]:
        return await super().write([write._replace(value=own(write.value)) for write in writes])


def from_factory(made: Storage[Any] | KVStorage[Any], plugin: str, *, clock: Clock) -> Storage[Any]:
    """Return what a factory made as a storage; one of others keeps its values in envelopes, with deadlines.

    Raises `TypeError` for what has not the four methods of one.
    """
    if isinstance(made, Storage):
        return made
    if missing := [name for name in _METHODS if not callable(getattr(made, name, None))]:
        raise TypeError(
            f"the factory gave plugin {plugin!r} no storage: {type(made).__name__} has no"
            f" {', '.join(missing)}; return None for the one that all share"
        )
    return enhance_storage(made, migrations={}, clock=clock).around(Copied)
