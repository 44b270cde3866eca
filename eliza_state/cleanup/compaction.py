"""Giving what files do not need any more back to the disk, in pieces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

import attrs

from eliza_state.cleanup.keys import plugins_of
from eliza_state.cleanup.policies import Compaction
from eliza_state.cleanup.work import Tally, Work
from eliza_state.errors import StateError
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.storage.backend import Backend

# Some milliseconds of the one connection that writes; most of them the wait for the disk.
_PIECE_BYTES: Final = 600_000


@attrs.frozen
class _File:
    """A file that may have room to give: how much there is, and how some of it is given."""

    name: str
    free: Callable[[], Awaitable[int]]
    give: Callable[[], Awaitable[int]]


async def clean_files(work: Work, policy: Compaction, tally: Tally) -> None:
    """Make the files of a store smaller, one after the other."""
    if policy.rewrite and not work.dry_run:
        await _rewrite(work, tally)
    for file in _files(work):
        try:
            await _shrink(work, file, tally)
        except StateError as error:
            tally.fail(file.name, error)


async def _shrink(work: Work, file: _File, tally: Tally) -> None:
    free = await file.free()
    if not free:
        return
    given = free if work.dry_run else 0
    while not work.dry_run and given < free and (piece := await file.give()):
        given += piece
        await work.pace.breathe()
    if given:
        tally.did(1, size_bytes=given)
    if free - given >= _PIECE_BYTES:
        reason = f"{free - given:,} bytes are free in it, and it was made before it could give them back"
        tally.hold_back(file.name, reason)


async def _rewrite(work: Work, tally: Tally) -> None:
    writer = work.manager.core.writer
    if writer is None:
        return
    try:
        given = await writer.run(work.manager.journal.rewrite)
    except StateError as error:
        tally.fail("journal", error)
    else:
        tally.did(1, size_bytes=given)


def _files(work: Work) -> Iterator[_File]:
    manager = work.manager
    core, journal, reading = manager.core, manager.journal, manager.root.access.reading
    if core.writer is not None:
        piece = partial(journal.give_back, max_bytes=_PIECE_BYTES)
        yield _File("journal", partial(reading.run, journal.free_bytes), partial(core.writer.run, piece))
    if core.snapshots is not None and core.snapshots.is_own:
        free, give = _of_snapshots(core.snapshots)
        yield _File("snapshots", partial(reading.run, free), partial(reading.run, give))
    plugins = plugins_of(manager)
    if plugins is not None:
        backend = plugins.storages()[""].backend
        yield _File("plugins", backend.free_bytes, partial(backend.give_back, max_bytes=_PIECE_BYTES))
    queries = manager.queries
    yield _File("indexes", queries.free_bytes, partial(queries.give_back, max_bytes=_PIECE_BYTES))


def _of_snapshots(snapshots: SnapshotStore) -> tuple[Callable[[], int], Callable[[], int]]:
    def ask(work: Callable[[Backend[Any]], Any]) -> int:
        return snapshots.use(lambda storage: work(storage.backend)) or 0

    return (
        partial(ask, lambda backend: backend.free_bytes()),
        partial(ask, lambda backend: backend.give_back(max_bytes=_PIECE_BYTES)),
    )
