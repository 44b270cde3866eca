"""Verifying a store: one table of checks, run in their order, each in a reader's thread."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from sqlalchemy import URL

from eliza_state.errors import StateError, StoreError
from eliza_state.health.verifying import (
    files,
    indexes,
    journal_tables,
    plugins,
    records,
    segments,
    snapshots,
    states,
)
from eliza_state.health.verifying.finding import Finding, Progress, Told, Verification
from eliza_state.health.verifying.subject import Subject, guarded
from eliza_state.journal.archive.segment import Segments
from eliza_state.journal.contract import Journal
from eliza_state.journal.source import ARCHIVE
from eliza_state.journal.sql import SqlJournal
from eliza_state.manager import StateManager

SAMPLE: Final = 100
"""How many scopes are folded and scanned unless told otherwise."""

KEPT: Final = 100
"""How many findings of each check are told one by one; all are counted."""

Find: TypeAlias = Callable[[Subject], Iterator[Finding]]
"""One check: yields what is damaged."""


class Check(NamedTuple):
    """A check, whether it needs a manager or the files alone, and whether what it looks at is made anew."""

    find: Find
    needs_manager: bool = False
    is_derived: bool = False


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        files.FILE: Check(files.check_files),
        records.RECORDS: Check(records.check_records),
        segments.SEGMENTS: Check(segments.check_segments),
        journal_tables.TABLES: Check(journal_tables.check_tables),
        journal_tables.DERIVED: Check(journal_tables.check_derived),
        plugins.PLUGINS: Check(plugins.check_plugins),
        snapshots.SNAPSHOTS: Check(snapshots.check_snapshots, needs_manager=True, is_derived=True),
        snapshots.ARCHIVE: Check(snapshots.check_archive, needs_manager=True, is_derived=True),
        states.STATES: Check(states.check_states, needs_manager=True, is_derived=True),
        indexes.INDEXES: Check(indexes.check_indexes, needs_manager=True, is_derived=True),
    }
)
"""The checks by name, in their order: the later ones build on what the earlier ones found."""


class _Stopped(Exception):
    """Nobody waits for the outcome any more."""


async def verify(
    manager: StateManager, *, sample: int | None = SAMPLE, told: Told | None = None
) -> Verification:
    """Look over the store of an open manager for damage; nothing is changed.

    All records, snapshots and chunks are read and held against their checksums, and the journal's tables
    against the records. Of `sample` scopes, always the same (`None`: of all), the snapshots are compared with
    the fold of their records, and the rows of the index file with a scan. The store may be in use meanwhile.
    `told` is told of progress, in the thread that does the work. What is in memory at once is a page of
    records, the names of chunks, and one scope. Damage is never raised, but found. Raises `StateError` for
    a sample below 1.
    """
    if sample is not None and sample < 1:
        raise StateError(f"a sample of 1 or more is wanted, or None for all, got {sample!r}")
    stopped = threading.Event()
    position = await manager.root.access.position()

    def tell(progress: Progress) -> None:
        if stopped.is_set():
            raise _Stopped
        if told is not None:
            told(progress)

    subject = Subject(
        database=manager.core.database,
        journal=manager.journal,
        manager=manager,
        until=position,
        sample=sample,
        told=tell,
    )
    try:
        return await asyncio.to_thread(partial(_verified, subject, is_whole=True))
    except asyncio.CancelledError:
        stopped.set()
        raise


def verify_files(database: str, *, is_copy: bool = False, told: Told | None = None) -> Verification:
    """Look over the files of a store that no manager can open, or of a copy; nothing is changed.

    Only what needs no modules is looked at. The rest is told as `unchecked`, but for a copy, which has no
    snapshots and no indexes. Raises `StoreError` where there is no file.
    """
    if not os.path.exists(database):
        raise StoreError(f"there is no store at {database!r}; name one that exists")
    journal = _journal(database)
    subject = Subject(
        database=database,
        journal=journal,
        manager=None,
        until=0 if journal is None else _head(journal),
        sample=None,
        told=(lambda _progress: None) if told is None else told,
    )
    try:
        return _verified(subject, is_whole=is_copy)
    finally:
        if journal is not None:
            journal.close()


def _journal(database: str) -> Journal | None:
    try:
        segments = Segments(FilePath(database + ARCHIVE))
        url = URL.create("sqlite", database=database)
        return SqlJournal(url, writer="", read_only=True, segments=segments)
    except StoreError:
        return None


def _head(journal: Journal) -> int:
    try:
        return journal.head()
    except StoreError:
        return 0


def _verified(subject: Subject, *, is_whole: bool) -> Verification:
    """Make all checks that can be made; what is not `is_whole` has parts that cannot be looked at."""
    findings: list[Finding] = []
    total = 0
    if subject.journal is None:
        subject.unchecked.append("the records: the journal cannot be opened")
    for name, check in CHECKS.items():
        if check.needs_manager and subject.manager is None:
            continue
        found = guarded(subject, name, check.find, is_derived=check.is_derived)
        kept, count = _bounded(found)
        findings += kept
        total += count
    if not is_whole:
        subject.unchecked.append("snapshots, states and indexes: the store cannot be opened")
    return Verification(
        position=subject.until,
        checked=dict(subject.checked),
        findings=tuple(findings),
        total=total,
        unchecked=tuple(subject.unchecked),
        damaged=frozenset(subject.damaged),
    )


def _bounded(found: Iterable[Finding]) -> tuple[list[Finding], int]:
    iterator = iter(found)
    kept = list(itertools.islice(iterator, KEPT))
    return kept, len(kept) + sum(1 for _ in iterator)
