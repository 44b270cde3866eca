"""Making anew what follows from the records, and saying what does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs
from sqlalchemy import URL, Connection

from eliza_state import sqlite
from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.health.verifying import files, indexes, journal_tables, snapshots, states, tables
from eliza_state.health.verifying.finding import Finding, Told, Verification
from eliza_state.health.verifying.subject import Subject, name_of
from eliza_state.health.verifying.verification import KEPT, verify, verify_files
from eliza_state.journal.lease import Lease
from eliza_state.journal.source import JournalSource
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.storage import Storage
from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.keys import name_of as key_name
from eliza_state.storage.keys import names_of, split_key

_WITH_LOG: Final = ("", "-wal", "-shm")


@attrs.frozen(kw_only=True)
class Repair:
    """What a repair found, did, or with `is_dry_run` would do, and what is left.

    `done` says it in sentences. `after` is a verification of the outcome, in a dry run the one `before`.
    """

    before: Verification
    done: tuple[str, ...]
    after: Verification
    is_dry_run: bool

    @property
    def lost(self) -> tuple[Finding, ...]:
        """The damages that nothing can be made anew from, each with what its loss means."""
        return tuple(finding for finding in self.after.findings if not finding.is_derived)

    @property
    def is_good(self) -> bool:
        """Whether nothing is damaged any more; in a dry run, whether nothing would be."""
        return not self.lost if self.is_dry_run else self.after.is_good

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "is_good": self.is_good,
            "is_dry_run": self.is_dry_run,
            "done": list(self.done),
            "lost": [finding.to_dict() for finding in self.lost],
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }


async def repair(url: str, *, dry_run: bool = False, told: Told | None = None, **options: Any) -> Repair:
    """Verify a store whole, make anew what follows from its records, and verify it once more.

    Of the journal these are the tables `below`, `erasure` and `restore` and the indexes of SQLite; of the
    rest all snapshots and the index file, which are removed where they are damaged: snapshots are taken anew
    at once, indexes by the next query. Records are never changed: what is damaged of them is named in `lost`,
    with what that means, and so is what else cannot be made anew. `options` are those of `StateManager.open`,
    its modules above all. The store must not be in use.
    Raises `StoreError` for a store that is not there, is in memory or is in use.
    """
    source = JournalSource(url=url, read_only=True, clock=now_us)
    if source.server is not None:
        raise StoreError("repairing is for files; restore a damaged database of a server from its backup")
    database = source.database
    if database is None:
        raise StoreError("a store in memory has nothing to be repaired")
    before = await _verified(url, database, told, options)
    planned = _planned(database, before)
    if dry_run or not planned:
        return Repair(before=before, done=planned, after=before, is_dry_run=dry_run)
    await asyncio.to_thread(partial(_repair_files, database, before))
    done = [*planned]
    with contextlib.suppress(StoreError):  # what keeps the store from being opened is told by the look after
        done += await _repair_snapshots(url, before, options)
    after = await _verified(url, database, told, options)
    return Repair(before=before, done=tuple(done), after=after, is_dry_run=False)


async def _verified(url: str, database: str, told: Told | None, options: Mapping[str, Any]) -> Verification:
    """Verify a store by a manager, or its files where none can open it."""
    try:
        async with StateManager.open(url, read_only=True, **options) as manager:
            return await verify(manager, sample=None, told=told)
    except StoreError:
        return await asyncio.to_thread(partial(verify_files, database, told=told))


def _of(verification: Verification, check: str) -> list[Finding]:
    return [each for each in verification.findings if each.check == check and each.is_derived]


def _planned(database: str, found: Verification) -> tuple[str, ...]:
    """Say what a repair will do."""
    planned: list[str] = []
    main = name_of(database)
    broken = {finding.file for finding in _of(found, files.FILE)}
    if main in broken:
        planned.append(f"make the indexes of {main} anew from its tables")
    if rows := _of(found, journal_tables.DERIVED):
        planned.append(
            f"make `below`, `erasure` and `restore` agree with the records: {_many(rows)} differences"
        )
    planned += [f"remove {file}: it is made anew" for file in _to_remove(database, found)]
    if faults := [*_of(found, snapshots.SNAPSHOTS), *_of(found, states.STATES)]:
        planned.append(
            f"remove what is of no use of the snapshots, and take them anew: {_many(faults)} faults"
        )
    if faults := _of(found, snapshots.ARCHIVE):
        planned.append(f"leave {len(faults)} damaged files in the archive: the next snapshot replaces them")
    return tuple(planned)


def _many(findings: Sequence[Finding]) -> str:
    return f"{len(findings)} or more" if len(findings) == KEPT else str(len(findings))


def _to_remove(database: str, found: Verification) -> list[str]:
    """Return the names of derived files that are damaged as files, and of an index file that is wrong."""
    main = name_of(database)
    names = [finding.file for finding in _of(found, files.FILE) if finding.file != main]
    names += [finding.file for finding in _of(found, indexes.INDEXES)]
    return list(dict.fromkeys(names))


def _repair_files(database: str, found: Verification) -> None:
    """Repair the journal's tables and remove damaged derived files, while nobody else has the store."""
    lease = Lease(database, exclusive=True)
    try:
        for name in _to_remove(database, found):
            for suffix in _WITH_LOG:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(os.path.dirname(database), name + suffix))
        broken = any(finding.file == name_of(database) for finding in _of(found, files.FILE))
        if broken or _of(found, journal_tables.DERIVED):
            _repair_tables(database, found.damaged, reindex=broken)
    finally:
        lease.release()


def _repair_tables(database: str, damaged: frozenset[int], *, reindex: bool) -> None:
    engine = sqlite.writing_engine(URL.create("sqlite", database=database), synchronous="FULL")
    try:
        with sqlite.translated("repair"), engine.connect() as connection, connection.begin():
            if reindex:
                connection.exec_driver_sql("REINDEX")
            _repair_below(connection, damaged)
            _repair_erasures(connection, damaged)
            _repair_restores(connection, damaged)
    finally:
        engine.dispose()


def _repair_below(connection: Connection, damaged: frozenset[int]) -> None:
    missing = [row for row in tables.missing_below(connection) if row[1] not in damaged]
    there = {position for (position,) in connection.exec_driver_sql("SELECT position FROM record")}
    extra = [row for row in tables.extra_below(connection) if row[1] not in damaged & there]
    _run(connection, "INSERT INTO below VALUES (?, ?)", missing)
    _run(connection, "DELETE FROM below WHERE scope = ? AND position = ?", extra)


def _repair_erasures(connection: Connection, damaged: frozenset[int]) -> None:
    expected, stored = tables.expected_erasures(connection), tables.stored_erasures(connection)
    head = tables.head(connection)
    # Not settled: whoever opens the store next looks for snapshots with what was erased once more.
    wrong = [
        (scope, position)
        for scope, position in expected.items()
        if position not in damaged
        and (
            not tables.is_marked(stored.get(scope, (None, 0))[0], position, head=head)
            or stored[scope][1] not in (0, 1)
        )
    ]
    _run(
        connection,
        "INSERT INTO erasure (scope, position, settled) VALUES (?, ?, 0)"
        " ON CONFLICT (scope) DO UPDATE SET position = excluded.position, settled = 0",
        wrong,
    )
    gone = [
        (scope,)
        for scope in stored.keys() - expected.keys()
        if stored[scope][0] not in damaged and not tables.may_be_archived(connection, stored[scope][0])
    ]
    _run(connection, "DELETE FROM erasure WHERE scope = ?", gone)


def _repair_restores(connection: Connection, damaged: frozenset[int]) -> None:
    expected, stored = tables.expected_restores(connection), tables.stored_restores(connection)
    _run(
        connection,
        "INSERT INTO restore VALUES (?, ?)",
        [row for row in expected - stored if row[1] not in damaged],
    )
    gone = [
        row
        for row in stored - expected
        if row[1] not in damaged and not tables.may_be_archived(connection, row[1])
    ]
    _run(connection, "DELETE FROM restore WHERE scope = ? AND position = ?", gone)


def _run(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        connection.exec_driver_sql(statement, list(rows))


async def _repair_snapshots(url: str, before: Verification, options: Mapping[str, Any]) -> list[str]:
    """Remove snapshots that are of no use, and take those of the scopes concerned anew."""
    faults = [*_of(before, snapshots.SNAPSHOTS), *_of(before, states.STATES)]
    removed = [each for each in _of(before, files.FILE) if each.file.endswith(files.DERIVED[0])]
    if not faults and not removed:
        return []
    async with StateManager.open(url, **options) as manager:
        wrong = {each.path for each in faults if each.check == states.STATES and each.path is not None}
        count, paths = await asyncio.to_thread(partial(_remove, manager, wrong))
        taken = sum([await _take(manager, path) for path in paths])
    return [f"removed {count} entries of the snapshots", f"took {taken} snapshots anew"]


def _remove(manager: StateManager, wrong: set[Path]) -> tuple[int, set[Path]]:
    """Remove entries that are of no use, and all snapshots of their scopes and of the `wrong` ones."""
    store = manager.core.snapshots
    if store is None:
        return 0, set()
    subject = Subject(
        database=manager.core.database,
        journal=manager.journal,
        manager=manager,
        until=manager.journal.head(),
        sample=None,
        told=lambda _progress: None,
    )
    found = snapshots.look(subject)
    faults = [] if found is None else found.faults
    keys = list(dict.fromkeys(key for key, _, _ in faults if key))
    store.use(partial(_remove_keys, keys))
    paths = wrong | {path for _, _, path in faults if path is not None}
    for path in paths:
        store.remove(path, before=manager.journal.head() + 1)
    return len(keys), paths


async def _remove_keys(keys: Sequence[str], storage: Storage[bytes]) -> None:
    for key in keys:
        space, _ = split_key(key)
        with contextlib.suppress(InvalidKey):
            await storage.namespace(*names_of(space)).delete(key_name(key))
        for backend in snapshots.kept_in(storage):
            await backend.remove([key])


async def _take(manager: StateManager, path: Path) -> bool:
    access = manager.root.access
    if (
        access.snapshotter is None
        or not manager.journal.facts(path, until=manager.journal.head()).last_position
    ):
        return False
    async with access.scopes.held([path]) as held:
        return await access.snapshotter.take(held[path])
