"""Keys and values that stay: one contract over memory, files, SQL, Redis and an archive, in layers."""

from eliza_state.storage.contract import KVStorage, TtlStorage, is_ttl_storage
from eliza_state.storage.memory import LruMemoryStorage, MemoryStorage
from eliza_state.storage.storage import Storage

__all__ = [
    "KVStorage",
    "LruMemoryStorage",
    "MemoryStorage",
    "Storage",
    "TtlStorage",
    "is_ttl_storage",
]
