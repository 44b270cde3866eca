"""From a store's URL to its journal.

What a journal in a database needs is imported once a URL names one: SQLAlchemy, the driver, locks of files.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Final

import attrs

from eliza_state.errors import StoreError
from eliza_state.files import StrPath
from eliza_state.journal.archive.segment import Segments
from eliza_state.journal.claims import Claims, MemoryClaims
from eliza_state.journal.contract import Journal
from eliza_state.journal.memory import MemoryJournal

if TYPE_CHECKING:
    from sqlalchemy import URL

    from eliza_state.journal.lease import Lease

MEMORY: Final = "memory"
_MEMORY_URL: Final = "memory://"
_SQLITE: Final = ("sqlite", "sqlite+pysqlite")
_POSTGRESQL: Final = ("postgresql", "postgresql+psycopg")
_MYSQL: Final = ("mysql", "mariadb")
ARCHIVE: Final = "-archive"
"""What stands behind a database's name in that of the folder of its archive."""

CLAIMS: Final = "-claims"
"""What stands behind a database's name in that of the folder of its claims' locks."""

RESTORING: Final = "-restoring"
"""What stands behind a database's name in that of the mark of a restore that is not done."""

UNSAFE_SHARING: Final = (
    "another manager has this SQLite file open, and this SQLite is older than 3.51.3, which can, rarely,"
    " corrupt a database that two connections write at the same instant; upgrade SQLite, or let one process"
    " write"
)


@attrs.frozen(kw_only=True)
class JournalSource:
    """Where a journal is and how it is to be opened.

    `url` is `memory://` or a SQLAlchemy URL: of a SQLite file, which may end with `?synchronous=NORMAL`, or
    of a PostgreSQL database, which may name a `schema` and `answer_within_ms`. An `exclusive` opening shares
    the store with no other writer, a `read_only` one with all of them.
    """

    url: str
    exclusive: bool = False
    read_only: bool = False
    busy_timeout_ms: int = 5_000
    clock: Callable[[], int]
    archive: StrPath | None = None

    def parsed(self) -> URL | None:
        """Return the database's URL, `None` for memory; `StoreError` for any other."""
        if self.url == _MEMORY_URL:
            return None
        from sqlalchemy import make_url  # noqa: PLC0415
        from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

        try:
            url = make_url(self.url)
        except (ArgumentError, ValueError):  # the latter for a port that is no number
            shown = self.url.rpartition("@")[2]  # before it may stand a password
            raise StoreError(
                f"a store is named by a URL such as 'sqlite:///state.db', got {shown!r}"
            ) from None
        if url.get_backend_name() == MEMORY:
            return None
        if url.drivername in _POSTGRESQL:
            return url.set(drivername="postgresql+psycopg")
        if url.drivername not in _SQLITE:
            raise StoreError(_none_of_ours(url))
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
        """The path of the database file; `None` for memory and for a server."""
        url = self.parsed()
        return None if url is None or _is_server(url) else os.path.abspath(url.database or "")

    @property
    def server(self) -> URL | None:
        """Where else in the store's schema on a server tables can be; `None` where there is none."""
        url = self.parsed()
        if url is None or not _is_server(url):
            return None
        from eliza_state.servers import in_store  # noqa: PLC0415

        return in_store(url)

    @property
    def is_memory(self) -> bool:
        """Whether the journal is in memory, where nobody else gets at it."""
        return self.parsed() is None

    def lease(self) -> Lease | None:
        """Take the right to write; `None` where none is needed, or the journal takes it on its server."""
        url = self.parsed()
        if url is None or self.read_only or _is_server(url):
            return None
        assert url.database is not None
        _check_is_whole(url.database)
        folder = os.path.dirname(url.database) or "."
        if not os.path.isdir(folder):
            raise StoreError(f"there is no folder {folder!r} for the store; create it first")
        from eliza_state.journal.lease import Lease  # noqa: PLC0415

        return Lease(url.database, exclusive=self.exclusive)

    def claims(self, writer: str) -> Claims:
        """Return the claims of who writes; nothing is locked or connected to before the first is taken."""
        url = self.parsed()
        if url is None:
            return MemoryClaims()
        if not _is_server(url):
            from eliza_state.journal.file_claims import FileClaims  # noqa: PLC0415

            return FileClaims(f"{self.database}{CLAIMS}")
        # Only with the driver installed, which the journal has found.
        from eliza_state.journal.databases.claims import PostgresqlClaims  # noqa: PLC0415

        return PostgresqlClaims(url, name=f"eliza_state {writer} claims")

    def journal(self) -> Journal:
        """Open the journal; may wait for the disk."""
        url = self.parsed()
        if url is None:
            return MemoryJournal(writer=str(uuid.uuid4()), clock=self.clock)
        from eliza_state.journal.sql import SqlJournal  # noqa: PLC0415

        if not _is_server(url):
            _check_is_whole(url.database or "")
        synchronous: Any = str(url.query.get("synchronous", "FULL")).upper()  # checked where it is used
        return SqlJournal(
            url.difference_update_query(["synchronous"]),
            writer=str(uuid.uuid4()),
            read_only=self.read_only,
            exclusive=self.exclusive,
            synchronous=synchronous,
            busy_timeout_ms=self.busy_timeout_ms,
            clock=self.clock,
            segments=self.segments,
        )

    @property
    def segments(self) -> Segments:
        """Where the archive's files are: in the folder that is named, else beside the database's file."""
        database = self.database
        if self.archive is not None:
            return Segments(FilePath(os.path.abspath(self.archive)), like=database)
        return Segments(None if database is None else FilePath(database + ARCHIVE), like=database)


def _is_server(url: URL) -> bool:
    return url.drivername in _POSTGRESQL


def _none_of_ours(url: URL) -> str:
    if url.get_backend_name() in _MYSQL:
        return (
            "the journal of a store is in SQLite or PostgreSQL; MySQL and MariaDB take storages, such as that"
            f" of the snapshots, got {url!r}"
        )
    return (
        "a store is 'memory://', a SQLite file ('sqlite:///state.db') or a PostgreSQL database"
        f" ('postgresql://user@host/name'), got {url!r}"
    )


def _check_is_whole(database: str) -> None:
    if os.path.exists(database + RESTORING):
        raise StoreError(
            f"a backup is being restored to {database!r}, or that was cut off: restore it again, with"
            " `eliza-state backup restore`"
        )
