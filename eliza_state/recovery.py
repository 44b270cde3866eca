"""How the state of a scope is found again: the newest valid snapshots, and the records since.

Synchronous and without effect on anything: it runs in a reader thread, and looking at the past is the same
call with an earlier position.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

import attrs

from eliza_state.change import Record
from eliza_state.codec import decode
from eliza_state.errors import InvalidEvent, StateError
from eliza_state.journal.contract import Journal, SliceSnapshot
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.snapshots import restore_slice
from eliza_state.tree import Step, Tree

Report = Callable[[Problem], None]


@attrs.define
class Recovered:
    """The state of one scope at a position.

    `version` counts the records addressed to the scope, `position` is that of the last record addressed to
    it or below it. `ended` tells whether an event ended it. `tail` and `tail_bytes` measure the records
    that no snapshot covered, `snapshot_bytes` the bodies of the snapshots used. `on_loaded` is told the
    size of every chunk that is loaded later, at first touch.
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


def reduce_slice(step: Step, state: Any, event: Any, *, record: Record, report: Report) -> Any:
    """Fold one event into one slice; a reducer that raises leaves the slice unchanged and is reported."""
    try:
        return step.reduce(state, event, record.path) if step.takes_path else step.reduce(state, event)
    except Exception as error:  # noqa: BLE001  # the log is the truth: no reducer can make it unreadable
        message = f"module {step.name!r} failed on record {record.position} ({record.event}): {error}"
        report(Problem("reducer", message, record.path, error))
        return state


def recover(tree: Tree, journal: Journal, path: Path, *, until: int, report: Report) -> Recovered:
    """Return the state of `path` at position `until`, read from the journal and its snapshots."""
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
        covered = _load_snapshots(tree, journal, path, until, found, report)
        first = min(covered.values(), default=until)
        records = journal.read(path, after=first, until=until)
        _fold(tree, records, found, depth=len(path.steps), covered=covered, report=report)
    return found


def _load_snapshots(
    tree: Tree, journal: Journal, path: Path, until: int, found: Recovered, report: Report
) -> dict[str, int]:
    """Put the newest usable snapshot of each slice into `found`; return the position each slice stands at."""
    modules = {
        name: module
        for name, module in tree.modules(tree.hierarchy.level(path)).items()
        if not module.volatile
    }
    covered = {name: module.since_position for name, module in modules.items()}
    restored: set[str] = set()

    def fetch(digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        contents = {digest: journal.chunk(path, digest) for digest in digests}
        if found.on_loaded is not None:
            found.on_loaded(sum(map(len, contents.values())))
        return contents

    for snapshot in journal.snapshots(path, until=until):
        module = modules.get(snapshot.module)
        if module is None or snapshot.module in restored or snapshot.module_version != module.version:
            continue
        try:
            _check_snapshot(journal, path, snapshot)
            place = journal.epoch + path.encode()
            found.slices[snapshot.module] = restore_slice(module, snapshot, fetch, place=place)
        except StateError as error:
            message = f"the snapshot of {snapshot.module!r} at {snapshot.position} is set aside: {error}"
            report(Problem("snapshot", message, path, error))
            continue
        restored.add(snapshot.module)
        covered[snapshot.module] = snapshot.position
        found.snapshot_bytes += len(snapshot.body)
    return covered


def _check_snapshot(journal: Journal, path: Path, snapshot: SliceSnapshot) -> None:
    """Raise `SnapshotError` unless the snapshot was taken from this journal as it is now."""
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
    steps_of: dict[tuple[str, str], tuple[Step, ...]] = {}
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


def _steps(tree: Tree, record: Record, level: str, depth: int) -> tuple[Step, ...]:
    """The stored slices at a depth that a record's event reaches."""
    kind = tree.event_type(record.event)
    if kind is None:
        return ()
    plan = tree.plan(kind.cls, level)
    return tuple(step for step in plan.steps if step.depth == depth and not step.module.volatile)
