"""Which files to take lines from, and what their lines' ids call them."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import BinaryIO

from eliza_state.cli.ingest import Source
from eliza_state.cli.terminal import Misuse

_STANDARD_INPUT = "-"


@contextlib.contextmanager
def open_sources(files: Sequence[Path], name: str | None) -> Generator[list[Source]]:
    """Open the files, or standard input for `-`, and give them as sources.

    A file is called by its own name without its folder, so it is the same source wherever it lies; `name`
    is for standard input, or else for the only file.
    Raises `Misuse` for standard input without a name, a name too many, and different files of
    one name, whose equal lines would be taken for the same event, and a file that cannot be read.
    """
    names = [_name(file, name, alone=len(files) == 1) for file in files]
    if name is not None and name not in names:
        raise Misuse("--source names standard input or a single file; take in one at a time")
    for (file, own), (other, others) in itertools.combinations(zip(files, names, strict=True), 2):
        if own == others and not _is_same(file, other):
            raise Misuse(
                f"{file} and {other} would both be called {own!r}; take them in one at a time, with --source"
            )
    with contextlib.ExitStack() as stack:
        yield [
            Source(own, own, sys.stdin.buffer)
            if str(file) == _STANDARD_INPUT
            else Source(own, str(file), stack.enter_context(_open(file)))
            for file, own in zip(files, names, strict=True)
        ]


def _name(file: Path, name: str | None, *, alone: bool) -> str:
    if str(file) == _STANDARD_INPUT:
        if not name:
            raise Misuse("standard input has no name of its own; give it one with --source NAME")
        return name
    return name if name and alone else file.name


def _open(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise Misuse(f"cannot read {str(file)!r}: {error.strerror}") from error


def _is_same(file: Path, other: Path) -> bool:
    if _STANDARD_INPUT in (str(file), str(other)):
        return str(file) == str(other)
    return file.resolve() == other.resolve()
