"""What a query gives: matches, the position they are true at, and where to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import attrs

from eliza_state.path import Path

M = TypeVar("M")


class Match:
    """One entry that was found: the path of its scope, its key in the collection, the entry itself.

    Not to be changed: the index holds the same object. Two are equal when they are one.
    """

    __slots__ = ("entry", "key", "path")
    __match_args__ = ("path", "key", "entry")

    def __init__(self, path: Path, key: Any, entry: Any) -> None:
        self.path = path
        self.key = key
        self.entry = entry

    def __repr__(self) -> str:
        return f"Match({self.path.encode()!r}, {self.key!r}, {self.entry!r})"


@attrs.frozen
class Cursor:
    """The place behind a match, in one order: what `after` takes to go on from there.

    `values` are those of the fields in `order`. It stays good whatever changes meanwhile: what comes behind
    the place then is found.
    """

    order: tuple[str, ...]
    values: tuple[Any, ...]
    path: str
    key: Any


@attrs.frozen(eq=False)
class Answer(Sequence[M], Generic[M]):
    """What was found, as a sequence.

    All of it is as it was at one `position` of the journal. `cursor` goes on behind the last match; `None`
    when there are no more.
    """

    matches: tuple[M, ...]
    position: int
    cursor: Cursor | None = None

    @overload
    def __getitem__(self, index: int) -> M: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[M]: ...
    def __getitem__(self, index: int | slice) -> M | Sequence[M]:
        return self.matches[index]

    def __len__(self) -> int:
        return len(self.matches)

    def __iter__(self) -> Iterator[M]:
        return iter(self.matches)
