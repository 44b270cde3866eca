"""What a layered store is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import attrs

from eliza_state.storage.backend import Backend
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.layered.cache_layer import CacheLayer
from eliza_state.storage.layered.front import Front
from eliza_state.storage.layered.layer import Layer
from eliza_state.storage.memory import MemoryBackend

V = TypeVar("V")


@attrs.frozen
class Layers(Generic[V]):
    """The layers of one store, from the top; values are written by `encoding` below memory.

    `front` holds copies, `own` the keys that live in this process only.
    """

    front: Front[V]
    own: MemoryBackend[V]
    caches: Sequence[CacheLayer]
    home: Layer[Backend[bytes]]
    archive: Layer[Backend[bytes]] | None
    encoding: Encoding[V]

    @property
    def owner(self) -> CacheLayer | None:
        """The cache that has keys of its own, if any: the one just above the home."""
        return self.caches[-1] if self.caches and self.caches[-1].keeps_own else None
