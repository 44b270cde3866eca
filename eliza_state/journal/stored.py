"""Snapshots and their chunks in the SQL journal's tables.

Bodies and chunks are compressed: they repeat texts that the records hold already, and zlib at its lowest
level takes two thirds off such JSON for a few milliseconds a megabyte.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
from sqlalchemy import Connection, delete, insert, select

from eliza_state.journal import schema
from eliza_state.journal.contract import DIGEST_BYTES, ChunkMissing, SliceSnapshot, digest_of

_KEPT: Final = 2
_LEVEL: Final = 1
_DIGESTS_A_QUERY: Final = 500


def load_snapshots(connection: Connection, path_id: int, *, until: int) -> list[SliceSnapshot]:
    """Return a scope's snapshots up to a position, the newest first; a damaged one has an empty epoch."""
    table = schema.snapshot
    query = (
        select(
            table.c.module,
            table.c.module_version,
            table.c.position,
            table.c.version,
            table.c.record_key,
            table.c.epoch,
            table.c.body,
            table.c.chunks,
            table.c.checksum,
        )
        .where(table.c.path == path_id, table.c.position <= until)
        .order_by(table.c.position.desc())
    )
    return [_slice_snapshot(row) for row in connection.execute(query)]


def load_chunks(connection: Connection, path_id: int, digests: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return those of a scope's chunks that are there and not damaged, by digest."""
    found: dict[bytes, bytes] = {}
    for start in range(0, len(digests), _DIGESTS_A_QUERY):
        wanted = digests[start : start + _DIGESTS_A_QUERY]
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT digest, content FROM chunk WHERE path = ? AND digest IN ({marks})"  # noqa: S608
        for digest, content in connection.exec_driver_sql(query, (path_id, *wanted)):
            with contextlib.suppress(zlib.error, TypeError):
                unpacked = zlib.decompress(content)
                if digest_of(unpacked) == digest:
                    found[digest] = unpacked
    return found


def pack(contents: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return chunks as `save` takes them; done before the transaction, since it takes a while."""
    return {digest: zlib.compress(content, _LEVEL) for digest, content in contents}


def save(
    connection: Connection, path_id: int, slices: Sequence[SliceSnapshot], *, packed: Mapping[bytes, bytes]
) -> None:
    """Store snapshots of a scope's slices with their new chunks, and drop what they replace."""
    if packed:
        rows = [{"path": path_id, "digest": digest, "content": packed[digest]} for digest in packed]
        # Replaced if it is there: what is written again may have been damaged.
        connection.execute(insert(schema.chunk).prefix_with("OR REPLACE", dialect="sqlite"), rows)
    for found in slices:
        _replace_snapshot(connection, path_id, found)
    _check_chunks(connection, path_id, slices)


def _replace_snapshot(connection: Connection, path_id: int, found: SliceSnapshot) -> None:
    table = schema.snapshot
    of_slice = (table.c.path == path_id) & (table.c.module == found.module)
    positions = select(table.c.position).where(of_slice, table.c.position < found.position)
    older = connection.execute(positions.order_by(table.c.position.desc())).scalars().all()
    stale = [*older[_KEPT - 1 :], found.position]
    connection.execute(delete(table).where(of_slice, table.c.position.in_(stale)))
    connection.execute(
        insert(table).values(
            path=path_id,
            module=found.module,
            position=found.position,
            version=found.version,
            module_version=found.module_version,
            record_key=found.record_key,
            epoch=found.epoch,
            body=zlib.compress(found.body, _LEVEL),
            chunks=b"".join(found.chunks),
            checksum=_checksum(found),
        )
    )


def _check_chunks(connection: Connection, path_id: int, slices: Sequence[SliceSnapshot]) -> None:
    """Delete the scope's chunks that none of its snapshots names; all that `slices` name must be there."""
    digests = select(schema.chunk.c.digest).where(schema.chunk.c.path == path_id)
    stored = set(connection.execute(digests).scalars())
    missing = {digest for found in slices for digest in found.chunks} - stored
    if missing:
        raise ChunkMissing(f"{len(missing)} chunks that a snapshot names are not stored")
    table = schema.snapshot
    lists = connection.execute(select(table.c.chunks).where(table.c.path == path_id)).scalars()
    named = {digest for packed in lists if isinstance(packed, bytes) for digest in _digests(packed)}
    unnamed = [(path_id, digest) for digest in stored - named]
    if unnamed:
        connection.exec_driver_sql("DELETE FROM chunk WHERE path = ? AND digest = ?", unnamed)


def _slice_snapshot(row: Sequence[Any]) -> SliceSnapshot:
    module, module_version, position, version, record_key, epoch, body, packed, checksum = row
    found = SliceSnapshot(module, module_version, position, version, record_key, epoch, b"")
    try:
        found = attrs.evolve(found, body=zlib.decompress(body), chunks=tuple(_digests(packed)))
        is_whole = _checksum(found) == checksum
    except (zlib.error, TypeError):
        is_whole = False
    # A damaged snapshot matches no journal; whoever loads it sets it aside and says so.
    return found if is_whole else attrs.evolve(found, epoch="")


def _checksum(found: SliceSnapshot) -> int:
    numbers = f"{found.module}\0{found.module_version}\0{found.position}\0{found.version}\0{found.epoch}"
    return zlib.crc32(b"".join(found.chunks), zlib.crc32(found.body, zlib.crc32(numbers.encode())))


def _digests(packed: bytes) -> list[bytes]:
    return [packed[start : start + DIGEST_BYTES] for start in range(0, len(packed), DIGEST_BYTES)]
