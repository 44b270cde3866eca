"""The files of an archive: each holds blocks one behind the other, and is never changed.

    magic (8 bytes) · format (1) · blocks

A file has a name of its own before any row of the journal names it; what no row names is swept.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path as FilePath
from typing import Final

import attrs

from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath, make_folders, replace_file

FORMAT: Final = 1
"""The version of the format that is written; later ones are refused."""

_MAGIC: Final = b"\x93ELS\r\n\x1a\n"
_HEAD: Final = _MAGIC + bytes((FORMAT,))
_SEGMENT: Final = re.compile(r"[0-9a-f]{16}\.segment")
_OURS: Final = re.compile(r"[0-9a-f]{16}\.segment(\.temporary-[0-9]+)?")


@attrs.frozen
class Segments:
    """The segment files of one folder. Errors of the operating system go through unchanged.

    The folder is made by the first file; files get the permissions of the file `like`, where there is one.
    Without a folder there are none, and what needs one raises `StoreError`.
    """

    folder: FilePath | None
    files: Files = attrs.Factory(Files)
    like: StrPath | None = None

    def path(self, name: str) -> FilePath:
        """Return the path of a file in the folder."""
        return self._folder / name

    @property
    def _folder(self) -> FilePath:
        if self.folder is None:
            raise StoreError(
                "the store has no folder for its archive; name one: StateManager.open(..., archive=folder)"
            )
        return self.folder

    def prepare(self) -> None:
        """Make the folder where it is missing."""
        make_folders(self.files, self._folder)

    def write(self, blocks: Sequence[bytes]) -> tuple[str, list[int]]:
        """Write blocks into a new file; return its name and where in it each of them begins.

        When it returns, the file is durable.
        """
        self.prepare()
        name = f"{uuid.uuid4().hex[:16]}.segment"
        offsets: list[int] = []
        offset = len(_HEAD)
        for block in blocks:
            offsets.append(offset)
            offset += len(block)
        replace_file(self.files, self.path(name), b"".join((_HEAD, *blocks)), like=self.like)
        return name, offsets

    def read(self, name: str, *, offset: int, length: int) -> bytes:
        """Return the bytes of a block, fewer where the file ends before."""
        return self.files.read(self.path(name), limit_bytes=length, offset=offset)

    def is_packed(self, name: str, extents: Sequence[tuple[int, int]]) -> bool:
        """Tell whether a file holds nothing but what lies at these offsets, each with its length."""
        end = len(_HEAD)
        for offset, length in extents:
            if offset != end:
                return False
            end += length
        return not self.files.read(self.path(name), limit_bytes=1, offset=end)

    def check_head(self, name: str) -> None:
        """Raise `StoreError` unless a file begins as segments do, in a format that is known here."""
        head = self.files.read(self.path(name), limit_bytes=len(_HEAD))
        if head[:-1] != _MAGIC:
            raise StoreError(f"{str(self.path(name))!r} does not begin as a segment does")
        if head[-1] > FORMAT:
            raise StoreError(f"{str(self.path(name))!r} has format {head[-1]}, later than {FORMAT}")

    def names(self) -> list[str]:
        """Return the names of the segments there are."""
        return [name for name in self._all() if _SEGMENT.fullmatch(name)]

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, for good; one that is gone already is no error."""
        removed = False
        for name in names:
            try:
                self.files.remove(self.path(name))
            except FileNotFoundError:
                continue
            removed = True
        if removed:
            self.files.sync_folder(self._folder)

    def sweep(self, kept: Iterable[str]) -> list[str]:
        """Remove the segments that are not to be kept, and what writes that were cut off have left."""
        named = set(kept)
        left = [name for name in self._all() if _OURS.fullmatch(name) and name not in named]
        self.remove(left)
        return left

    def _all(self) -> Sequence[str]:
        if self.folder is None or not self.files.exists(self.folder):
            return ()
        return self.files.list(self.folder)
