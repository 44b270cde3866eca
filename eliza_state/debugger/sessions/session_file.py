"""The file of a session: JSON Lines in UTF-8, of a header, a record a line, and a line that closes it.

{"format": "eliza-state session", "version": 1, "epoch": "…", "path": "agent:eliza", "first": 1, "last": 9,
 "secrets": "masked", "modules": {"conversation": 1}}
{"position": 2, "version": 1, "id": "…", "path": "agent:eliza/room:general", "event": "user_joined",
 "schema_version": 1, "recorded_at": "2026-01-01T00:00:00.000000+00:00", "payload": {"user": "ada"}}
{"records": 1, "sha256": "…"}

Each of them stands on one line. `epoch` is that of the journal, `modules` are the versions of its modules;
`secrets` are `masked` or `revealed`. A record without `payload` was erased; `cause` is left out where there
is none. The checksum is that of all lines before the last one, line ends included.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, Literal, TypeVar

import attrs
import msgspec

from eliza_state.change import Record, to_datetime
from eliza_state.errors import StateError

FORMAT: Final = "eliza-state session"
VERSION: Final = 1

S = TypeVar("S", bound=msgspec.Struct)

_MAX_LINE_BYTES: Final = 128 * 1024 * 1024


class InvalidSession(StateError, ValueError):
    """A file holds no session that can be imported here; `line` counts from 1, `None` is the whole file."""

    def __init__(self, reason: str, *, line: int | None = None) -> None:
        self.reason = reason
        self.line = line
        super().__init__(reason if line is None else f"line {line}: {reason}")


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line; see above."""

    format: str
    version: int
    epoch: str
    path: str
    first: int
    last: int
    secrets: Literal["masked", "revealed"]
    modules: dict[str, int]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The line of a record; see above."""

    position: int
    version: int
    id: str
    path: str
    event: str
    schema_version: int
    recorded_at: datetime.datetime
    cause: str | None = None
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def content(self) -> bytes:
        """The payload as JSON text; empty for a record that was erased."""
        return b"" if isinstance(self.payload, msgspec.UnsetType) else bytes(self.payload)


class Trailer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line; see above."""

    records: int
    sha256: str


class _Greeting(msgspec.Struct):
    """What every version of the format begins with."""

    format: str
    version: int


@attrs.define
class SessionText:
    """Write the lines of a session."""

    records: int = 0
    _digest: Any = attrs.Factory(hashlib.sha256)

    def header(self, header: Header) -> bytes:
        """Return the first line."""
        return self._line(header)

    def record(self, record: Record, payload: bytes) -> bytes:
        """Return the line of a record, with a payload in the place of its own; empty: it was erased."""
        self.records += 1
        return self._line(
            Line(
                position=record.position,
                version=record.version,
                id=record.id,
                path=record.path.encode(),
                event=record.event,
                schema_version=record.schema_version,
                recorded_at=to_datetime(record.recorded_at_us),
                cause=record.cause,
                payload=msgspec.Raw(payload) if payload else msgspec.UNSET,
            )
        )

    def trailer(self) -> bytes:
        """Return the last line."""
        return msgspec.json.encode(Trailer(self.records, self._digest.hexdigest())) + b"\n"

    def _line(self, content: msgspec.Struct) -> bytes:
        line = msgspec.json.encode(content) + b"\n"
        self._digest.update(line)
        return line


def read_header(file: BinaryIO) -> Header:
    """Return the header of a session that begins where the file stands.

    Raises `InvalidSession` for a file of another kind, and for one of a newer format.
    """
    text = file.readline(_MAX_LINE_BYTES)
    try:
        greeting = msgspec.json.decode(text, type=_Greeting)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        greeting = _Greeting("", 0)
    if greeting.format != FORMAT:
        raise InvalidSession(f'it is no session: one begins with {{"format": {FORMAT!r}, …}}', line=1)
    if greeting.version > VERSION:
        raise InvalidSession(
            f"it is of version {greeting.version} of the format, known here up to {VERSION}; run newer code",
            line=1,
        )
    return _decoded(text, Header, number=1)


def read_lines(file: BinaryIO) -> Iterator[tuple[int, Line]]:
    """Yield the lines of a session's records with their numbers, and check that it is whole in the end.

    The file stands at its beginning. Raises `InvalidSession` naming the line that is none, or out of order,
    and for a file that was cut off or changed.
    """
    digest = hashlib.sha256(file.readline(_MAX_LINE_BYTES))
    number, last = 1, 0
    while text := file.readline(_MAX_LINE_BYTES):
        number += 1
        if not text.endswith(b"\n"):
            raise InvalidSession("the file was cut off in this line", line=number)
        if text.startswith(b'{"records":'):
            _check_end(file, _decoded(text, Trailer, number=number), digest.hexdigest(), number=number)
            return
        line = _decoded(text, Line, number=number)
        if line.position <= last:
            raise InvalidSession(f"position {line.position} comes after position {last}", line=number)
        last = line.position
        digest.update(text)
        yield number, line
    raise InvalidSession(f"the file was cut off after line {number}: a session ends with its checksum")


def _check_end(file: BinaryIO, trailer: Trailer, digest: str, *, number: int) -> None:
    if trailer.records != number - 2:
        raise InvalidSession(f"{trailer.records} records were written, there are {number - 2}", line=number)
    if trailer.sha256 != digest:
        raise InvalidSession("the checksum is another: the file was changed or damaged", line=number)
    if file.read(1):
        raise InvalidSession("the session ends before this line", line=number + 1)


def _decoded(text: bytes, kind: type[S], *, number: int) -> S:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidSession(f"it is no line of a session: {error}", line=number) from error
