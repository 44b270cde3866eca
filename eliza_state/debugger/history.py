"""The state of any scope at any position, found quickly again and again.

Synchronous and used by one thread at a time: the debugger runs it where the manager reads. A state is folded
from the nearest one before it that is known, from a stored snapshot or remembered here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from eliza_state.change import Record
from eliza_state.collector import collector_paused
from eliza_state.debugger.checkpoints import WINDOW, Checkpoints, Line
from eliza_state.debugger.folding import Folding, Moment
from eliza_state.decoding import in_batches
from eliza_state.journal.contract import Journal
from eliza_state.path import Path
from eliza_state.problems import Problems
from eliza_state.reading import Reading
from eliza_state.snapshots import ChunkMissing
from eliza_state.tree import Tree

_WORTH_KEEPING: Final = 64
"""Records that a fold has to take before what it met is remembered."""


class History:
    """Look up states in the past of one store, remembering at most `most` of them."""

    def __init__(
        self, tree: Tree, journal: Journal, *, reading: Reading, problems: Problems, most: int
    ) -> None:
        self.tree = tree
        self.journal = journal
        self.folding = Folding(tree, problems=problems)
        self._reading = reading
        self._checkpoints = Checkpoints(most=most)
        self._erased_at = 0
        self._registered: object = None

    def at(self, path: Path, until: int) -> Moment:
        """Return the state of a scope at a position; the initial one where no record reached it by then."""
        self._look_for_news()
        while True:
            try:
                return self._at(path, until)
            except ChunkMissing:
                # Its snapshot is set aside by now, so that every round has one fewer to start from.
                self._checkpoints.forget(path)

    def forget(self) -> None:
        """Forget all states that are remembered."""
        self._checkpoints.forget()

    def states(self, path: Path, *, after: int, until: int, limit: int) -> list[tuple[Record, Moment]]:
        """Return the next records at or below a scope, each with the state after it."""
        while True:
            start = self.at(path, after)
            records = self.journal.read(path, after=after, until=until, limit=limit)
            try:
                with collector_paused():
                    return list(self._folded(path, start, records))
            except ChunkMissing:
                self._checkpoints.forget(path)

    def _look_for_news(self) -> None:
        """Forget what may hold erased content, or lacks slices of modules registered since."""
        erased_at = self.journal.erased_at(Path())
        modules = [self.tree.modules(level) for level in self.tree.hierarchy.levels]
        if erased_at != self._erased_at:
            self._checkpoints.forget()
        if modules != self._registered:
            self.folding.forget()
        self._erased_at, self._registered = erased_at, modules

    def _at(self, path: Path, until: int) -> Moment:
        level = self.tree.hierarchy.level(path)
        modules = self.tree.modules(level)
        line = self._checkpoints.line(path, modules)
        found = line.exact(until)
        if found is not None:
            return found
        start = line.nearest(until)
        if start is None and not self.journal.facts(path, until=until).last_position:
            return Moment(self.tree.initial(level))
        start = self._start(path, line, start, until)
        return self._go_on(path, line, start, until)

    def _start(self, path: Path, line: Line, known: Moment | None, until: int) -> Moment:
        """Return the state to fold on from: the newest known one, of those remembered and stored.

        What comes before the last restore leads nowhere.
        """
        position = 0 if known is None else known.position
        restored = self.journal.restored_at(path, until=until)
        first = 0 if restored is None else restored.position
        stored = self._stored(path, until) if until - max(position, first) > line.stride else 0
        if max(stored, first) > position:
            recovered = self._reading.recover_here(path, max(stored, first))
            start = Moment(MappingProxyType(recovered.slices), recovered.version, recovered.position)
            line.keep(start)
            return start
        return known or Moment(self.tree.initial(self.tree.hierarchy.level(path)))

    def _stored(self, path: Path, until: int) -> int:
        """Return the position of the newest stored snapshot at or before a position; 0 if there is none."""
        snapshots = self._reading.snapshots
        if snapshots is None:
            return 0
        found = snapshots.load(path, report=lambda _error: None)  # recovery reports what it cannot use
        return max((snapshot.position for snapshot in found if snapshot.position <= until), default=0)

    def _go_on(self, path: Path, line: Line, start: Moment, until: int) -> Moment:
        """Fold from a state to a position, remembering what is met on the way."""
        is_next = bool(line.window) and start is line.window[-1]
        window = deque(line.window if is_next else (start,), maxlen=WINDOW)
        count = 0
        with collector_paused():
            for moment, count in self._met(path, start, until):
                window.append(moment)
                if count % line.stride == 0:
                    line.keep(moment)
        if count >= _WORTH_KEEPING or len(line):
            line.look_at(tuple(window), until=until)
            self._checkpoints.remember(path, line)
        return window[-1]

    def _met(self, path: Path, start: Moment, until: int) -> Iterator[tuple[Moment, int]]:
        """Yield states on the way to a position with how many records they are away: the last ones all.

        Before those it is one state for each run of records, none for what lies between.
        """
        moment, count = start, 0
        rest: list[Record] = []
        for run in in_batches(self.journal.read(path, after=start.position, until=until)):
            if len(rest) >= 2 * WINDOW:
                moment = self._fold(path, moment, rest[:WINDOW])
                count += WINDOW
                rest = rest[WINDOW:]
                yield moment, count
            rest += run
        for number, (_, last) in enumerate(self._folded(path, moment, rest), count + 1):
            yield last, number

    def _folded(
        self, path: Path, start: Moment, records: Iterable[Record]
    ) -> Iterator[tuple[Record, Moment]]:
        restored = partial(self._restored, path)
        return self.folding.folded(start, records, depth=len(path.steps), restored=restored)

    def _fold(self, path: Path, start: Moment, records: Sequence[Record]) -> Moment:
        restored = partial(self._restored, path)
        return self.folding.fold(start, records, depth=len(path.steps), restored=restored)

    def _restored(self, path: Path, record: Record) -> Moment:
        return self.at(path, record.position)
