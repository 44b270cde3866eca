"""Looking for what must not be there: secrets by name, and the forms in which one could stand in a text."""

from __future__ import annotations

import base64
import functools
import math
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from backports import zstd

PLACES = (
    "event field",
    "event in dict",
    "event in list",
    "event in object",
    "state field",
    "state in dict",
    "state in Map",
    "state as a key of a Map",
    "state in Set",
    "state in Log",
    "state in Entities",
    "workspace memory",
    "tool server",
    "run input",
    "run result",
    "approval subject",
    "setting",
    "older schema version",
    "plugin value",
)
"""Where secrets are planted, each with one of its own."""

_PIECE = 12
_ZSTD = re.compile(re.escape(b"\x28\xb5\x2f\xfd"))


def made() -> dict[str, str]:
    """Make a secret for each place: letters and digits, which no escaping of a text changes."""
    return {place: secrets.token_hex(12) for place in PLACES}


def found_in(content: str | bytes, planted: dict[str, str]) -> list[str]:
    """Name the places whose secrets stand in a content, whole or in part, in any form, compressed or not."""
    whole = content.encode("utf-8", "replace") if isinstance(content, str) else content
    contents = [each for each in expanded(whole) if len(each) >= _PIECE]
    return [
        place
        for place, secret in planted.items()
        if any(form in each for form in forms(secret) for each in contents)
    ]


@functools.cache  # asked for with each of thousands of contents
def forms(secret: str) -> frozenset[bytes]:
    """Give the forms in which a secret, or the beginning or end of one that is cut off, could stand."""
    pieces = (secret[:_PIECE].encode(), secret[-_PIECE:].encode())
    found: set[bytes] = set()
    for piece in pieces:
        text = piece.decode()
        found |= {piece, piece.hex().encode(), piece.hex().upper().encode(), text.encode("utf-16-le")}
        found |= set(_base64(piece))
    return frozenset(found)


def _base64(piece: bytes) -> Iterator[bytes]:
    """Give what a piece is inside of longer base64: without the characters that its neighbours share."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + piece)
        yield text[math.ceil(before * 8 / 6) : (before + len(piece)) * 8 // 6]


def expanded(content: bytes) -> Iterator[bytes]:
    """Give a content, and what each compressed part of it holds."""
    yield content
    for match in _ZSTD.finditer(content):
        try:
            yield zstd.ZstdDecompressor().decompress(content[match.start() :])
        except zstd.ZstdError:
            continue


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Give all files at or below a folder with their bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()
