"""What a dispatch yields: the record on the journal and the slices it changed."""

from __future__ import annotations

import datetime
import functools
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from eliza_state.codec import encode
from eliza_state.ids import decode_id
from eliza_state.path import Path
from eliza_state.tree import Transition

_HEADER = struct.Struct("<qqqi")
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


def to_datetime(at_us: int) -> datetime.datetime:
    """Return microseconds since 1970 as an aware datetime in UTC, exactly."""
    return _EPOCH + datetime.timedelta(microseconds=at_us)


def to_microseconds(at: datetime.datetime) -> int:
    """Return an aware datetime as microseconds since 1970, exactly."""
    return (at - _EPOCH) // datetime.timedelta(microseconds=1)


class Record(NamedTuple):
    """One event as it stands on the journal.

    A tuple rather than an attrs class, because every dispatch makes one and a frozen class costs three
    times as much to make. `position` counts all records of a journal from 1 (0: not on the journal, the
    event concerned volatile modules alone); `version` counts those addressed to `path`. `content` is the
    payload as JSON text in UTF-8, or the event itself where the journal never writes (`payload` is the
    text in both cases), and empty bytes once it was erased. `recorded_at_us` is the journal's own clock in
    microseconds since 1970.
    """

    position: int
    key: bytes
    path: Path
    version: int
    event: str
    schema_version: int
    content: Any
    recorded_at_us: int
    writer: str
    cause: str | None = None

    def __repr__(self) -> str:
        where = self.path.encode()
        return f"Record({self.event} at {where!r}, position={self.position}, version={self.version})"

    @property
    def id(self) -> str:
        """The id of the record: a UUID, or the text that the caller gave."""
        return decode_id(self.key)

    @property
    def payload(self) -> bytes:
        """The event's payload as JSON text in UTF-8."""
        content = self.content
        return content if isinstance(content, bytes) else encode(content)

    @property
    def is_erased(self) -> bool:
        """Whether the content was removed for good: no event's payload is empty."""
        return isinstance(self.content, bytes) and not self.content

    @property
    def recorded_at(self) -> datetime.datetime:
        """When the journal took the record, in UTC; never decreasing along positions."""
        return to_datetime(self.recorded_at_us)

    @property
    def checksum(self) -> int:
        """A CRC-32 over every field but the writer and the cause; it detects damage, not forgery."""
        return checksum_of(
            self.position,
            self.key,
            self.path,
            self.version,
            self.event,
            self.schema_version,
            self.payload,
            self.recorded_at_us,
        )


def checksum_of(
    position: int,
    key: bytes,
    path: Path,
    version: int,
    event: str,
    schema_version: int,
    payload: bytes,
    recorded_at_us: int,
) -> int:
    """Return the checksum of a record with these fields; see `Record.checksum`."""
    numbers = _HEADER.pack(position, version, recorded_at_us, schema_version)
    return zlib.crc32(payload, zlib.crc32(key, zlib.crc32(numbers, _names_checksum(path, event))))


@functools.lru_cache(maxsize=4_096)
def _names_checksum(path: Path, event: str) -> int:
    return zlib.crc32(f"{path.encode()}\0{event}\0".encode())


class SliceChange(NamedTuple):
    """One slice that a record changed: the scope, the slice's name, its state before and after."""

    path: Path
    module: str
    before: Any
    after: Any


class Change(NamedTuple):
    """What came of one event.

    `event` is the event's instance. `transitions` holds what it changed, the root's slices first: empty
    when it changed nothing, or when it was a `duplicate` of a record that the journal already had; `slices`
    gives the same with the paths of the scopes. `origin` tells whether this process wrote the record; it
    is `history` for one that was read from the journal (`StateManager.changes(after=…)`), of which nobody
    knows here what it changed.
    """

    record: Record
    event: Any
    transitions: Sequence[Transition] = ()
    duplicate: bool = False
    origin: Literal["local", "remote", "history"] = "local"

    def __repr__(self) -> str:
        """Name what changed, not what it was: states can be long."""
        changed = ", ".join(name for _, name, _, _ in self.transitions)
        duplicate = ", duplicate" if self.duplicate else ""
        return f"Change({self.record!r}, changed: {changed or 'nothing'}{duplicate})"

    @property
    def slices(self) -> tuple[SliceChange, ...]:
        """The slices that changed, with the paths of their scopes, the root's first."""
        steps = self.record.path.steps
        return tuple(
            SliceChange(Path(steps[:depth]), name, before, after)
            for depth, name, before, after in self.transitions
        )

    @property
    def path(self) -> Path:
        """The address of the event."""
        return self.record.path

    @property
    def position(self) -> int:
        """The record's position on the journal; 0 if it is not on the journal."""
        return self.record.position

    @property
    def version(self) -> int:
        """The number of the record among those addressed to its path."""
        return self.record.version

    @property
    def before(self) -> Mapping[str, Any]:
        """The changed slices of the addressed scope as they were, by name."""
        own = len(self.record.path.steps)
        return {name: before for depth, name, before, _ in self.transitions if depth == own}

    @property
    def after(self) -> Mapping[str, Any]:
        """The changed slices of the addressed scope as they are now, by name."""
        own = len(self.record.path.steps)
        return {name: after for depth, name, _, after in self.transitions if depth == own}
