"""What lies in the storage of snapshots beside a database, to look at it and to change it unseen."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable

import msgspec

from eliza_state.snapshot_source import SnapshotSource
from eliza_state.snapshot_store import _FORMAT, _HEAD_BYTES, _Slot
from eliza_state.snapshots import digest_of
from eliza_state.storage import Storage
from eliza_state.storage.backend import Write

SLOT = "space NOT LIKE '%/chunk/'"
CHUNK = "space LIKE '%/chunk/'"


def database_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def change_rows(url: str, statement: str) -> int:
    """Change the table of the storage; return how many rows changed."""
    with contextlib.closing(sqlite3.connect(f"{database_of(url)}-snapshots")) as connection, connection:
        return connection.execute(statement.replace("TABLE", "eliza_state_kv")).rowcount


@contextlib.asynccontextmanager
async def storage_of(url: str) -> AsyncIterator[Storage[bytes]]:
    storage = SnapshotSource(place=True, database=database_of(url)).open(create=True)
    assert storage is not None
    async with storage:
        yield storage


async def stored(url: str) -> tuple[set[str], set[str]]:
    """Return the full keys of the snapshots and of the chunks that are stored."""
    async with storage_of(url) as storage:
        keys = {key async for page in storage.backend.scan("", nested=True) for key, _ in page}
    chunks = {key for key in keys if "/chunk/" in key}
    return keys - chunks, chunks


def changed_slot(content: bytes, change: Callable[[_Slot], _Slot]) -> bytes:
    """Return what a slot holds with another content and the checksum of that."""
    slot = msgspec.msgpack.decode(content[_HEAD_BYTES:], type=_Slot)
    body = msgspec.msgpack.encode(change(slot))
    return _FORMAT + digest_of(body) + body


async def rewrite(url: str, change: Callable[[bytes], bytes], *, newest_only: bool = False) -> int:
    """Write other contents over all snapshots, or the newest of each scope; return how many changed."""
    slots, _ = await stored(url)
    async with storage_of(url) as storage:
        entries = await storage.backend.read(sorted(slots))
        newest = {key.rpartition("/")[0]: "" for key in entries}
        for key, entry in entries.items():
            scope = key.rpartition("/")[0]
            if not newest[scope] or position(entry.value) > position(entries[newest[scope]].value):
                newest[scope] = key
        keys = newest.values() if newest_only else entries
        writes = [Write(key, change(entries[key].value)) for key in keys]
        await storage.backend.write(writes)
    return len(writes)


def position(content: bytes) -> int:
    return msgspec.msgpack.decode(content[_HEAD_BYTES:], type=_Slot).snapshot.position


async def forget(url: str) -> None:
    """Remove all snapshots and chunks."""
    async with storage_of(url) as storage:
        await storage.clear()
