"""What a journal's schema is called by on its server: the numbers of locks, and the channel of notices."""

from __future__ import annotations

import hashlib


def lock_key(purpose: str, schema: str) -> int:
    """Return the number of a lock; those of PostgreSQL have 64 bits, in each database its own."""
    digest = hashlib.blake2b(f"eliza_state {purpose} {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def channel_of(schema: str) -> str:
    """Return the channel on which appends are told; its name has room for less than a schema's."""
    return f"eliza_state_{lock_key('feed', schema) % 2**64:016x}"
