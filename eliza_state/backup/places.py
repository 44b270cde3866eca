"""From what names a store to its database, and what a journal's file says of itself."""

from __future__ import annotations

import os
from pathlib import Path as FilePath
from typing import Final

from sqlalchemy import URL

from eliza_state.backup.manifest import Instant
from eliza_state.change import to_datetime
from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.files import StrPath
from eliza_state.journal import schema
from eliza_state.journal.archive.segment import Segments
from eliza_state.journal.source import ARCHIVE, JournalSource
from eliza_state.journal.sql import SqlJournal
from eliza_state.manager import StateManager
from eliza_state.path import Path

_SERVER: Final = "postgresql"


def database_of(store: StateManager | StrPath, *, is_there: bool = True) -> str:
    """Return the path of a store's file; raises `StoreError` where there is none that could be copied."""
    if isinstance(store, StateManager):
        database = store.core.database
    else:
        name = os.fspath(store)
        if name.startswith(_SERVER):
            raise StoreError(_on_server())
        url = name if "://" in name else f"sqlite:///{name}"
        database = JournalSource(url=url, read_only=is_there, clock=now_us).database
    if database is None:
        raise StoreError(f"a store in memory has no file to copy; {_on_server()}")
    return database


def _on_server() -> str:
    tables = ", ".join(sorted(schema.metadata.tables))
    return (
        "a store on PostgreSQL is copied by pg_dump and brought back by pg_restore, the whole database in one"
        f" dump, as its tables go together: {tables}, and those of plugins"
    )


def stands_at(database: str) -> Instant:
    """Return where the journal in a file stands, changing nothing."""
    segments = Segments(FilePath(database + ARCHIVE))
    url = URL.create("sqlite", database=database)
    journal = SqlJournal(url, writer="", read_only=True, segments=segments)
    try:
        position = journal.head()
        at_us = journal.facts(Path(), until=position).last_activity_us
        return Instant(
            epoch=journal.epoch, position=position, recorded_at=to_datetime(at_us) if at_us else None
        )
    finally:
        journal.close()
