"""The JSON file of a `FileStorage`: entries as lines, and read again.

`{"version": 1, "entries": [[key, value], …]}`, one entry a line:

    ["cooldown",7,{"version":1718000000000000}]
    ["session/abc",[1],{"version":1718000000000001,"deadline_ms":1718000060000,"ttl_ms":60000}]
    ["sealed",null,{"version":1718000000000002,"content":"enN0ZDo…"}]
    ["deleted",null,{"version":1718000000000003,"deadline_ms":1718000060000,"ttl_ms":60000,"gone":true}]

A value in JSON stands there as it is. Of any other, and of a deleted key, the second element is `null`, and
the third says what it is: `content` in base64, or `gone`. The key of three elements is the escaped one, with
its namespaces (`eliza_state.storage.keys`). Two elements were written by something else: their key is a name
outside all namespaces, their version the time when they were read. Of several entries of one key the last one
counts, as in a JavaScript `Map` made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Entry
from eliza_state.storage.keys import full_key

VERSION: Final = 1
"""The version of the file that is written; later ones are refused."""

_HEAD: Final = b'{"version":%d,"entries":[\n' % VERSION
_TAIL: Final = b"\n]}\n"
_JSON: Final = b"json:"
_Nested: TypeAlias = tuple[tuple[tuple[tuple[msgspec.Raw]]]]


class _Version(msgspec.Struct):
    version: int


class _Document(msgspec.Struct):
    entries: list[list[msgspec.Raw]]


class _Details(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The third element of an entry."""

    version: Annotated[int, msgspec.Meta(ge=1)]
    deadline_ms: int | None = None
    ttl_ms: int | None = None
    gone: bool = False
    content: bytes | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode_key: Final = msgspec.json.Decoder(str).decode
_decode_details: Final = msgspec.json.Decoder(_Details).decode
_decode_nested: Final = msgspec.json.Decoder(_Nested).decode


class Slot(NamedTuple):
    """An entry and its line in the file, without what separates it from the next."""

    entry: Entry[bytes]
    line: bytes


def slot_of(key: str, entry: Entry[bytes]) -> Slot:
    """Return an entry with its line."""
    content, version, deadline_ms, ttl_ms = entry
    details = _Details(version, deadline_ms, ttl_ms)
    value: msgspec.Raw | None = None
    if content is GONE:
        details.gone = True
    elif content.startswith(_JSON) and _can_be_embedded(content[len(_JSON) :]):
        value = msgspec.Raw(content[len(_JSON) :])
    else:
        details.content = content
    return Slot(entry, _encode((key, value, details)))


def document_of(lines: Iterable[bytes]) -> bytes:
    """Return a file that has these lines."""
    return b"%b%b%b" % (_HEAD, b",\n".join(lines), _TAIL)


def _can_be_embedded(text: bytes) -> bool:
    """Tell whether bytes are JSON that is found again as it is, as deep in brackets as the file puts it."""
    try:
        text.decode()
        found = _decode_nested(b"[[[[%b]]]]" % text)[0][0][0][0]
    except (ValueError, RecursionError):
        return False
    return bytes(found) == text


def read_document(content: bytes, *, now_us: int) -> dict[str, Slot]:
    """Return a file's entries. Raises `ValueError` for what is none, `StoreError` for a later version."""
    version = msgspec.json.decode(content, type=_Version).version
    if version > VERSION:
        raise StoreError(f"it has version {version}, later than {VERSION}: open it with what wrote it")
    if version != VERSION:
        raise ValueError(f"expected version {VERSION}, got {version}")
    entries = msgspec.json.decode(content, type=_Document).entries
    found = (_read_entry(parts, now_us) for parts in entries)
    return {key: slot_of(key, entry) for key, entry in found}


def _read_entry(parts: Sequence[msgspec.Raw], now_us: int) -> tuple[str, Entry[bytes]]:
    if len(parts) not in (2, 3):
        raise ValueError(f"expected an entry of 2 or 3 elements, got {len(parts)}")
    key = _decode_key(parts[0])
    content = _JSON + bytes(parts[1])
    if len(parts) == 2:
        return full_key("", key), Entry(content, now_us)
    details = _decode_details(parts[2])
    value = GONE if details.gone else content if details.content is None else details.content
    return key, Entry(value, details.version, details.deadline_ms, details.ttl_ms)
