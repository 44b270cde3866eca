"""The storages that snapshots lie in: beside the journal's file, on its server, or in layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import URL

from eliza_state.storage import Storage
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.layered import LayeredStore, MemoryLimits
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.wrappers import Compression

_TABLE: Final = "snapshot"
# A stale snapshot is not wrong, only a little older: copies in caches are of use for long.
_COPIES_LAST_MS: Final = 24 * 60 * 60 * 1_000
# What is loaded is held as states.
_NO_MEMORY: Final = MemoryLimits(max_entries=0)


def in_layers(urls: Sequence[str]) -> Storage[bytes]:
    """Open layers, from the top; raises what `LayeredStore` raises."""
    encoding = Encoding[bytes](serializer="msgpack", transforms=[Compression()])
    return LayeredStore(*urls, memory=_NO_MEMORY, encoding=encoding, max_age_ms=_COPIES_LAST_MS)


def on_server(server: URL, *, read_only: bool) -> Storage[bytes]:
    """Open the table in the schema of a store on a server; raises what `SqlStorage` raises."""
    return SqlStorage(
        server,
        table=_TABLE,
        serializer="msgpack",
        transforms=[Compression()],
        read_only=read_only,
        readers=1,
    )


def in_file(file: str, *, read_only: bool) -> Storage[bytes]:
    """Open a SQLite file; raises what `SqlStorage` raises."""
    return SqlStorage(
        URL.create("sqlite", database=file),
        serializer="msgpack",
        transforms=[Compression()],
        synchronous="NORMAL",  # what a power cut takes is made again from the journal
        read_only=read_only,
    )
