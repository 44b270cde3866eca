"""Immutable collections that share structure: logs, maps, sets and entities for state in reducers."""

from eliza_state.collections.chunk import TOMBSTONE, Chunk, LazyChunk, chunk_from_data, chunk_to_data
from eliza_state.collections.entities import Entities
from eliza_state.collections.log import CHUNK_SIZE, Log
from eliza_state.collections.map import Map
from eliza_state.collections.set import Set

__all__ = [
    "CHUNK_SIZE",
    "TOMBSTONE",
    "Chunk",
    "Entities",
    "LazyChunk",
    "Log",
    "Map",
    "Set",
    "chunk_from_data",
    "chunk_to_data",
]
