"""Finding the slices that two replicas have changed without knowing of each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs

from eliza_state.debugger.errors import InvalidStatePath
from eliza_state.debugger.state_paths import MISSING, find, path_text
from eliza_state.diff import Difference, diff
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.synchronizer.conflicts import Conflict, Disagreement, shown
from eliza_state.synchronizer.synchronizer import Synchronizer, slices_of
from eliza_state.synchronizer.vector_clock import VectorClock
from eliza_state.tree import Tree

MOST_SLICES: Final = 20
MOST_PLACES: Final = 10
WHY: Final = "all records of both, in the order of their stamps"

Touched = set[tuple[Path, str]]


@attrs.frozen
class SliceState:
    """A slice as one replica had it, with its clock."""

    state: Any
    clock: VectorClock


def concurrent_slices(tree: Tree, first: Touched, second: Touched) -> list[tuple[Path, str]]:
    """Return the slices that records of both reach, given by path and event; the deepest scopes first."""
    ours = {found for path, event in first for found in slices_of(tree, path, event)}
    theirs = {found for path, event in second for found in slices_of(tree, path, event)}
    return sorted(ours & theirs, key=lambda found: (-len(found[0].steps), found[0].encode(), found[1]))


async def read_slices(manager: StateManager, slices: Iterable[tuple[Path, str]]) -> list[SliceState]:
    """Return slices as they are in a store."""
    synchronizer = Synchronizer(manager)
    return [
        SliceState(await manager.at(path).state(name), await synchronizer.clock_of(path, name))
        for path, name in slices
    ]


def conflict(
    path: Path, name: str, local: SliceState, remote: SliceState, merged: SliceState | None
) -> Conflict | None:
    """Return what two replicas did not agree on in a slice; `None` if they have it alike.

    Without `merged` it is not known yet what it comes to.
    """
    differences = [found for found in diff(local.state, remote.state) if found.kind != "moved"]
    if not differences:
        return None
    return Conflict(
        path=path.encode(),
        module=name,
        local_clock=local.clock,
        remote_clock=remote.clock,
        disagreements=tuple(_disagreement(found, merged) for found in differences[:MOST_PLACES]),
        count=len(differences),
    )


def _disagreement(found: Difference, merged: SliceState | None) -> Disagreement:
    return Disagreement(
        place=path_text(found.path),
        local=MISSING if found.kind == "added" else shown(found.before),
        remote=MISSING if found.kind == "removed" else shown(found.after),
        chosen=MISSING if merged is None else shown(_standing(merged.state, found)),
        why=WHY,
    )


def _standing(state: Any, found: Difference) -> Any:
    try:
        return find(state, found.path)
    except InvalidStatePath:  # what stands there now has no such place
        return MISSING
