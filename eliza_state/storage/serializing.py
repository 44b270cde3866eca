"""Serializers by name, which know the persistent collections."""

from __future__ import annotations

from functools import cache

from eliza_serializers import Seal, Serializer, registry
from eliza_state.codec import register_collections


def serializer_named(name: str, *, secrets: Seal | None = None) -> Serializer:
    """Return the serializer that is announced under a name, one for all storages: register nothing with it.

    With `secrets` it is one of its own that seals the contents of secrets. Raises `RegistryError` for a name
    that nobody announces.
    """
    return _shared(name) if secrets is None else _made(name, secrets)


def _made(name: str, secrets: Seal | None) -> Serializer:
    return register_collections(registry.serializer(name, secrets=secrets))


@cache
def _shared(name: str) -> Serializer:
    return _made(name, None)
