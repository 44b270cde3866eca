"""From a store's URL to its journal."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Any, Final

import attrs
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from eliza_state.errors import StoreError
from eliza_state.journal.contract import Journal
from eliza_state.journal.lease import Lease
from eliza_state.journal.memory import MemoryJournal
from eliza_state.journal.sql import SqlJournal

MEMORY: Final = "memory"
_SQLITE: Final = ("sqlite", "sqlite+pysqlite")
UNSAFE_SHARING: Final = (
    "another manager has this SQLite file open, and this SQLite is older than 3.51.3, which can, rarely,"
    " corrupt a database that two connections write at the same instant; upgrade SQLite, or let one process"
    " write"
)


@attrs.frozen(kw_only=True)
class JournalSource:
    """Where a journal is and how it is to be opened.

    `url` is `memory://` or a SQLAlchemy URL of a SQLite file, which may end with `?synchronous=NORMAL`. An
    `exclusive` opening shares the store with no other writer, a `read_only` one with all of them.
    """

    url: str
    exclusive: bool = False
    read_only: bool = False
    busy_timeout_ms: int = 5_000
    clock: Callable[[], int]

    def parsed(self) -> URL | None:
        """Return the database's URL, `None` for memory; `StoreError` for any other."""
        try:
            url = make_url(self.url)
        except (ArgumentError, ValueError):  # the latter for a port that is no number
            shown = self.url.rpartition("@")[2]  # before it may stand a password
            raise StoreError(
                f"a store is named by a URL such as 'sqlite:///state.db', got {shown!r}"
            ) from None
        if url.get_backend_name() == MEMORY:
            return None
        if url.drivername not in _SQLITE:
            raise StoreError(f"a store is 'memory://' or a SQLite file ('sqlite:///state.db'), got {url!r}")
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise StoreError(
                "a SQLite store is a file named by its path, as in 'sqlite:///state.db'; for memory use"
                " 'memory://'"
            )
        if self.read_only and not os.path.exists(url.database):
            raise StoreError(f"there is no store at {url.database!r}; name one that exists")
        return url

    @property
    def database(self) -> str | None:
        """The path of the database file; `None` for memory."""
        url = self.parsed()
        return None if url is None else os.path.abspath(url.database or "")

    def lease(self) -> Lease | None:
        """Take the right to write; `None` where none is needed."""
        url = self.parsed()
        if url is None or self.read_only:
            return None
        assert url.database is not None
        folder = os.path.dirname(url.database) or "."
        if not os.path.isdir(folder):
            raise StoreError(f"there is no folder {folder!r} for the store; create it first")
        return Lease(url.database, exclusive=self.exclusive)

    def journal(self) -> Journal:
        """Open the journal; may wait for the disk."""
        url = self.parsed()
        if url is None:
            return MemoryJournal(writer=str(uuid.uuid4()), clock=self.clock)
        synchronous: Any = str(url.query.get("synchronous", "FULL")).upper()  # checked where it is used
        return SqlJournal(
            url.difference_update_query(["synchronous"]),
            writer=str(uuid.uuid4()),
            read_only=self.read_only,
            synchronous=synchronous,
            busy_timeout_ms=self.busy_timeout_ms,
            clock=self.clock,
        )
