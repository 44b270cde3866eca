"""The contract that storages of others satisfy too: four methods, `close`, and optionally `touch`."""

from __future__ import annotations

from typing import Any, Protocol, TypeGuard, TypeVar, runtime_checkable

V_contra = TypeVar("V_contra", contravariant=True)


@runtime_checkable
class KVStorage(Protocol[V_contra]):
    """Keep values under text keys. Whatever has these methods is one; there is nothing to inherit.

    All methods are awaitable on every storage, so nobody asks whether one waits. A stored `None`, `0`, `""`
    or `False` is a value: a missing key is told apart by the default. Optional, where it is cheap:
    `keys()`, `values()` and `entries()`, asynchronous iterators.
    """

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default` if it was never set, was deleted or has expired."""
        ...

    async def set(self, key: str, value: V_contra) -> object:
        """Store a value, whether or not the key exists; one stored without a time to live stays."""
        ...

    async def delete(self, key: str) -> object:
        """Remove a key; a missing one is no error."""
        ...

    async def has(self, key: str) -> bool:
        """Tell whether a key exists, more cheaply than `get`."""
        ...

    async def close(self) -> None:
        """Release what the storage holds."""
        ...


@runtime_checkable
class TtlStorage(KVStorage[V_contra], Protocol[V_contra]):
    """A storage whose keys can live for a time that each access prolongs."""

    async def touch(self, key: str) -> object:
        """Roll a key's deadline on by its time to live without writing its value; no deadline: no effect."""
        ...


def is_ttl_storage(storage: KVStorage[V_contra]) -> TypeGuard[TtlStorage[V_contra]]:
    """Tell whether a storage has `touch`."""
    return callable(getattr(storage, "touch", None))
