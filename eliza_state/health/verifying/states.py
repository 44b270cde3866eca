"""Snapshots against the records that they stand for: each is to be what a fold of them gives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from eliza_state.health.verifying.finding import Finding
from eliza_state.health.verifying.subject import Subject
from eliza_state.journal.archive.blocks import DamagedBlock
from eliza_state.migration.slices import SliceExaminer, StoredSlice
from eliza_state.slice_migration import Use

STATES: Final = "states"


def check_states(subject: Subject) -> Iterator[Finding]:
    """Fold the records of the sampled scopes and compare each slice of their snapshots with the outcome."""
    manager = subject.manager
    snapshots = None if manager is None else manager.core.snapshots
    if manager is None or snapshots is None:
        return
    examiner = SliceExaminer(manager.tree, manager.journal, snapshots)
    scopes = subject.scopes()
    for number, path in enumerate(scopes, 1):
        # A damaged block of the archive is told by the check of segments; the other scopes are looked at.
        with contextlib.suppress(DamagedBlock):
            for one in examiner.look(path).slices:
                if one.use in (Use.AS_IT_IS, Use.MIGRATED):
                    fault = examiner.check(one)
                    if fault is not None:
                        yield _finding(subject, one)
        subject.count(STATES, number, len(scopes))


def _finding(subject: Subject, one: StoredSlice) -> Finding:
    position, where = one.snapshot.position, one.path.encode() or "the root"
    message = f"slice {one.stored.module!r} of {where!r} at position {position} is not what its records give"
    if any(damaged <= position for damaged in subject.damaged):
        # It may hold what a lost record did: then it is all that is left of that.
        message += ", of which some are damaged or missing: it may be all that is left of them"
        loss = "it stays in use; read from it what is still of use before newer ones take its place"
        return Finding(check=STATES, message=message, path=one.path, position=position, loss=loss)
    return Finding(check=STATES, message=message, path=one.path, position=position, is_derived=True)
