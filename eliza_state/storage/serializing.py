"""Serializers by name, which know the persistent collections."""

from __future__ import annotations

from functools import cache

from eliza_serializers import Serializer, registry
from eliza_state.codec import register_collections


@cache
def serializer_named(name: str) -> Serializer:
    """Return the serializer that is announced under a name, one for all storages: register nothing with it.

    Raises `RegistryError` for a name that nobody announces.
    """
    return register_collections(registry.serializer(name))
