"""How the state of a scope is found again: the newest valid snapshots, and the records since.

Synchronous and without effect on anything: it runs in a reader thread, and looking at the past is the same
call with an earlier position.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import attrs

from eliza_state.archived_snapshot import ArchivedSnapshot
from eliza_state.change import Record
from eliza_state.collector import collector_paused
from eliza_state.decoding import Report, in_batches, read_event, read_events
from eliza_state.errors import Rejected, StateError
from eliza_state.event import RESTORE
from eliza_state.journal.contract import Journal
from eliza_state.journal.lineage import Stretch, stretches
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.slice_migration import Use, migrate_slice, use_of
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.snapshots import ChunkMissing, Fetch, ScopeSnapshot, SliceSnapshot, restore_slice
from eliza_state.tree import EventVersion, Stage, Tree

Lose = Callable[[StateError], None]
Snapshots: TypeAlias = SnapshotStore | ArchivedSnapshot
"""Where snapshots of a scope come from."""


@attrs.define
class Recovered:
    """The state of one scope at a position.

    `version` counts the records addressed to the scope, `position` is that of the last record addressed to
    it or below it. `ended` tells whether an event ended it, `archived` whether it is in the archive. `tail`
    and `tail_bytes` measure the records that no snapshot covered, `snapshot_bytes` the bodies of the
    snapshots used. Chunks are loaded later, at first touch: `on_loaded` is told their size, and `on_lost` is
    called when one cannot be had; what recovery itself had to load of them is `loaded_bytes`. `is_migrated`
    tells whether a slice was stored by an older version of its module. `events` are the names and schema
    versions of the records, `own_events` those of the ones addressed to the scope.
    """

    slices: dict[str, Any]
    version: int = 0
    position: int = 0
    last_activity_us: int = 0
    ended: bool = False
    archived: bool = False
    tail: int = 0
    tail_bytes: int = 0
    snapshot_bytes: int = 0
    loaded_bytes: int = 0
    is_migrated: bool = False
    events: set[EventVersion] = attrs.Factory(set[EventVersion])
    own_events: set[EventVersion] = attrs.Factory(set[EventVersion])
    on_loaded: Callable[[int], None] | None = None
    on_lost: Callable[[], None] | None = None


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
    snapshots: SnapshotStore | None,
    report: Report,
) -> Recovered:
    """Return the state of `path` at position `until`, read from the journal and from snapshots, if any.

    A snapshot that turns out to be unusable, now or when a chunk is touched later, is set aside and reported.
    """
    with journal.keeping():
        is_archived = journal.archived_scope(path) is not None
        state = journal.archived_state(path) if is_archived else None
        found = snapshots if state is None else ArchivedSnapshot(state)
        sources = _Sources(tree, journal, found, report)
        while True:
            try:
                recovered = _recover(sources, path, until=until)
                recovered.archived = is_archived
                return recovered
            except ChunkMissing:
                # Its snapshot is set aside by now, so that every round has one fewer to start from.
                continue


class _Sources(NamedTuple):
    """Where a state is recovered from, and who is told of what is wrong there."""

    tree: Tree
    journal: Journal
    snapshots: Snapshots | None
    report: Report


def _recover(sources: _Sources, path: Path, *, until: int) -> Recovered:
    tree, journal = sources.tree, sources.journal
    found = Recovered(tree.initial(tree.hierarchy.level(path)))
    facts = journal.facts(path, until=until)
    if not facts.last_position:
        return found
    kind = tree.event_type(facts.last_event)
    found.version, found.position = facts.version, facts.last_position
    found.last_activity_us = facts.last_activity_us
    found.ended = kind is not None and kind.ends_scope
    if journal.erased_at(path):
        sources = sources._replace(report=partial(_report_all_but_refusals, sources.report))
    with collector_paused():
        for modules, way in _ways(sources, path, until=until):
            covered, records = _start(sources, path, modules, way, until=until, found=found)
            if modules and not any(module.restorable for module in modules.values()):
                records = (record for record in records if record.event != RESTORE)
            _fold(tree, records, found, depth=len(path.steps), covered=covered, report=sources.report)
    return found


def _ways(
    sources: _Sources, path: Path, *, until: int
) -> Iterator[tuple[dict[str, StateModule[Any]], Iterator[Stretch]]]:
    """Yield which stored modules of a scope are folded over which stretches of its records.

    It is one way for all, unless the scope was restored and some of its modules take no part in that.
    """
    tree = sources.tree
    modules = {
        name: module
        for name, module in tree.modules(tree.hierarchy.level(path)).items()
        if not module.volatile
    }
    way = stretches(sources.journal, path, until=until)
    last = next(way)
    kept = {name: module for name, module in modules.items() if not module.restorable and last.after}
    yield {name: modules[name] for name in modules.keys() - kept.keys()}, itertools.chain([last], way)
    if kept:
        yield kept, iter([Stretch(0, until)])


def _start(
    sources: _Sources,
    path: Path,
    modules: Mapping[str, StateModule[Any]],
    way: Iterator[Stretch],
    *,
    until: int,
    found: Recovered,
) -> tuple[dict[str, int], Iterator[Record]]:
    """Put the last usable snapshot of each slice on its way into `found`.

    Return the position that each slice stands at, and the records from there on. Of the way, which begins
    with its end, no more is taken than what comes after the snapshots.
    """
    covered = {name: module.since_position for name, module in modules.items()}
    missing = dict(modules)
    snapshots = _candidates(sources, path, until=until, found=found) if modules else []
    taken: list[Stretch] = []
    while missing and (stretch := next(way, None)) is not None:
        taken.append(stretch)
        for snapshot in snapshots:
            if missing and stretch.reaches(snapshot.position):
                restored = _load(sources, path, snapshot, missing, found=found)
                covered |= dict.fromkeys(restored, snapshot.position)
                for name in restored:
                    del missing[name]
    first = min(covered.values(), default=until)
    read = sources.journal.read
    parts = [read(path, after=max(first, after), until=last) for after, last in taken if last > first]
    return covered, itertools.chain.from_iterable(reversed(parts))


def _load(
    sources: _Sources,
    path: Path,
    snapshot: ScopeSnapshot,
    modules: Mapping[str, StateModule[Any]],
    *,
    found: Recovered,
) -> list[str]:
    """Put what a snapshot has of these modules into `found`, if it can be used; return their names."""
    lose = _losing(sources, path, snapshot, found)
    if not is_usable(sources.journal, snapshot, until=snapshot.position, lose=lose):
        return []
    restored = _restore(sources, path, snapshot, modules, found=found, lose=lose)
    for stored in restored:
        found.snapshot_bytes += len(stored.body)
        found.events |= snapshot.events or frozenset()
        found.own_events |= snapshot.own_events
    return [stored.module for stored in restored]


def _candidates(sources: _Sources, path: Path, *, until: int, found: Recovered) -> list[ScopeSnapshot]:
    """Return the snapshots of a scope up to a position, the newest first."""
    candidates: list[ScopeSnapshot] = []
    for snapshot in _unerased_snapshots(sources, path):
        if 0 < snapshot.position <= until:
            candidates.append(snapshot)
        else:  # set aside where the journal has lost its end
            is_usable(sources.journal, snapshot, until=until, lose=_losing(sources, path, snapshot, found))
    return candidates


def _losing(sources: _Sources, path: Path, snapshot: ScopeSnapshot, found: Recovered) -> Lose:
    """Return what is to be called when a snapshot turns out to be of no use."""
    assert sources.snapshots is not None
    return partial(_set_aside, sources.snapshots, path, snapshot, found=found, report=sources.report)


def _unerased_snapshots(sources: _Sources, path: Path) -> list[ScopeSnapshot]:
    """Return the snapshots of a scope that hold nothing that was erased; the others are removed for good."""
    snapshots = sources.snapshots
    if snapshots is None:
        return []
    found = snapshots.load(path, report=partial(_report_unreadable, sources.report, path))
    if not found:
        return []
    # Asked for behind them, so that what was erased a moment before is not in one of them.
    erased_at = sources.journal.erased_at(path)
    kept = [snapshot for snapshot in found if not erased_at or snapshot.position >= erased_at]
    if len(kept) < len(found):
        try:
            snapshots.remove(path, before=erased_at)
        except StateError as error:
            message = f"what was erased is still in a snapshot that is not used any more: {error}"
            sources.report(Problem("snapshot", message, path, error))
    return kept


def _report_all_but_refusals(report: Report, problem: Problem) -> None:
    """Pass on a problem, unless a reducer refuses what made sense before other records were erased."""
    if not isinstance(problem.error, Rejected):
        report(problem)


def _restore(
    sources: _Sources,
    path: Path,
    snapshot: ScopeSnapshot,
    modules: Mapping[str, StateModule[Any]],
    *,
    found: Recovered,
    lose: Lose,
) -> list[SliceSnapshot]:
    """Put those slices of a snapshot that today's modules can use into `found`, and return them."""
    assert sources.snapshots is not None
    tree, place = sources.tree, sources.journal.epoch + path.encode()
    fetch = fetching(sources.snapshots, path, found=found, lose=lose)
    restored: list[SliceSnapshot] = []
    for stored in snapshot.slices:
        module = modules.get(stored.module)
        if module is None:
            continue
        use = use_of(stored, module, handled=tree.handled(stored.module), events=snapshot.events)
        try:
            if use is Use.AS_IT_IS:
                state = restore_slice(module, stored.body, fetch, place=place, lose=lose, codec=tree.codec)
            elif use is Use.MIGRATED:
                state = migrate_slice(module, stored, fetch, codec=tree.codec)
            else:
                if use is Use.LEFT:
                    _report_newer(sources, path, stored, module)
                continue
        except ChunkMissing:
            continue  # `lose` was told where it was missed
        except StateError as error:
            lose(error)
        else:
            found.slices[stored.module] = state
            found.is_migrated |= use is Use.MIGRATED
            restored.append(stored)
    return restored


def _report_newer(sources: _Sources, path: Path, stored: SliceSnapshot, module: StateModule[Any]) -> None:
    assert sources.snapshots is not None
    if sources.snapshots.is_first_of(stored.module, stored.module_version):
        message = (
            f"a snapshot holds module {stored.module!r} in version {stored.module_version}, known here up to"
            f" version {module.version}: the records take its place, and it is left for the newer code;"
            " others like it are not reported"
        )
        sources.report(Problem("snapshot", message, path))


def fetching(snapshots: Snapshots, path: Path, *, found: Recovered, lose: Lose) -> Fetch:
    """Return what fetches chunks of a snapshot, and gives the snapshot up when it cannot."""

    def fetch(digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        try:
            contents = snapshots.chunks(path, digests)
        except ChunkMissing as error:
            lose(error)
            raise
        size_bytes = sum(map(len, contents.values()))
        if found.on_loaded is not None:
            found.on_loaded(size_bytes)
        else:
            found.loaded_bytes += size_bytes
        return contents

    return fetch


def _report_unreadable(report: Report, path: Path, error: StateError) -> None:
    report(Problem("snapshot", f"{error}; an older one or the records take its place", path, error))


def _set_aside(
    snapshots: Snapshots,
    path: Path,
    snapshot: ScopeSnapshot,
    error: StateError,
    *,
    found: Recovered,
    report: Report,
) -> None:
    snapshots.set_aside(path, snapshot)
    report(Problem("snapshot", f"the snapshot at {snapshot.position} is set aside: {error}", path, error))
    if found.on_lost is not None:
        found.on_lost()


def is_usable(journal: Journal, snapshot: ScopeSnapshot, *, until: int, lose: Lose) -> bool:
    """Tell whether a snapshot is early enough, and was taken from this journal as it is now."""
    position = snapshot.position
    if position > until:
        if position > journal.head():
            lose(StateError("the journal ends before it: a tail was lost, or an older copy restored"))
        return False
    record = next(journal.read(Path(), after=position - 1, until=position), None)
    if record is None or (record.key, record.writer) != (snapshot.record_key, snapshot.writer):
        lose(StateError("the journal has another record there: a copy went on, or replicas were merged"))
        return False
    return True


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
    reached_by = _reach(tree, found, depth=depth, names=slices.keys() & covered.keys())
    for batch in in_batches(records):
        found.tail += len(batch)
        found.tail_bytes += sum(len(record.content) for record in batch if isinstance(record.content, bytes))
        wanted: list[tuple[Record, tuple[Stage, ...]]] = []
        for record in batch:
            steps = reached_by(record)
            if steps:
                wanted.append((record, steps))
            else:
                _report_unusable(tree, record, depth=depth, report=report)
        events = read_events(tree, [record for record, _ in wanted], report)
        for (record, steps), event in zip(wanted, events, strict=True):
            for step in steps if event is not None else ():
                if record.position > covered[step.name]:
                    before = slices[step.name]
                    slices[step.name] = reduce_slice(step, before, event, record=record, report=report)


def _reach(
    tree: Tree, found: Recovered, *, depth: int, names: Set[str]
) -> Callable[[Record], tuple[Stage, ...]]:
    """Return what tells which of the slices of these names, at a depth, a record's event reaches.

    A module registered since the slices were made is left to those who read them again for it.
    """
    known: dict[tuple[str, int, str], tuple[Stage, ...]] = {}

    def reached_by(record: Record) -> tuple[Stage, ...]:
        level = tree.hierarchy.level(record.path)
        kind = (record.event, record.schema_version, level)
        steps = known.get(kind)
        if steps is None:
            steps = tuple(step for step in _steps(tree, record, level, depth) if step.name in names)
            known[kind] = steps
            _note_event(record, found, is_own=len(record.path.steps) == depth)
        return steps

    return reached_by


def _report_unusable(tree: Tree, record: Record, *, depth: int, report: Report) -> None:
    """Report a record that reaches no slice where it should have: a damaged one, or a restore of nothing."""
    if not record.event:
        read_event(tree, record, report)
    elif record.event == RESTORE and len(record.path.steps) == depth:
        message = f"record {record.position} restores what is not on the journal; it is left out"
        report(Problem("record", message, record.path))


def _note_event(record: Record, found: Recovered, *, is_own: bool) -> None:
    if record.event:  # else it is damaged
        found.events.add((record.event, record.schema_version))
        if is_own:
            found.own_events.add((record.event, record.schema_version))


def _steps(tree: Tree, record: Record, level: str, depth: int) -> tuple[Stage, ...]:
    """The stored slices at a depth that a record's event reaches."""
    kind = tree.event_type(record.event)
    if kind is None:
        return ()
    plan = tree.make_plan(kind.cls, level)
    return tuple(step for step in plan.steps if step.depth == depth and not step.module.volatile)
