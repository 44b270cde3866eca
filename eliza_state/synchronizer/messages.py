"""What replicas tell each other: lines of JSON in UTF-8, which any transport can carry.

{"kind": "replica", "format": 1, "writers": {"0190…": [2, "9f3c…"]}}
{"kind": "erased", "path": "agent:eliza/user:ada", "ids": ["mail-1"]}
{"kind": "record", "at": [1767225600000000, 0], "writer": "0190…", "sequence": 3, "path": "agent:eliza",
 "id": "0190…", "event": "goal_added", "schema_version": 1, "payload": {"id": "g1"}}
{"kind": "end", "records": 1, "sha256": "…"}

Each stands on one line. The first kind is a *summary*: a version vector, with a digest of what the last
record of each writer is. A record without `payload` has no content any more; it is `repeated` where another
one with its id has the same, otherwise it was erased. Ids that were erased at a path come before the record
that tells of the erasure. Records come in the order of their stamps, so that those of one writer come without
a gap, and none before what its writer knew of. The last kind closes a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from eliza_state.errors import StateError
from eliza_state.ids import decode_id, encode_id
from eliza_state.path import Path
from eliza_state.synchronizer.errors import NotAReplica
from eliza_state.synchronizer.stamps import Stamp
from eliza_state.synchronizer.vector_clock import VectorClock

FORMAT: Final = 1
_LARGEST: Final = 2**63 - 1


class Greeting(msgspec.Struct, frozen=True, tag_field="kind", tag="replica", forbid_unknown_fields=True):
    """A summary as a line; see above."""

    format: int
    writers: dict[str, tuple[int, str]]


class ErasedIds(msgspec.Struct, frozen=True, tag_field="kind", tag="erased", forbid_unknown_fields=True):
    """Ids at a path whose records lost their content; see above."""

    path: str
    ids: list[str]


class RecordLine(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="kind",
    tag="record",
    forbid_unknown_fields=True,
):
    """A record as a line; see above."""

    at: tuple[int, int]
    writer: str
    sequence: int
    path: str
    id: str
    event: str
    schema_version: int
    cause: str | None = None
    repeated: bool = False
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class End(msgspec.Struct, frozen=True, tag_field="kind", tag="end", forbid_unknown_fields=True):
    """The last line of a file; see above."""

    records: int
    sha256: str


Line: TypeAlias = Greeting | ErasedIds | RecordLine | End

_decoder: Final = msgspec.json.Decoder(Line)


class _Kind(msgspec.Struct):
    """What every version of the format begins with."""

    kind: str
    format: int


@attrs.frozen
class Entry:
    """A record on its way between replicas; `content` is empty where it has none any more."""

    stamp: Stamp
    path: Path
    key: bytes
    event: str
    schema_version: int
    content: bytes
    cause: str | None = None
    is_repeated: bool = False

    def line(self) -> bytes:
        """Return the entry as a line."""
        told = RecordLine(
            at=(self.stamp.time_us, self.stamp.counter),
            writer=self.stamp.writer,
            sequence=self.stamp.sequence,
            path=self.path.encode(),
            id=decode_id(self.key),
            event=self.event,
            schema_version=self.schema_version,
            cause=self.cause,
            repeated=self.is_repeated,
            payload=msgspec.Raw(self.content) if self.content else msgspec.UNSET,
        )
        return line(told)

    @property
    def tip(self) -> str:
        """A digest of what the record is, whatever has become of its content."""
        told = (self.stamp, self.path.encode(), decode_id(self.key), self.event)
        return hashlib.blake2b(msgspec.json.encode(told), digest_size=8).hexdigest()

    @classmethod
    def of(cls, told: RecordLine) -> Entry:
        """Return the entry of a line; `NotAReplica` for one that no store could hold."""
        numbers = (*told.at, told.sequence, told.schema_version)
        if min(numbers) < 0 or max(numbers) > _LARGEST or not (told.sequence and told.schema_version):
            raise NotAReplica(f"a record's numbers are counts, got {numbers}")
        if not (told.writer and told.event and told.id):
            raise NotAReplica("a record has a writer, an event's name and an id; one of them is empty")
        content = b"" if isinstance(told.payload, msgspec.UnsetType) else bytes(told.payload)
        if content and (not content.startswith(b"{") or told.repeated):
            raise NotAReplica("a payload is a JSON object, and a repeated record has none")
        return cls(
            Stamp(*told.at, told.writer, told.sequence),
            decoded_path(told.path),
            encode_id(told.id),
            told.event,
            told.schema_version,
            content,
            told.cause,
            told.repeated,
        )


def line(told: Line) -> bytes:
    """Return what is told as a line."""
    return msgspec.json.encode(told) + b"\n"


def read_line(text: bytes, *, number: int | None = None) -> Line:
    """Return what a line tells; `NotAReplica` for one that tells nothing known here."""
    try:
        told: Line = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAReplica(f"it tells nothing of a replica: {error}", line=number) from None
    return told


def decoded_path(text: str) -> Path:
    """Return a path that was told; `NotAReplica` for a malformed one."""
    try:
        return Path.decode(text)
    except StateError as error:
        raise NotAReplica(str(error)) from None


@attrs.frozen
class Summary:
    """What a replica holds: of each writer the number of its records, and the digest of the last one.

    As the records of a writer come without a gap, that names all of them.
    """

    writers: Mapping[str, tuple[int, str]]

    @property
    def clock(self) -> VectorClock:
        """The version vector."""
        return VectorClock({writer: count for writer, (count, _) in self.writers.items()})

    def encode(self) -> bytes:
        """Return the summary as a line."""
        return line(Greeting(FORMAT, dict(sorted(self.writers.items()))))

    @classmethod
    def decode(cls, text: bytes) -> Summary:
        """Return the summary of a line; `NotAReplica` for another text, or one of a newer format."""
        _check_format(text)
        told = read_line(text)
        if not isinstance(told, Greeting):
            raise NotAReplica("a replica begins with its summary")
        for writer, (count, _) in told.writers.items():
            if count < 1:
                raise NotAReplica(f"a summary counts records from 1 on, got {count} of writer {writer!r}")
        return cls(told.writers)


NOTHING: Final = Summary({})
"""The summary of who holds nothing."""


def _check_format(text: bytes) -> None:
    try:
        found: Any = msgspec.json.decode(text, type=_Kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NotAReplica(
            'it is no replica: one begins with {"kind": "replica", …}; a session is imported by the debugger'
        ) from None
    if found.format > FORMAT:
        raise NotAReplica(
            f"it is of version {found.format} of the format, known here up to {FORMAT}; run newer code"
        )
