"""The states of a slice at one position: of one scope, or of many small ones at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from eliza_state.change import Record
from eliza_state.collector import collector_paused
from eliza_state.decoding import Report, read_events
from eliza_state.event import ERASURE, RESTORE
from eliza_state.journal.contract import Journal
from eliza_state.path import Path
from eliza_state.query.index_layout import Layout
from eliza_state.reading import Reading
from eliza_state.recovery import reduce_slice
from eliza_state.tree import Stage, Tree

# Folding more records takes longer than to look whether there is a snapshot.
_MOST_RECORDS: Final = 64
_FOLDED_AT_ONCE: Final = 512


class States:
    """Give the states of the slice of a layout as they were at the position `until`."""

    def __init__(
        self, tree: Tree, journal: Journal, reading: Reading, *, layout: Layout, until: int, report: Report
    ) -> None:
        self._tree = tree
        self._journal = journal
        self._reading = reading
        self._name = layout.slice
        self._module = tree.modules(layout.level)[layout.slice]
        self._until = until
        self._report = report
        self._steps: dict[tuple[str, str], Stage | None] = {}

    def of(self, path: Path) -> Any:
        """Return the state of a scope, from a snapshot where there is one."""
        return self._reading.recover_here(path, self._until).slices[self._name]

    def of_each(self, paths: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
        """Yield scopes with their states, in any order; small ones are folded from their records alone."""
        left = dict.fromkeys(paths)
        group: list[tuple[Path, list[Record]]] = []
        size = 0
        for path, records in self._journal.read_small(paths, until=self._until, most=_MOST_RECORDS):
            if records is None or not all(map(_is_plain, records)):
                continue
            del left[path]
            group.append((path, records))
            size += len(records)
            if size >= _FOLDED_AT_ONCE:
                yield from self._folded(group)
                group, size = [], 0
        yield from self._folded(group)
        for path in left:
            yield path, self.of(path)

    def _folded(self, scopes: Sequence[tuple[Path, list[Record]]]) -> list[tuple[Path, Any]]:
        """Return scopes with what their records make of the initial state, decoded together."""
        reached = [
            [(record, step) for record in records if (step := self._step(record)) is not None]
            for _, records in scopes
        ]
        found: list[tuple[Path, Any]] = []
        with collector_paused():
            wanted = [record for steps in reached for record, _ in steps]
            events = iter(read_events(self._tree, wanted, self._report))
            for (path, _), steps in zip(scopes, reached, strict=True):
                state = self._module.initial_state()
                for record, step in steps:
                    event = next(events)
                    if event is not None:
                        state = reduce_slice(step, state, event, record=record, report=self._report)
                found.append((path, state))
        return found

    def _step(self, record: Record) -> Stage | None:
        """Return how a record reaches the slice, if it does."""
        if self._module.volatile or record.position <= self._module.since_position:
            return None
        level = self._tree.hierarchy.level(record.path)
        kind = (record.event, level)
        if kind not in self._steps:
            self._steps[kind] = self._look_up(record.event, level)
        return self._steps[kind]

    def _look_up(self, event: str, level: str) -> Stage | None:
        kind = self._tree.event_type(event)
        steps = () if kind is None else self._tree.make_plan(kind.cls, level).steps
        return next((step for step in steps if step.name == self._name), None)


def _is_plain(record: Record) -> bool:
    """Tell whether a record is whole and does nothing but hand on its event."""
    return record.event not in ("", RESTORE, ERASURE) and not record.is_erased
