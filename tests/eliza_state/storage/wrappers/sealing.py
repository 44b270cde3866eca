"""Storages that encrypt what they keep in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eliza_state.storage import Storage
from eliza_state.storage.wrappers.encryption import Encryption
from tests.eliza_state.storage.kept import Kept, storage_over

OLD = b"o" * 32
NEW = b"n" * 32
BOTH = {"old": OLD, "new": NEW}


def sealed_by(kept: Kept, keys: Mapping[str, bytes], **options: Any) -> Storage[Any]:
    return storage_over(kept, Encryption(keys, **options))


async def values(storage: Storage[Any]) -> dict[str, Any]:
    return {key: value async for key, value in storage.entries()}
