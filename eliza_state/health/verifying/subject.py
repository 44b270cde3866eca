"""What is verified: the files of a store, its journal, and, where it can be opened, a manager on it."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Generator, Iterator
from typing import Final

import attrs
from sqlalchemy import URL, Connection

from eliza_state import sqlite
from eliza_state.errors import StoreError
from eliza_state.health.verifying.finding import Finding, Progress, Told
from eliza_state.journal.archive.rows import BlockRow
from eliza_state.journal.contract import Journal
from eliza_state.manager import StateManager
from eliza_state.path import Path

BUSY_TIMEOUT_MS: Final = 5_000


@attrs.define(kw_only=True)
class Subject:
    """A store under verification.

    `database` is the path of its file (`None`: in memory), `manager` is missing where it cannot be opened,
    `journal` where not even that can. `until` is the last position that is looked at, `damaged` are the
    positions of the damaged and missing records that were found by now, `events` (with their schema
    versions) and `writers` those of the others, `lost` the blocks of the archive that cannot be read.
    `sample` says how many scopes are to be folded (`None`: all). `checked` counts what a check has looked at.
    """

    database: str | None
    journal: Journal | None
    manager: StateManager | None
    until: int
    sample: int | None
    told: Told
    damaged: set[int] = attrs.Factory(set[int])
    events: set[tuple[str, int]] = attrs.Factory(set[tuple[str, int]])
    writers: set[str] = attrs.Factory(set[str])
    lost: list[BlockRow] = attrs.Factory(list[BlockRow])
    checked: dict[str, int] = attrs.Factory(dict[str, int])
    unchecked: list[str] = attrs.Factory(list[str])
    _chosen: list[Path] | None = None

    def count(self, check: str, done: int, total: int | None = None) -> None:
        """Note how many things a check has looked at by now, and tell."""
        self.checked[check] = done
        self.told(Progress(check, done, total))

    def scopes(self) -> list[Path]:
        """Return the scopes to fold: all, or the root and a uniform sample of the others, always the same.

        The sample is chosen without knowing of how many (Vitter's algorithm R, 1985).
        """
        if self._chosen is None:
            assert self.journal is not None
            chance = random.Random(0)  # noqa: S311  # which ones are looked at is no secret
            chosen: list[Path] = []
            for number, path in enumerate(_below(self.journal), 1):
                if self.sample is None or len(chosen) < self.sample:
                    chosen.append(path)
                elif (place := chance.randrange(number)) < self.sample:
                    chosen[place] = path
            self._chosen = [Path(), *chosen]
        return self._chosen


def _below(journal: Journal) -> Iterator[Path]:
    ahead = journal.children(Path())[::-1]
    while ahead:
        path = ahead.pop()
        yield path
        ahead += reversed(journal.children(path))


def name_of(file: str) -> str:
    """Return what a file is called in findings: its name without the folder."""
    return os.path.basename(file)


@contextlib.contextmanager
def reading(file: str) -> Generator[Connection]:
    """Open a SQLite file to read it, for one consistent look; `StoreError` where that fails."""
    engine = sqlite.reading_engine(
        URL.create("sqlite", database=file), busy_timeout_ms=BUSY_TIMEOUT_MS, read_only=True
    )
    try:
        with sqlite.translated(f"read {name_of(file)}"), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def guarded(
    subject: Subject, check: str, found: Callable[[Subject], Iterator[Finding]], *, is_derived: bool
) -> Iterator[Finding]:
    """Yield what a check finds; what cannot be read at all is a finding too."""
    try:
        yield from found(subject)
    except StoreError as error:
        loss = "" if is_derived else "what lies there cannot be read; restore the file from a backup"
        yield Finding(check=check, message=f"it cannot be read: {error}", is_derived=is_derived, loss=loss)
