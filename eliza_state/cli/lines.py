"""Lines of JSON as dispatches: what a line says, where it goes, and the id it always has.

{"type": "message_received", "agent": "eliza", "room": "general", "conversation": "tea",
 "at": "2024-05-01T09:00:00+00:00", "payload": {"id": "m1", "user": "ada", "text": "hello"}}
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple, cast

import attrs
import msgspec

from eliza_state.dispatcher import Dispatch
from eliza_state.errors import InvalidEvent
from eliza_state.path import Hierarchy, Path
from eliza_state.tree import Tree

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_BLOCK_BYTES: Final = 1024 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line that is not blank: its number from 1, and its text without the space around it."""

    number: int
    text: bytes


class Block(NamedTuple):
    """The lines that could be read at once, and how many bytes were read for them."""

    lines: list[Line]
    size_bytes: int


def read_blocks(stream: BinaryIO) -> Iterator[Block]:
    """Yield the lines of a stream as they come; a pipe is not waited for longer than for its next bytes.

    Of a line longer than `MAX_LINE_BYTES` no more than one byte above that is kept.
    """
    number, rest = 0, b""
    while data := cast("Any", stream).read1(_BLOCK_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        rest = rest[: MAX_LINE_BYTES + 1]
        yield Block(list(_lines(whole, after=number)), len(data))
        number += len(whole)
    yield Block(list(_lines([rest], after=number)), 0)


def _lines(texts: list[bytes], *, after: int) -> Iterator[Line]:
    for number, text in enumerate(texts, after + 1):
        bare = text.removeprefix(_BYTE_ORDER_MARK).strip() if number == 1 else text.strip()
        if bare:
            yield Line(number, bare)


def record_id(line: Line, *, source: str) -> str:
    """Return the id of a line's record: the same for the same source name, line number and line.

    A UUID of version 8 (RFC 9562, section 5.8) over a BLAKE2b digest.
    """
    digest = hashlib.blake2b(digest_size=16, person=b"eliza-state line")
    digest.update(f"{len(source)}:{source}:{line.number}:".encode())
    digest.update(line.text)
    number = int.from_bytes(digest.digest(), "big")
    number = number & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62
    return str(uuid.UUID(int=number))


@attrs.frozen
class _Content:
    type: str
    payload: dict[str, Any]
    at: Any
    to: Path


def to_dispatch(line: Line, *, source: str, tree: Tree) -> Dispatch:
    """Return what a line asks for.

    The line's `at` becomes the payload's where the event has such a field and the payload does not set it.
    Raises `InvalidEvent` for a line that is no such object, `InvalidPath` for one that leads nowhere.
    """
    content = _content(_object(line.text), tree.hierarchy)
    payload = content.payload
    if content.at is not None and "at" not in payload and _has_time(tree, content.type):
        payload = {**payload, "at": content.at}
    return Dispatch(content.type, content.to, payload=payload, id=record_id(line, source=source))


def _object(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_LINE_BYTES:
        raise InvalidEvent(f"malformed: the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"malformed: no JSON in UTF-8: {error}") from None
    except RecursionError:
        raise InvalidEvent("malformed: the JSON is nested too deeply") from None
    if not isinstance(found, dict):
        raise InvalidEvent(f"malformed: expected an object, got {found!r:.60}")
    return cast("dict[str, Any]", found)


def _content(found: dict[str, Any], hierarchy: Hierarchy) -> _Content:
    levels = [level for level in hierarchy.levels if level != hierarchy.root]
    unknown = found.keys() - {"type", "at", "payload", *levels}
    if unknown:
        known = ", ".join(("type", *levels, "at", "payload"))
        raise InvalidEvent(f"malformed: unknown key {min(unknown)!r}; a line has {known}")
    kind, payload = found.get("type"), found.get("payload", {})
    if not isinstance(kind, str) or not kind:
        raise InvalidEvent(f"malformed: 'type' is the name of an event, got {kind!r:.60}")
    if not isinstance(payload, dict):
        raise InvalidEvent(f"malformed: 'payload' is an object, got {payload!r:.60}")
    steps = tuple((level, found[level]) for level in levels if found.get(level) is not None)
    return _Content(kind, payload, found.get("at"), hierarchy.check(Path(steps)))


def _has_time(tree: Tree, name: str) -> bool:
    kind = tree.event_type(name)
    return kind is not None and "at" in attrs.fields_dict(kind.cls)
