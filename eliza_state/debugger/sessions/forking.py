"""Copying a past into a store of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Final

import attrs
import msgspec
from sqlalchemy import URL, create_engine, insert
from sqlalchemy.pool import NullPool

from eliza_state.change import Record
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.members import members
from eliza_state.debugger.points import checked
from eliza_state.debugger.ranges import Range, pages
from eliza_state.errors import StoreError
from eliza_state.event import ScopeRestored, event_type
from eliza_state.files import Files
from eliza_state.followers.positions import FollowerAdvanced
from eliza_state.journal import schema
from eliza_state.journal.contract import Draft, Journal, restore_of, told_restore
from eliza_state.journal.source import JournalSource
from eliza_state.journal.sql import SqlJournal
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.sqlite import translated
from eliza_state.tree import Tree

ORIGIN: Final = "forked_from"
"""The name in the table `meta` of a fork under which stands where it comes from, as JSON."""

_FOLLOWERS: Final = event_type(FollowerAdvanced).name


@attrs.frozen
class _Cut:
    """What a fork is made of: the records up to a position, of everything or of what a scope needs.

    A scope needs its own records, those below it, and those addressed to the scopes above it.
    """

    path: Path
    position: int

    def holds(self, record: Record) -> bool:
        """Tell whether a record belongs to it."""
        if not self.path.steps:
            return True
        path = record.path
        is_inside = path == self.path or path.is_below(self.path)
        # Where followers stand means nothing where records have other positions.
        return (is_inside or self.path.is_below(path)) and record.event != _FOLLOWERS


async def forked(looking: Looking, url: str, *, at: int | None, path: Path | str) -> StateManager:
    """Open a store with the past of another; see `Debugger.fork`."""
    last = await looking.last()
    cut = _Cut(looking.path_of(path), checked(last if at is None else at, last))
    source = JournalSource(url=url, clock=looking.manager.journal.clock)
    target = source.parsed()
    if target is None:
        return await _in_memory(looking, url, cut)
    if source.server is not None:
        raise StoreError("a fork is made in a file or in memory, not on a server; name a file")
    await _in_file(looking, source, target, cut)
    return await _opened(looking, url)


async def _in_memory(looking: Looking, url: str, cut: _Cut) -> StateManager:
    manager = await _opened(looking, url)
    try:
        await _copy(looking, cut, manager.journal)
        await manager.refresh()
    except BaseException:
        await manager.close()
        raise
    return manager


async def _in_file(looking: Looking, source: JournalSource, target: URL, cut: _Cut) -> None:
    """Make a database that appears under its name once it is whole."""
    file = FilePath(source.database or "")
    _check_is_free(file)
    temporary = file.with_name(f"{file.name}.fork-{uuid.uuid4().hex}")
    files = Files()
    beside = target.set(database=str(temporary)).difference_update_query(["synchronous"])
    try:
        journal = await asyncio.to_thread(
            SqlJournal,
            beside,
            writer=looking.manager.journal.writer,
            clock=source.clock,
            synchronous="NORMAL",  # closing it makes all of it durable at once
        )
        try:
            await _copy(looking, cut, journal)
        finally:
            await asyncio.to_thread(journal.close)
        await asyncio.to_thread(_note_origin, beside, looking.manager.journal.epoch, cut)
        _check_is_free(file)
        files.replace(temporary, file)
    except BaseException:
        for left in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):  # the first error is the one to tell
                files.remove(f"{temporary}{left}")
        raise
    files.sync_folder(file.parent)


def _check_is_free(file: FilePath) -> None:
    if os.path.lexists(file):
        raise StoreError(f"there is a file {str(file)!r} already; a fork is a new store, so name a new one")
    if not file.parent.is_dir():
        raise StoreError(f"there is no folder {str(file.parent)!r} for the store; create it first")


async def _copy(looking: Looking, cut: _Cut, journal: Journal) -> None:
    if not cut.position:
        return
    wanted = Range(Path(), 1, cut.position)
    head = 0
    async for page in pages(looking, wanted):
        drafts = [
            _draft(looking.tree, _within(record, cut, looking.manager.journal), journal)
            for record in page
            if cut.holds(record)
        ]
        if drafts:
            if journal.durable:
                await asyncio.to_thread(_append, journal, drafts, head)
            else:
                _append(journal, drafts, head)
            head += len(drafts)


def _within(record: Record, cut: _Cut, source: Journal) -> Record:
    """Return a record as it is or, where it restores a scope by a record that the cut lacks, by its own."""
    told = told_restore(record)
    restored = restore_of(record, source.find)
    if told is None or restored is None or not cut.path.is_below(record.path):
        return record
    before = source.read(record.path, until=restored.target, newest_first=True)
    newest = next(filter(cut.holds, before), None)
    below = "" if newest is None else Path(newest.path.steps[len(record.path.steps) :]).encode()
    named = "" if newest is None else newest.id
    content = ScopeRestored(position=told.position, record=named, below=below, last_event=told.last_event)
    return record._replace(content=content)


def _append(journal: Journal, drafts: Sequence[Draft], after: int) -> None:
    journal.append(drafts, after=after)
    if journal.wants_maintenance:
        journal.maintain()


def _draft(tree: Tree, record: Record, journal: Journal) -> Draft:
    """Return a record to be appended as it is; one that is damaged stays so, without its content."""
    content = record.content
    if not record.event:
        content = b""
    elif journal.durable and not isinstance(content, bytes):
        content = tree.codec.encode(content)
    return Draft(
        record.key,
        record.path,
        record.version,
        record.event,
        record.schema_version,
        content,
        record.cause,
        record.recorded_at_us,
    )


def _note_origin(url: URL, epoch: str, cut: _Cut) -> None:
    told = {"epoch": epoch, "position": cut.position, "path": cut.path.encode()}
    row = {"name": ORIGIN, "value": msgspec.json.encode(told).decode()}
    engine = create_engine(url, poolclass=NullPool)
    try:
        with translated("note where the fork comes from"), engine.begin() as connection:
            connection.execute(insert(schema.meta), [row])
    finally:
        engine.dispose()


async def _opened(looking: Looking, url: str) -> StateManager:
    tree = looking.tree
    return await StateManager.open(
        url,
        modules=members(tree),
        hierarchy=tree.hierarchy,
        secret_keys=tree.codec.serializer.secrets,
        clock=looking.manager.journal.clock,
    )
