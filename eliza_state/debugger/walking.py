"""Going through the records at and below a scope in one fold, with the states of all scopes concerned."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs

from eliza_state import diff as structural
from eliza_state.change import Record, SliceChange
from eliza_state.collector import collector_paused
from eliza_state.debugger.comparing import SliceDiff
from eliza_state.debugger.errors import InvalidStatePath
from eliza_state.debugger.folding import Moment
from eliza_state.debugger.history import History
from eliza_state.debugger.payloads import holds_text, masked_payload
from eliza_state.debugger.state_paths import MISSING, StatePath, find
from eliza_state.event import RESTORE
from eliza_state.path import Path
from eliza_state.snapshots import ChunkMissing

_MAX_SCOPES: Final = 1_024
_FIRST_BLOCK: Final = 32
_MAX_BLOCK: Final = 4_096


@attrs.frozen
class Criteria:
    """Which records to show: of an event, with a text in the payload, that changed a slice or a place in it.

    `below` is the scope at and below which records and slices are looked at; `only` leaves out the slices of
    the scopes below it.
    """

    below: Path
    only: bool = False
    module: str | None = None
    inside: StatePath | None = None
    event: str | None = None
    text: str | None = None

    def accepts(self, record: Record) -> bool:
        """Tell whether a record by itself is one of those."""
        if self.event is not None and record.event != self.event:
            return False
        return self.text is None or holds_text(record, self.text)

    def kept(self, changes: Sequence[SliceChange]) -> Sequence[SliceChange] | None:
        """Return which of a record's changes to show; `None` if it did not change what is looked for."""
        if self.module is None:
            return changes
        kept = [change for change in changes if change.module == self.module and self._reaches(change)]
        return kept or None

    def _reaches(self, change: SliceChange) -> bool:
        if self.inside is None:
            return True
        return differ(place_in(change.before, self.inside), place_in(change.after, self.inside))


def place_in(state: Any, path: StatePath) -> Any:
    """Return what stands at a path, `MISSING` also where a state of that time has no room for such a step."""
    try:
        return find(state, path)
    except InvalidStatePath:
        return MISSING


def differ(before: Any, after: Any) -> bool:
    """Tell whether two values differ as states do."""
    return before is not after and bool(structural.diff(before, after))


@attrs.frozen
class TimelineEntry:
    """A record, and what differs in each slice that it changed, the scopes above first."""

    record: Record
    changes: tuple[SliceDiff, ...]

    @property
    def position(self) -> int:
        """The position of the record."""
        return self.record.position

    def to_json(self) -> dict[str, Any]:
        """Return the record with its payload and what it changed as plain JSON data, secrets masked."""
        record = self.record
        return {
            "position": record.position,
            "version": record.version,
            "recorded_at": record.recorded_at.isoformat(),
            "event": record.event,
            "path": record.path.encode(),
            "id": record.id,
            "cause": record.cause,
            "payload": masked_payload(record),
            "changes": [change.to_json() for change in self.changes],
        }


def entry_of(record: Record, changes: Sequence[SliceChange]) -> TimelineEntry:
    """Return a record with the differences in what it changed."""
    found = (
        SliceDiff(change.path, change.module, structural.diff(change.before, change.after))
        for change in changes
    )
    return TimelineEntry(record, tuple(diff for diff in found if diff.differences))


class Walk:
    """Go through the records that `criteria` look at, from behind a position on, in one fold.

    Up to some thousand scopes are held at a time; a further one is found again when it is next reached.
    """

    def __init__(self, history: History, criteria: Criteria, *, after: int) -> None:
        self._history = history
        self._criteria = criteria
        self._first = len(criteria.below.steps)
        self._moments: OrderedDict[Path, Moment] = OrderedDict()
        self.position = after
        # From the beginning on, a scope that was not met yet is as it began.
        self._is_whole = after == 0

    def page(self, until: int, *, size: int) -> list[TimelineEntry]:
        """Go through the next `size` records up to a position and return what is to be shown of them."""
        start = self.position
        while True:
            records = self._history.journal.read(self._criteria.below, after=start, until=until, limit=size)
            page = list(records)
            try:
                with collector_paused():
                    entries = list(self._entries(page))
            except ChunkMissing:
                self._start_again(start)
                continue
            self.position = page[-1].position if len(page) == size else until
            return entries

    def _start_again(self, start: int) -> None:
        """Find the states behind a position anew: what they were read from is gone."""
        self._history.forget()
        self._moments.clear()
        self._is_whole = start == 0

    def _entries(self, records: Sequence[Record]) -> Iterator[TimelineEntry]:
        for record in records:
            changes = self._take(record)
            if self._criteria.accepts(record):
                kept = self._criteria.kept(changes)
                if kept is not None:
                    yield entry_of(record, kept)

    def _take(self, record: Record) -> list[SliceChange]:
        """Fold a record into the scopes on its path and return what it changed."""
        if record.event == RESTORE:
            return self._take_restore(record)
        changes: list[SliceChange] = []
        stages_by_depth = self._history.folding.stages(record)
        event = self._history.folding.event(record) if stages_by_depth else None
        if event is None:
            return changes
        own = len(record.path.steps)
        for depth in sorted(stages_by_depth):
            if depth < self._first or (self._criteria.only and depth > self._first):
                continue
            path = _chain(record.path)[depth]
            before = self._moment(path, record.position - 1)
            stages = stages_by_depth[depth]
            after = self._history.folding.after(before, stages, record, event, is_own=depth == own)
            self._moments[path] = after
            changes += [
                SliceChange(path, stage.name, before.slices[stage.name], after.slices[stage.name])
                for stage in stages
                if before.slices.get(stage.name) is not after.slices.get(stage.name)
            ]
        return changes

    def _take_restore(self, record: Record) -> list[SliceChange]:
        own = len(record.path.steps)
        if own < self._first or (self._criteria.only and own > self._first):
            return []
        path = record.path
        before = self._moment(path, record.position - 1).slices
        after = self._moments[path] = self._history.at(path, record.position)
        return [
            SliceChange(path, name, before[name], state)
            for name, state in after.slices.items()
            if name in before and before[name] is not state
        ]

    def _moment(self, path: Path, until: int) -> Moment:
        found = self._moments.get(path)
        if found is not None:
            self._moments.move_to_end(path)
            return found
        if len(self._moments) == _MAX_SCOPES:
            self._moments.popitem(last=False)
            self._is_whole = False
        if self._is_whole:
            tree = self._history.tree
            return Moment(tree.initial(tree.hierarchy.level(path)))
        return self._history.at(path, until)


@lru_cache(maxsize=4_096)
def _chain(path: Path) -> tuple[Path, ...]:
    return tuple(path.chain())


class BackwardWalk:
    """Go through the records that `criteria` look at, from a position back, the newest first.

    A block of records at a time is folded forwards; blocks grow while there is little to show.
    """

    def __init__(self, history: History, criteria: Criteria, *, after: int) -> None:
        self._history = history
        self._criteria = criteria
        self._after = after
        self._size = _FIRST_BLOCK

    def page(self, until: int) -> tuple[list[TimelineEntry], int]:
        """Return what is to be shown of the last block up to a position, and where to go on."""
        read = self._history.journal.read
        block = list(
            read(self._criteria.below, after=self._after, until=until, newest_first=True, limit=self._size)
        )
        if not block:
            return [], self._after
        first = block[-1].position
        self._size = min(self._size * 2, _MAX_BLOCK)
        if not any(map(self._criteria.accepts, block)):
            return [], first - 1
        walk = Walk(self._history, self._criteria, after=first - 1)
        entries = walk.page(until, size=len(block))
        return entries[::-1], first - 1
