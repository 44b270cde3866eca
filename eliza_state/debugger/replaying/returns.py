"""Where the restores among the records of a replay lead back to."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from eliza_state.debugger.ranges import Range
from eliza_state.journal.contract import Journal, restore_of
from eliza_state.path import Path


@attrs.frozen
class Returns:
    """The positions that restores lead back to, by their own; and by these the scopes to be kept there.

    `first` is the position of the first record.
    """

    first: int
    targets: Mapping[int, int]
    kept: Mapping[int, frozenset[Path]]


def returns_in(journal: Journal, records: Range) -> Returns:
    """Return where the restores of scopes at and below that of the records lead."""
    targets: dict[int, int] = {}
    kept: dict[int, frozenset[Path]] = {}
    for record in journal.restores(after=records.first - 1, until=records.last):
        restored = restore_of(record, journal.find)
        is_inside = record.path == records.path or record.path.is_below(records.path)
        if restored is not None and is_inside:
            targets[record.position] = restored.target
            kept[restored.target] = kept.get(restored.target, frozenset()) | {record.path}
    return Returns(records.first, targets, kept)
