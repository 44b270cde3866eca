"""How the state of a scope is found again: the newest valid snapshots, and the records since.

Synchronous and without effect on anything: it runs in a reader thread, and looking at the past is the same
call with an earlier position.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from eliza_state.change import Record
from eliza_state.codec import decode
from eliza_state.errors import InvalidEvent, StateError
from eliza_state.journal.contract import ChunkMissing, Journal, SliceSnapshot
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.snapshots import Fetch, restore_slice
from eliza_state.tree import Stage, Tree

Report = Callable[[Problem], None]

SetAside = set[tuple[Path, str, int]]
"""Snapshots that are not to be used: the scope, the slice, the position."""


@attrs.define
class Recovered:
    """The state of one scope at a position.

    `version` counts the records addressed to the scope, `position` is that of the last record addressed to
    it or below it. `ended` tells whether an event ended it. `tail` and `tail_bytes` measure the records
    that no snapshot covered, `snapshot_bytes` the bodies of the snapshots used. Chunks are loaded later, at
    first touch: `on_loaded` is told their size, and `on_lost` is called when one cannot be had.
    """

    slices: dict[str, Any]
    version: int = 0
    position: int = 0
    last_activity_us: int = 0
    ended: bool = False
    tail: int = 0
    tail_bytes: int = 0
    snapshot_bytes: int = 0
    on_loaded: Callable[[int], None] | None = None
    on_lost: Callable[[], None] | None = None


@contextlib.contextmanager
def collector_paused() -> Generator[None]:
    """Pause the garbage collector: decoding makes many objects and no garbage cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_event(tree: Tree, record: Record, report: Report) -> Any:
    """Return a record's event; `None`, reported where that is a surprise, if it cannot be had today."""
    if not record.event:
        message = f"record {record.position} is damaged and left out of the state"
        report(Problem("record", message, record.path))
        return None
    if not isinstance(record.content, bytes):
        return record.content
    kind = tree.event_type(record.event)
    if kind is None:
        return None
    try:
        return decode(kind, record.content, schema_version=record.schema_version)
    except InvalidEvent as error:
        report(Problem("record", f"record {record.position} cannot be read: {error}", record.path, error))
    except Exception as error:  # noqa: BLE001  # an upcaster is foreign code; the log must stay readable
        report(Problem("record", f"record {record.position} cannot be upcast: {error}", record.path, error))
    return None


def reduce_slice(step: Stage, state: Any, event: Any, *, record: Record, report: Report) -> Any:
    """Fold one event into one slice; a reducer that raises leaves the slice unchanged and is reported.

    Raises `ChunkMissing` when the reducer touched what the store cannot give any more.
    """
    try:
        return step.reduce(state, event, record.path) if step.takes_path else step.reduce(state, event)
    except ChunkMissing:
        raise
    except Exception as error:  # noqa: BLE001  # the log is the truth: no reducer can make it unreadable
        message = f"module {step.name!r} failed on record {record.position} ({record.event}): {error}"
        report(Problem("reducer", message, record.path, error))
        return state


def recover(
    tree: Tree,
    journal: Journal,
    path: Path,
    *,
    until: int,
    report: Report,
    set_aside: SetAside | None = None,
) -> Recovered:
    """Return the state of `path` at position `until`, read from the journal and its snapshots.

    Snapshots in `set_aside` are not used, and those that turn out to be unusable are added to it, now or
    when a chunk is touched later.
    """
    aside = set[tuple[Path, str, int]]() if set_aside is None else set_aside
    while True:
        try:
            return _recover(tree, journal, path, until=until, report=report, aside=aside)
        except ChunkMissing:
            # Its snapshot is set aside by now, so that every round has one fewer to start from.
            continue


def _recover(
    tree: Tree, journal: Journal, path: Path, *, until: int, report: Report, aside: SetAside
) -> Recovered:
    level = tree.hierarchy.level(path)
    found = Recovered(tree.initial(level))
    facts = journal.facts(path, until=until)
    if not facts.last_position:
        return found
    kind = tree.event_type(facts.last_event)
    found.version, found.position = facts.version, facts.last_position
    found.last_activity_us = facts.last_activity_us
    found.ended = kind is not None and kind.ends_scope
    with collector_paused():
        covered = _load_snapshots(tree, journal, path, until=until, found=found, report=report, aside=aside)
        first = min(covered.values(), default=until)
        records = journal.read(path, after=first, until=until)
        _fold(tree, records, found, depth=len(path.steps), covered=covered, report=report)
    return found


def _load_snapshots(
    tree: Tree,
    journal: Journal,
    path: Path,
    *,
    until: int,
    found: Recovered,
    report: Report,
    aside: SetAside,
) -> dict[str, int]:
    """Put the newest usable snapshot of each slice into `found`; return the position each slice stands at."""
    modules = {
        name: module
        for name, module in tree.modules(tree.hierarchy.level(path)).items()
        if not module.volatile
    }
    covered = {name: module.since_position for name, module in modules.items()}
    restored: set[str] = set()
    place = journal.epoch + path.encode()
    for snapshot in journal.snapshots(path, until=sys.maxsize):
        module = modules.get(snapshot.module)
        if module is None or snapshot.module in restored or snapshot.module_version != module.version:
            continue
        if (path, snapshot.module, snapshot.position) in aside:
            continue
        lose = partial(_set_aside, path, snapshot, found=found, report=report, aside=aside)
        if snapshot.position > until:
            if snapshot.position > journal.head():
                lose(StateError("the journal ends before it: a tail was lost, or an older copy restored"))
            continue
        try:
            _check_snapshot(journal, snapshot)
            fetch = _fetching(journal, path, found=found, lose=lose)
            state = restore_slice(module, snapshot, fetch, place=place, lose=lose)
            found.slices[snapshot.module] = state
        except StateError as error:
            lose(error)
            continue
        restored.add(snapshot.module)
        covered[snapshot.module] = snapshot.position
        found.snapshot_bytes += len(snapshot.body)
    return covered


def _fetching(journal: Journal, path: Path, *, found: Recovered, lose: Callable[[StateError], None]) -> Fetch:
    """Return what fetches chunks of a snapshot, and gives the snapshot up when it cannot."""

    def fetch(digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        try:
            contents = journal.chunks(path, digests)
        except ChunkMissing as error:
            lose(error)
            raise
        if found.on_loaded is not None:
            found.on_loaded(sum(map(len, contents.values())))
        return contents

    return fetch


def _set_aside(
    path: Path,
    snapshot: SliceSnapshot,
    error: StateError,
    *,
    found: Recovered,
    report: Report,
    aside: SetAside,
) -> None:
    aside.add((path, snapshot.module, snapshot.position))
    message = f"the snapshot of {snapshot.module!r} at {snapshot.position} is set aside: {error}"
    report(Problem("snapshot", message, path, error))
    if found.on_lost is not None:
        found.on_lost()


def _check_snapshot(journal: Journal, snapshot: SliceSnapshot) -> None:
    """Raise `StateError` unless the snapshot was taken from this journal as it is now."""
    record = next(journal.read(Path(), after=snapshot.position - 1, until=snapshot.position), None)
    if snapshot.epoch != journal.epoch or record is None or record.key != snapshot.record_key:
        raise StateError("it does not match the journal, or is damaged")


def _fold(
    tree: Tree,
    records: Iterable[Record],
    found: Recovered,
    *,
    depth: int,
    covered: dict[str, int],
    report: Report,
) -> None:
    slices = found.slices
    steps_of: dict[tuple[str, str], tuple[Stage, ...]] = {}
    for record in records:
        found.tail += 1
        found.tail_bytes += len(record.content) if isinstance(record.content, bytes) else 0
        level = tree.hierarchy.level(record.path)
        steps = steps_of.get((record.event, level))
        if steps is None:
            # A module registered since the slices were made is left to those who read them again for it.
            found_steps = _steps(tree, record, level, depth)
            steps = tuple(step for step in found_steps if step.name in slices)
            steps_of[record.event, level] = steps
        event = read_event(tree, record, report) if steps else None
        if event is None:
            if not record.event:
                read_event(tree, record, report)
            continue
        for step in steps:
            if record.position > covered[step.name]:
                slices[step.name] = reduce_slice(step, slices[step.name], event, record=record, report=report)


def _steps(tree: Tree, record: Record, level: str, depth: int) -> tuple[Stage, ...]:
    """The stored slices at a depth that a record's event reaches."""
    kind = tree.event_type(record.event)
    if kind is None:
        return ()
    plan = tree.make_plan(kind.cls, level)
    return tuple(step for step in plan.steps if step.depth == depth and not step.module.volatile)
