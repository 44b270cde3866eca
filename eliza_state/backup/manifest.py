"""What a backup says of itself: `manifest.json`, without which a folder is no backup.

{"format": "eliza-state backup", "version": 1, "made_at": "2026-01-01T00:00:00+00:00", "epoch": "…",
 "position": 1200, "recorded_at": "2026-01-01T00:00:00+00:00",
 "software": {"eliza_state": "0.1.0", "schema": "4", "python": "3.11.9", "sqlite": "3.45.1"},
 "files": [{"name": "state.db", "size_bytes": 4096, "sha256": "…"}]}
{"sha256": "…"}

Each of the two stands on one line. The second is the checksum of the first, line end included. `epoch`,
`position` and `recorded_at`, that of the newest record (`null`: there is none), are those of the journal.
"""

from __future__ import annotations

import datetime
import hashlib
import platform
import re
import sqlite3
from pathlib import Path as FilePath
from typing import Final

import attrs
import msgspec

from eliza_state._version import __version__
from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath
from eliza_state.journal.schema import SCHEMA_VERSION

FORMAT: Final = "eliza-state backup"
VERSION: Final = 1
NAME: Final = "manifest.json"
STORE: Final = "state.db"
"""What the journal is called in a backup; the names of the other files begin with it, as beside a store."""

_MAX_BYTES: Final = 64 * 1024 * 1024
_FILE: Final = re.compile(re.escape(STORE) + r"(-[a-z]+(/[A-Za-z0-9_][A-Za-z0-9._-]*)?)?")


class NotABackup(StoreError):
    """A folder holds no backup that this code can read: it was cut off, changed, or is of a newer format."""

    def __init__(self, folder: StrPath, reason: str) -> None:
        self.folder = FilePath(folder)
        self.reason = reason
        super().__init__(f"{str(folder)!r} is no backup: {reason}")


class BackupFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a backup: its name in the folder, its size, and the SHA-256 of its content."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line; see above."""

    format: str
    version: int
    made_at: datetime.datetime
    epoch: str
    position: int
    recorded_at: datetime.datetime | None
    software: dict[str, str]
    files: tuple[BackupFile, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size_bytes for file in self.files)


class _Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line; see above."""

    sha256: str


class _Greeting(msgspec.Struct):
    """What every version of the format begins with."""

    format: str
    version: int


@attrs.frozen(kw_only=True)
class Instant:
    """Where a journal stands: its epoch, its last position, and the time of its newest record, if any."""

    epoch: str
    position: int
    recorded_at: datetime.datetime | None


def software() -> dict[str, str]:
    """Return the versions of what makes a backup."""
    return {
        "eliza_state": __version__,
        "schema": str(SCHEMA_VERSION),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def encode(manifest: Manifest) -> bytes:
    """Return the text of a manifest."""
    first = msgspec.json.encode(manifest) + b"\n"
    return first + msgspec.json.encode(_Closing(hashlib.sha256(first).hexdigest())) + b"\n"


def read(files: Files, folder: StrPath) -> Manifest:
    """Return the manifest of a backup; raises `NotABackup`, saying why it is none."""
    try:
        text = files.read(FilePath(folder, NAME), limit_bytes=_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise NotABackup(folder, f"there is no {NAME} in it, which is written once all is there") from None
    try:
        return _decoded(folder, text)
    except msgspec.MsgspecError as error:
        raise NotABackup(folder, f"its {NAME} is damaged: {error}") from None


def _decoded(folder: StrPath, text: bytes) -> Manifest:
    first, _, last = text.partition(b"\n")
    greeting = msgspec.json.decode(first, type=_Greeting)
    if greeting.format != FORMAT:
        raise NotABackup(folder, f"its {NAME} is of the format {greeting.format!r}, not {FORMAT!r}")
    if greeting.version > VERSION:
        raise NotABackup(
            folder, f"its format is {greeting.version}, this code knows up to {VERSION}; run the newer code"
        )
    told = msgspec.json.decode(last, type=_Closing)
    if told.sha256 != hashlib.sha256(first + b"\n").hexdigest():
        raise NotABackup(folder, f"the checksum of its {NAME} is another: it was changed")
    manifest = msgspec.json.decode(first, type=Manifest)
    strange = [file.name for file in manifest.files if _FILE.fullmatch(file.name) is None]
    if strange or STORE not in {file.name for file in manifest.files}:
        raise NotABackup(folder, f"its {NAME} names files that a store does not have: {strange}")
    return manifest
