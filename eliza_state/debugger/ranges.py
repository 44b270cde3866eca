"""The records at and below a scope between two positions, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from itertools import islice
from typing import Final

import attrs

from eliza_state.change import Record
from eliza_state.debugger.errors import NoSuchPoint
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.points import checked
from eliza_state.errors import StateError
from eliza_state.journal.contract import Journal
from eliza_state.path import Path

PAGE: Final = 500
"""How many records are held at a time."""


@attrs.frozen
class Range:
    """The records at and below `path` from position `first` to `last`, both included; at least one."""

    path: Path
    first: int
    last: int

    def read(self, journal: Journal, *, after: int, size: int) -> list[Record]:
        """Return the next records behind a position of the range, or behind `first - 1`."""
        records = journal.read(self.path, after=max(after, self.first - 1), until=self.last, limit=size)
        return list(islice(records, size))


async def range_of(looking: Looking, path: Path | str, *, first: int = 1, last: int | None = None) -> Range:
    """Return the records that a path and two positions name; without `last`, all from the first on.

    Raises `NoSuchPoint` for positions that the journal does not have, `StateError` where there is no record.
    """
    found = looking.path_of(path)
    head = await looking.last()
    if not head:
        raise StateError("the journal holds no records yet")
    if not 1 <= first <= head:
        raise NoSuchPoint(
            f"records have positions from 1 to {head}, got {first}", nearest=[min(head, max(1, first))]
        )
    end = checked(head if last is None else last, head)
    if end < first:
        raise StateError(f"the range from position {first} to {end} is empty; the first one comes first")
    wanted = Range(found, first, end)
    if not await looking.run(partial(wanted.read, looking.manager.journal, after=0, size=1)):
        where = f"at or below {found.encode()!r}" if found.steps else "at the root"
        raise StateError(f"there are no records {where} from position {first} to {end}")
    return wanted


async def pages(looking: Looking, wanted: Range, *, size: int = PAGE) -> AsyncIterator[list[Record]]:
    """Yield the records of a range in order, at most `size` at a time."""
    after = 0
    while page := await looking.run(partial(wanted.read, looking.manager.journal, after=after, size=size)):
        yield page
        if len(page) < size:
            return
        after = page[-1].position
