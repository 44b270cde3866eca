"""Taking lines into a store: in order, many a transaction, and each once however often it comes."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final

import attrs

from eliza_state.change import Change
from eliza_state.cli.lines import Line, read_blocks, to_dispatch
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import StateError, StoreError
from eliza_state.ids import encode_id
from eliza_state.portal import SyncStateManager

CHUNK_LINES: Final = 500
"""How many lines share a transaction, and among how many one is looked for that is stored already."""

_QUIET_S: Final = 0.2


@attrs.frozen
class Source:
    """Where lines come from: the name that goes into their ids, the one to show, and the bytes."""

    name: str
    shown: str
    stream: BinaryIO


@attrs.define
class Tally:
    """What became of the lines."""

    stored: int = 0
    present: int = 0
    refused: int = 0

    @property
    def lines(self) -> int:
        """All lines so far."""
        return self.stored + self.present + self.refused


class Stopped(Exception):
    """A line was refused, and no further one is wanted."""


@attrs.frozen
class _Entry:
    """A line with what it asks for, or why that cannot be told."""

    number: int
    dispatch: Dispatch | None
    problem: str = ""


class Ingestion:
    """Take the lines of one source after the other.

    What an earlier run stored is there, and what it refused stays refused (unless `retry`), even if it would
    be taken now: so a run that was cut short and one more end where a single run ends. An earlier run judged
    a line if a stored one follows among `CHUNK_LINES` lines.

    `refused(text)` is told of each refused line, `advanced(tally, size_bytes)` of progress. With `strict` the
    first refused line raises `Stopped`: the lines before it are stored, it and those after it are not.
    Raises `StoreError` when the store fails; what was stored stays.
    """

    def __init__(
        self,
        manager: SyncStateManager,
        *,
        strict: bool,
        retry: bool,
        refused: Callable[[str], None],
        advanced: Callable[[Tally, int], None],
    ) -> None:
        self.tally = Tally()
        self._manager = manager
        self._strict = strict
        self._retry = retry
        self._refused = refused
        self._advanced = advanced
        self._holds_records = manager.position() > 0

    def take(self, source: Source) -> None:
        """Take all lines of a source."""
        waiting: list[_Entry] = []
        looking = self._holds_records
        for block in read_blocks(source.stream):
            for line in block.lines:
                entry = self._entry(line, source)
                if looking and entry.dispatch is not None and self._is_stored(entry.dispatch):
                    self._settle(waiting, source)
                    waiting.clear()
                    self.tally.present += 1
                    continue
                waiting.append(entry)
                if len(waiting) == CHUNK_LINES:
                    # Where nothing was taken nothing is known: an earlier run may have refused all of it.
                    looking = self._judge(waiting, source) == 0 and looking
                    waiting.clear()
            if waiting and _is_quiet(source.stream):
                self._judge(waiting, source)
                waiting.clear()
            self._advanced(self.tally, block.size_bytes)
        self._judge(waiting, source)
        self._advanced(self.tally, 0)

    def _entry(self, line: Line, source: Source) -> _Entry:
        try:
            return _Entry(line.number, to_dispatch(line, source=source.name, tree=self._manager.tree))
        except StateError as error:
            return _Entry(line.number, None, str(error))

    def _is_stored(self, dispatch: Dispatch) -> bool:
        assert dispatch.id is not None
        return self._manager.journal.find(dispatch.to, encode_id(dispatch.id)) is not None

    def _settle(self, entries: Sequence[_Entry], source: Source) -> None:
        """Leave lines as an earlier run, which went on after them, left them."""
        if self._retry:
            self._judge(entries, source)
            return
        for entry in entries:
            reason = entry.problem or "refused by an earlier run, which went on; --retry judges it anew"
            self._refuse(entry.number, reason, source)

    def _judge(self, entries: Sequence[_Entry], source: Source) -> int:
        """Dispatch what lines ask for; return how many of them were stored."""
        before = self.tally.stored
        if self._strict:
            self._judge_strictly(entries, source)
        elif entries:
            self._judge_leniently(entries, source)
        return self.tally.stored - before

    def _judge_leniently(self, entries: Sequence[_Entry], source: Source) -> None:
        dispatches = [entry.dispatch for entry in entries if entry.dispatch is not None]
        results = iter(self._manager.dispatch_all(dispatches, return_exceptions=True))
        for entry in entries:
            if entry.dispatch is None:
                self._refuse(entry.number, entry.problem, source)
                continue
            result = next(results)
            if isinstance(result, StoreError):
                raise result
            if isinstance(result, StateError):
                self._refuse(entry.number, str(result), source)
            elif result.duplicate:
                self.tally.present += 1
            else:
                self.tally.stored += 1
        self._advanced(self.tally, 0)

    def _judge_strictly(self, entries: Sequence[_Entry], source: Source) -> None:
        """Store all, or those before the first that is refused."""
        dispatches = [entry.dispatch for entry in entries if entry.dispatch is not None]
        if len(dispatches) == len(entries) and self._store_whole(dispatches):
            return
        # One by one they tell which it is.
        for entry in entries:
            if entry.dispatch is None:
                self._refuse(entry.number, entry.problem, source)
                continue
            try:
                self._count(self._manager.dispatch_all([entry.dispatch]))
            except StoreError:
                raise
            except StateError as error:
                self._refuse(entry.number, str(error), source)

    def _store_whole(self, dispatches: Sequence[Dispatch]) -> bool:
        """Store all of them, or, where one is refused, none; tell which."""
        try:
            changes = self._manager.dispatch_all(dispatches)
        except StoreError:
            raise
        except StateError:
            return False
        self._count(changes)
        return True

    def _count(self, changes: Sequence[Change]) -> None:
        present = sum(change.duplicate for change in changes)
        self.tally.present += present
        self.tally.stored += len(changes) - present
        self._advanced(self.tally, 0)

    def _refuse(self, number: int, reason: str, source: Source) -> None:
        self.tally.refused += 1
        self._refused(f"{source.shown}:{number}: {reason}")
        if self._strict:
            raise Stopped


def _is_quiet(stream: BinaryIO) -> bool:
    """Tell whether a pipe has nothing to read for a moment: then what it gave should not wait for more."""
    if stream.seekable():
        return False
    try:
        return not select.select([stream], [], [], _QUIET_S)[0]
    except (OSError, ValueError):  # not a file that can be waited for, here or on this system
        return True
