"""Storages in Redis or Valkey: one server, a Sentinel group or a Cluster."""

from eliza_state.storage.redis.storage import RedisBackend, RedisStorage

__all__ = ["RedisBackend", "RedisStorage"]
