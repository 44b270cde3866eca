"""Reading all records as today's code reads them, a page at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from eliza_state.change import Record
from eliza_state.decoding import read_event
from eliza_state.journal.contract import Journal
from eliza_state.migration.report import EventFigures, Failure
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.reading import Reading
from eliza_state.tree import Tree

PAGE: Final = 1_000
"""How many records are in memory at once."""

KEPT: Final = 5
"""How many failures of an event in a schema version are told one by one."""


@attrs.define
class _Count:
    records: int = 0
    upcast: int = 0
    failed: int = 0
    failures: list[Failure] = attrs.Factory(list[Failure])


class RecordTally:
    """Count records by event and schema version, and those that cannot be read."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._counts: dict[tuple[str, int], _Count] = {}

    def take(self, record: Record) -> None:
        """Read a record and count it."""
        problems: list[Problem] = []
        event = read_event(self._tree, record, problems.append)
        count = self._counts.setdefault((record.event, record.schema_version), _Count())
        count.records += 1
        kind = self._tree.event_type(record.event)
        if problems:
            count.failed += 1
            if len(count.failures) < KEPT:
                count.failures.append(Failure(record.position, record.path, problems[0].message))
        elif event is not None and kind is not None and record.schema_version < kind.version:
            count.upcast += 1

    def figures(self) -> tuple[EventFigures, ...]:
        """Return what was counted, by name and version."""
        return tuple(
            EventFigures(
                event=name,
                schema_version=version,
                known=None if (kind := self._tree.event_type(name)) is None else kind.version,
                records=count.records,
                upcast=count.upcast,
                failed=count.failed,
                failures=tuple(count.failures),
            )
            for (name, version), count in sorted(self._counts.items())
        )


async def count_records(
    tree: Tree, journal: Journal, reading: Reading, *, until: int, told: Callable[[int], None]
) -> tuple[EventFigures, ...]:
    """Read all records up to a position and return what they are; `told` is told how far it has come."""
    tally = RecordTally(tree)

    def read_page(after: int) -> int:
        page = itertools.islice(journal.read(Path(), after=after, until=until), PAGE)
        for record in page:
            tally.take(record)
            after = record.position
        return after

    position, before = 0, -1
    while before < position < until:
        before, position = position, await reading.run(partial(read_page, position))
        told(position)
    return tally.figures()
