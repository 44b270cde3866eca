"""What the records of a store tell of who has changed what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from eliza_state.change import Record
from eliza_state.errors import StateError
from eliza_state.manager import StateManager
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.synchronizer.vector_clock import VectorClock
from eliza_state.tree import Tree


class Synchronizer:
    """Look at a manager's store as one of several replicas; nothing is written.

    It belongs to the manager's event loop and lasts as long as the manager is open.
    """

    def __init__(self, manager: StateManager) -> None:
        self.manager = manager

    async def clock_of(
        self, path: Path | str, module: str | type[StateModule[Any]], *, at: int | None = None
    ) -> VectorClock:
        """Return the vector clock of a slice: of each writer, how many records have reached the slice.

        Those count that are addressed to the scope or below it and whose event the module handles, those
        without content included; up to position `at`, or all. A writer is one opening of a store by a
        manager. Of two replicas' clocks of a slice, one is before the other if that one has all records that
        reach the slice, and more. A slice that nothing has reached has the empty clock. Reads the records of
        the scope.
        Raises `InvalidPath`, `RegistrationError` for a module that is not at the scope's level, and
        `StateError` for a position that is not there yet.
        """
        scope = self.manager.at(path)
        name = self.manager.tree.slice_name(module, level=scope.level)
        last = await scope.access.position()
        until = last if at is None else at
        if not 0 <= until <= last:
            raise StateError(f"a position from 0 to {last}, the last one, is wanted, got {at!r}")

        def read() -> VectorClock:
            records = self.manager.journal.read(scope.path, until=until)
            return clock_of(self.manager.tree, records, path=scope.path, name=name)

        return await scope.access.reading.run(read)


def clock_of(tree: Tree, records: Iterable[Record], *, path: Path, name: str) -> VectorClock:
    """Return the clock of the slice `name` of the scope `path` after these records at and below it."""
    counts: Counter[str] = Counter()
    reached: dict[tuple[str, str], bool] = {}
    since = tree.modules(tree.hierarchy.level(path))[name].since_position
    for record in records:
        kind = (record.event, tree.hierarchy.level(record.path))
        is_reached = reached.get(kind)
        if is_reached is None:
            is_reached = reached[kind] = (path, name) in slices_of(tree, record.path, record.event)
        counts[record.writer] += is_reached and record.position > since
    return VectorClock(counts)


def slices_of(tree: Tree, path: Path, event: str) -> set[tuple[Path, str]]:
    """Return the stored slices that an event addressed to a path reaches: scope and name."""
    kind = tree.event_type(event)
    if kind is None:
        return set()
    plan = tree.make_plan(kind.cls, tree.hierarchy.level(path))
    return {(Path(path.steps[: step.depth]), step.name) for step in plan.steps if not step.module.volatile}
