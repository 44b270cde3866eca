"""What the workers were told of their operations, from their notes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from tests.faults.notes import lives, read_further, read_notes

STARTED = "started"
DONE = "done"
REFUSED = "refused"
FAILED = "failed"
BROKEN = "broken"


class Answer(NamedTuple):
    """What a dispatch returned for one record."""

    position: int
    version: int
    duplicate: bool


@attrs.define
class Operation:
    """One operation of a worker, over all its lives.

    `started_s` is when it was first called, `ended_s` when it was first answered, by the clock that all
    processes of a machine share. `attempts` counts the calls, `was_refused` tells of a refusal.
    """

    worker: int
    number: int
    started_s: float
    ended_s: float | None = None
    attempts: int = 0
    was_refused: bool = False
    answers: tuple[Answer, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether it was acknowledged."""
        return bool(self.answers)

    @property
    def is_over(self) -> bool:
        """Whether its worker was told what came of it."""
        return self.ended_s is not None


@attrs.define
class History:
    """The operations of one worker by number, and what it ran into that no fault explains."""

    worker: int
    operations: dict[int, Operation] = attrs.field(factory=dict)
    failures: dict[str, int] = attrs.field(factory=dict)
    broken: list[str] = attrs.field(factory=list)

    def take(self, notes: Iterable[list[Any]]) -> None:
        """Take in the notes of one life, in their order."""
        for kind, *rest in notes:
            self._take(kind, rest)

    def _take(self, kind: str, rest: list[Any]) -> None:
        if kind == BROKEN:
            self.broken.append(rest[0])
            return
        number, at_s, *told = rest
        operation = self.operations.setdefault(number, Operation(self.worker, number, at_s))
        if kind == STARTED:
            operation.attempts += 1
        elif kind == FAILED:
            self.failures[told[0]] = self.failures.get(told[0], 0) + 1
        else:
            operation.ended_s = at_s
            operation.was_refused = kind == REFUSED
            operation.answers = tuple(Answer(*answer) for answer in told[0]) if kind == DONE else ()


def worker_name(worker: int) -> str:
    """Return what a worker's files are named after."""
    return f"worker-{worker}"


def read_history(folder: Path, worker: int) -> History:
    """Return what a worker has noted in all its lives."""
    history = History(worker)
    for file in lives(folder, worker_name(worker)):
        history.take(read_notes(file))
    return history


class Count:
    """How many events the workers of a folder have been told to be stored, counted while they run."""

    def __init__(self, folder: Path, *, workers: int) -> None:
        self._folder = folder
        self._names = list(map(worker_name, range(workers)))
        self._read_bytes: dict[Path, int] = {}
        self._acknowledged = 0

    def acknowledged(self) -> int:
        """Return it, as far as it is noted."""
        for file in itertools.chain(*(lives(self._folder, name) for name in self._names)):
            notes, self._read_bytes[file] = read_further(file, after_bytes=self._read_bytes.get(file, 0))
            self._acknowledged += sum(len(rest[2]) for kind, *rest in notes if kind == DONE)
        return self._acknowledged
