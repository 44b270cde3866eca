"""What a process notes of what it does, in a file that outlives it.

Each note is one line, handed to the operating system whole before the process goes on: a process that is
killed has noted everything that it was told, and a last line at most is torn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Notes:
    """Append notes to a file of this process alone."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def add(self, *note: Any) -> None:
        """Write one note, made of what JSON can tell."""
        os.write(self._file, json.dumps(note, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Close the file; what was noted stays."""
        os.close(self._file)


def read_notes(file: Path) -> Iterator[list[Any]]:
    """Yield the notes of a file, without a last one that is torn; nothing where there is no file."""
    if not file.exists():
        return
    with file.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def read_further(file: Path, *, after_bytes: int) -> tuple[list[list[Any]], int]:
    """Return the notes behind so many bytes of a file, and up to which byte it has been read."""
    with file.open("rb") as lines:
        lines.seek(after_bytes)
        whole = lines.read().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()], after_bytes + len(whole) + bool(whole)


def lives(folder: Path, name: str) -> list[Path]:
    """Return the files of a process, one for each time that it was started, in their order."""
    return sorted(folder.glob(f"{name}.*.notes"), key=lambda file: int(file.name.split(".")[-2]))
