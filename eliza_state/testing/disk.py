"""A disk of which a power cut may leave less than a program has seen.

The model promises less than any one file system, as the abstract persistence model of ALICE does (T. S.
Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). Code that survives it need not know where
it runs.

- Of what was written and not synced, each write is on the disk, or is not, or a part of it is. Zeros stand
  where a file's length came before its content, and where a later part came before an earlier one.
- Of the changes to a folder's names that were not synced (made, renamed, removed), each is on the disk or is
  not; those that concern one name keep their order. Syncing a file says nothing of its name.
- A rename within a folder happens whole or not at all; between two folders both names may be found, or the
  old one, or the new one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import attrs

Remains: TypeAlias = tuple[dict[str, bytes], tuple[str, ...]]
"""Contents by path, and the folders, with `/` between names."""


@attrs.define(eq=False)
class File:
    """The content that a power cut leaves for certain, and the writes that it may tear."""

    synced: bytes = b""
    unsynced: list[bytes] = attrs.field(factory=list[bytes])

    def sync(self) -> None:
        self.synced, self.unsynced = self.content(), []

    def content(self) -> bytes:
        return b"".join((self.synced, *self.unsynced))

    def remains(self, limit: int) -> tuple[bytes, ...]:
        """Return every content that a power cut may leave; past the limit, more than it and not all."""
        found = {self.synced: None}
        size = len(self.synced)
        for data in self.unsynced:
            parts = tuple(_parts(data))
            for before in tuple(found):
                found.update((before.ljust(size, b"\0") + part, None) for part in parts)
                if len(found) > limit:
                    return tuple(found)
            size += len(data)
        return tuple(found)


def _parts(data: bytes) -> Iterator[bytes]:
    """Yield what a power cut may leave of one write, apart from nothing: whole, torn, out of order."""
    size = len(data)
    middle = size // 2
    yield data
    yield bytes(middle) + data[middle:]
    yield bytes(size)
    for torn in (1, middle, size - 1):
        if 0 < torn < size:
            yield data[:torn]
            yield data[:torn] + bytes(size - torn)


Node: TypeAlias = "File | Folder"


@attrs.define(eq=False)
class Folder:
    """The names as they are seen, and as a power cut leaves them for certain."""

    names: dict[str, Node] = attrs.field(factory=dict)
    durable: dict[str, Node] = attrs.field(factory=dict)


Names: TypeAlias = "Mapping[str, Node | None]"
"""What names stand for from now on; `None` where nothing has that name."""


@attrs.define(eq=False)
class Change:
    """What one operation does to the names of one folder, which is on the disk after all that it needs."""

    folder: Folder
    names: Names
    needs: tuple[Change, ...]
    is_durable: bool = False

    def apply(self, names: dict[str, Node]) -> None:
        for name, node in self.names.items():
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node

    def settle(self) -> None:
        """Make the change durable, after those it needs."""
        if not self.is_durable:
            for need in self.needs:
                need.settle()
            self.apply(self.folder.durable)
            self.is_durable = True


class Disk:
    """A tree of folders, and the changes to it that are not durable yet, oldest first."""

    def __init__(self) -> None:
        self.root = Folder()
        self._pending: list[Change] = []

    def change(self, folder: Folder, names: Names, *needs: Change) -> Change:
        latest = {
            name: change
            for change in self._pending
            if change.folder is folder
            for name in names.keys() & change.names.keys()
        }
        change = Change(folder, names, (*needs, *latest.values()))
        change.apply(folder.names)
        self._pending.append(change)
        return change

    def sync(self, folder: Folder) -> None:
        for change in self._pending:
            if change.folder is folder:
                change.settle()
        self._pending = [change for change in self._pending if not change.is_durable]

    def remains(self, limit: int) -> Iterator[Remains]:
        """Yield what a power cut may leave now, some of it more than once: files, and folders."""
        contents: dict[File, tuple[bytes, ...]] = {}
        for kept in _kept(self._pending):
            places: dict[str, File] = {}
            folders: list[str] = []
            _visit(self.root, "", kept, places, folders)
            files = tuple(dict.fromkeys(places.values()))
            for file in files:
                if file not in contents:
                    contents[file] = file.remains(limit)
            for choice in itertools.product(*(contents[file] for file in files)):
                found = dict(zip(files, choice, strict=True))
                yield {place: found[file] for place, file in places.items()}, tuple(folders)


def _kept(changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    """Yield every choice of changes in which each has what it needs."""
    left: list[tuple[int, frozenset[Change]]] = [(0, frozenset())]
    while left:
        index, kept = left.pop()
        if index == len(changes):
            yield tuple(change for change in changes if change in kept)
            continue
        change = changes[index]
        if all(need.is_durable or need in kept for need in change.needs):
            left.append((index + 1, kept | {change}))
        left.append((index + 1, kept))


def _visit(
    folder: Folder, prefix: str, kept: Iterable[Change], places: dict[str, File], folders: list[str]
) -> None:
    names = dict(folder.durable)
    for change in kept:
        if change.folder is folder:
            change.apply(names)
    for name, node in sorted(names.items()):
        if isinstance(node, File):
            places[prefix + name] = node
        else:
            folders.append(prefix + name)
            _visit(node, f"{prefix}{name}/", kept, places, folders)
