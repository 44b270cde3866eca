"""The databases of a store as of one instant, to be copied while others write.

SQLite goes on showing a read transaction what was there when it began (https://sqlite.org/isolation.html);
writers are not held up, only the write-ahead log is not emptied meanwhile. `sqlite3_backup` copies within
such a transaction, some pages at a time (https://sqlite.org/backup.html).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import URL

from eliza_state import sqlite
from eliza_state.errors import Busy

Copied: TypeAlias = Callable[[int, int], None]
"""Is told how many pages are copied by now, and of how many."""

_BUSY_TIMEOUT_MS: Final = 5_000
# Two megabytes: a step of some milliseconds, after which whoever wants to stop is heard.
_STEP_PAGES: Final = 512
# Each fails only if both databases were written in the same tenth of a millisecond.
_ATTEMPTS: Final = 1_000


class Database:
    """One database of a store, read by a connection that holds what it sees, and watched by another."""

    def __init__(self, file: str, closing: contextlib.ExitStack) -> None:
        engine = sqlite.reading_engine(
            URL.create("sqlite", database=file), busy_timeout_ms=_BUSY_TIMEOUT_MS, read_only=True
        )
        closing.callback(engine.dispose)
        self._reader: Any = closing.enter_context(engine.connect()).connection.driver_connection
        self._watcher: Any = closing.enter_context(engine.connect()).connection.driver_connection

    def version(self) -> int:
        """Return a number that is another one once somebody has written."""
        return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    def hold(self) -> None:
        """Go on seeing what is there now."""
        self._reader.execute("BEGIN")
        self._reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()

    def release(self) -> None:
        """See what others write again; twice does nothing."""
        if self._reader.in_transaction:
            self._reader.execute("ROLLBACK")

    def column(self, query: str) -> list[Any]:
        """Return the first column of what a query finds in what is held."""
        return [row[0] for row in self._reader.execute(query)]

    def copy(self, target: str, told: Copied) -> None:
        """Write what is held into an empty file, durably, as a database that is one file."""

        def progress(_status: int, remaining: int, total: int) -> None:
            told(total - remaining, total)

        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            for pragma in ("synchronous=FULL", "fullfsync=1"):
                copy.execute(f"PRAGMA {pragma}").close()
            self._reader.backup(copy, pages=_STEP_PAGES, progress=progress)
            # A copy in WAL mode could not be read from a folder that cannot be written.
            copy.execute("PRAGMA journal_mode=DELETE").close()


@contextlib.contextmanager
def opened(files: Sequence[str]) -> Generator[list[Database]]:
    """Open databases to hold and to copy them; what goes wrong is raised as `StoreError`."""
    with sqlite.translated("copy the store"), contextlib.ExitStack() as closing:
        yield [Database(file, closing) for file in files]


@contextlib.contextmanager
def held(databases: Sequence[Database]) -> Generator[None]:
    """Hold all of them as of one instant.

    They are held one after the other. If all but one of them stayed as they were from before the first until
    after the last, then the instant at which that one was held is one of all; else it is tried again. That
    needs no lock, so that nobody waits for it. Raises `Busy` if it never comes to be.
    """
    try:
        for _ in range(_ATTEMPTS):
            before = [database.version() for database in databases]
            for database in databases:
                database.hold()
            after = [database.version() for database in databases]
            if sum(now != then for now, then in zip(after, before, strict=True)) <= 1:
                yield
                return
            for database in databases:
                database.release()
        raise Busy("cannot copy the store: both of its databases are written without a pause; try again")
    finally:
        for database in databases:
            database.release()
