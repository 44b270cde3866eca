"""Which records the state of a scope is made of, where it was restored to a past state.

A scope that was never restored is the fold of all records at or below it. After a restore it is the fold of
those since then on top of the state that the restore leads to, which may itself come after another restore.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from eliza_state.journal.contract import Journal
from eliza_state.path import Path


class Stretch(NamedTuple):
    """Records in a row, those with `after < position <= until`."""

    after: int
    until: int

    def reaches(self, position: int) -> bool:
        """Tell whether the state at a position is one on the way through the stretch."""
        return self.after <= position <= self.until


def stretches(journal: Journal, path: Path, *, until: int) -> Iterator[Stretch]:
    """Yield the stretches of records that make the state of a scope at a position, the last one first.

    They do not overlap, and each lies before the one yielded before it. None of them is looked for before it
    is asked for.
    """
    restored = journal.restored_at(path, until=until)
    while restored is not None:
        yield Stretch(restored.position, until)
        until = restored.target
        restored = journal.restored_at(path, until=until)
    yield Stretch(0, until)
