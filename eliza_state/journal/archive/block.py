"""A block: records of one archived scope, and the final states there, as one compressed piece of a file.

    magic (4 bytes) · length (4) · size of the content (4) · checksum of what follows (16)
    content, compressed with Zstandard (RFC 8878): MessagePack, an array of columns

Numbers are big-endian, the checksum is BLAKE2b (RFC 7693). Columns of one kind lie side by side, since they
compress better so; positions and times are told by their differences.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import attrs
import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from eliza_state.change import Record
from eliza_state.errors import InvalidPath
from eliza_state.path import Path

T = TypeVar("T")

SUM_BYTES: Final = 16
"""The length of a block's checksum."""

_MAGIC: Final = b"\x93ELB"
_PREFIX: Final = struct.Struct(f">4sII{SUM_BYTES}s")
_LEVEL: Final = 3


class Unreadable(ValueError):
    """It is no block, or one that was damaged; the message says how it shows."""


class _Columns(msgspec.Struct, array_like=True, frozen=True):
    """The content of a block; paths, events and writers are named once, columns tell their numbers."""

    epoch: str
    scope: str
    paths: list[str]
    events: list[tuple[str, int]]
    writers: list[str]
    position: list[int]
    path: list[int]
    version: list[int]
    event: list[int]
    key: list[bytes]
    payload: list[bytes]
    recorded_at_us: list[int]
    writer: list[int]
    cause: list[str | None]
    states: dict[str, bytes]


@attrs.frozen
class Block:
    """Records at and below a `scope` in the order of their positions, and final states by the scopes' text.

    A state is what who archived it has made of it; nothing here looks into it.
    """

    scope: Path
    records: Sequence[Record]
    states: Mapping[str, bytes] = attrs.Factory(dict[str, bytes])


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Columns).decode


def pack(block: Block, *, epoch: str) -> bytes:
    """Return the bytes of a block; `epoch` names the journal's life that it belongs to."""
    records = block.records
    paths = _numbered(record.path for record in records)
    events = _numbered((record.event, record.schema_version) for record in records)
    writers = _numbered(record.writer for record in records)
    content = _encode(
        _Columns(
            epoch=epoch,
            scope=block.scope.encode(),
            paths=[path.encode() for path in paths],
            events=list(events),
            writers=list(writers),
            position=_differences([record.position for record in records]),
            path=[paths[record.path] for record in records],
            version=[record.version for record in records],
            event=[events[record.event, record.schema_version] for record in records],
            key=[record.key for record in records],
            payload=[record.content for record in records],
            recorded_at_us=_differences([record.recorded_at_us for record in records]),
            writer=[writers[record.writer] for record in records],
            cause=[record.cause for record in records],
            states=dict(block.states),
        )
    )
    stored = zstd.compress(content, _LEVEL)
    return _PREFIX.pack(_MAGIC, len(stored), len(content), _sum(stored)) + stored


def unpack(packed: bytes, *, epoch: str) -> Block:
    """Return the block of these bytes. Raises `Unreadable`."""
    return _block(_columns(packed), epoch=epoch)


def checksum_of(packed: bytes) -> bytes:
    """Return the checksum that the bytes of a block carry."""
    _, _, _, checksum = _PREFIX.unpack_from(packed)
    found: bytes = checksum
    return found


def _columns(packed: bytes) -> _Columns:
    if len(packed) < _PREFIX.size:
        raise Unreadable(f"it has only {len(packed)} bytes")
    magic, length, size_bytes, checksum = _PREFIX.unpack_from(packed)
    stored = packed[_PREFIX.size :]
    if magic != _MAGIC:
        raise Unreadable("it does not begin as a block does")
    if len(stored) != length:
        raise Unreadable(f"it has {len(stored)} bytes after its beginning, not {length}")
    if _sum(stored) != checksum:
        raise Unreadable("its content does not match its checksum")
    try:
        content = zstd.ZstdDecompressor().decompress(stored, size_bytes + 1)
        if len(content) != size_bytes:
            raise Unreadable(f"its content does not have the {size_bytes} bytes that it says")
        return _decode(content)
    except (zstd.ZstdError, msgspec.MsgspecError) as error:
        raise Unreadable(f"its content cannot be read: {error}") from None


def _block(columns: _Columns, *, epoch: str) -> Block:
    if columns.epoch != epoch:
        raise Unreadable("it is of another store")
    try:
        paths = [Path.decode(text) for text in columns.paths]
        events = [columns.events[number] for number in columns.event]
        fields = zip(
            itertools.accumulate(columns.position),
            columns.key,
            [paths[number] for number in columns.path],
            columns.version,
            [name for name, _ in events],
            [version for _, version in events],
            columns.payload,
            itertools.accumulate(columns.recorded_at_us),
            [columns.writers[number] for number in columns.writer],
            columns.cause,
            strict=True,
        )
        records = [Record(*values) for values in fields]
        return Block(Path.decode(columns.scope), records, columns.states)
    except (IndexError, ValueError, InvalidPath) as error:
        raise Unreadable(f"its columns do not go together: {error}") from None


def _numbered(values: Iterable[T]) -> dict[T, int]:
    """Number different values in the order of their coming."""
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _differences(values: Sequence[int]) -> list[int]:
    return [value - before for before, value in itertools.pairwise((0, *values))]


def _sum(stored: bytes) -> bytes:
    return hashlib.blake2b(stored, digest_size=SUM_BYTES).digest()
