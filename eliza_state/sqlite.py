"""How SQLite is opened: one engine that writes, one that only reads.

SQLite before 3.51.3 can, rarely, corrupt a database in WAL mode when two connections write or checkpoint
at the same instant (https://sqlite.org/wal.html, "The WAL-Reset Bug"). So there is one writing
connection, which owns the checkpoints, and no memory mapping; several processes on one file are warned
about by the manager.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from eliza_state.errors import Busy, StoreError

Synchronous = Literal["FULL", "NORMAL"]
"""`FULL` survives a power cut, `NORMAL` a killed process."""

SAFE_TO_SHARE: Final = (3, 51, 3)

# A checkpoint that a long reader held back leaves a large log file; it is cut down to this once it is free.
_LOG_LIMIT_BYTES: Final = 32_000_000
# Damaged text is shown with replacement characters; the checksum beside it tells that it is damaged.
_decode_text = partial(str, encoding="utf-8", errors="replace")


def is_safe_to_share() -> bool:
    """Tell whether this SQLite lets several processes write one file without the risk named above."""
    return sqlite3.sqlite_version_info >= SAFE_TO_SHARE


def writing_engine(url: URL, *, synchronous: Synchronous) -> Engine:
    """Return the engine that writes a database file: one connection, for any one thread at a time.

    It never waits for a lock; its caller retries, off the event loop where that matters.
    """
    if synchronous not in ("FULL", "NORMAL"):
        raise StoreError(f"synchronous is 'FULL' or 'NORMAL', got {synchronous!r}")
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
    engine = create_engine(url, poolclass=StaticPool, hide_parameters=True, **options)
    pragmas = (
        "busy_timeout=0",
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        # On macOS a plain fsync leaves the data in the drive's own cache; elsewhere these do nothing.
        f"fullfsync={int(synchronous == 'FULL')}",
        f"checkpoint_fullfsync={int(synchronous == 'FULL')}",
        "wal_autocheckpoint=0",
        f"journal_size_limit={_LOG_LIMIT_BYTES}",
        # What is deleted or overwritten is not to be found in the file any more.
        "secure_delete=ON",
    )
    # A new file can give back what it does not need any more, piece by piece. That has to be said before
    # anything is written; in a file that is there, saying it again would be a write.
    _configure(engine, begin="BEGIN IMMEDIATE", pragmas=pragmas, when_new=("auto_vacuum=INCREMENTAL",))
    return engine


def reading_engine(url: URL, *, busy_timeout_ms: int, read_only: bool, at_one_time: bool = True) -> Engine:
    """Return the engine that reads a database file, a few connections for as many threads.

    What a connection reads until it is given back is all of one moment; without `at_one_time` each statement
    reads what is committed when it begins, and nothing has to be begun and ended for it.
    With `read_only` the file is opened such that not even a checkpoint can write it. In a folder that
    cannot be written either, a database without a log beside it is taken as one that nobody writes.
    """
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
    if read_only:
        options = {"creator": _read_only_connect(url.database or "")}
    if not at_one_time:
        options |= {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=4, max_overflow=4, hide_parameters=True, **options
    )
    pragmas = (f"busy_timeout={busy_timeout_ms}", "query_only=ON")
    _configure(engine, begin="BEGIN" if at_one_time else None, pragmas=pragmas)
    return engine


def _read_only_connect(database: str) -> Callable[[], sqlite3.Connection]:
    folder = os.path.dirname(database) or "."
    effective = os.access in os.supports_effective_ids
    is_frozen = not os.access(folder, os.W_OK, effective_ids=effective) and not os.path.exists(
        f"{database}-wal"
    )
    uri = f"file:{quote(os.path.abspath(database))}?{'immutable=1' if is_frozen else 'mode=ro'}"
    return lambda: sqlite3.connect(uri, uri=True, check_same_thread=False)


def _configure(
    engine: Engine, *, begin: str | None, pragmas: tuple[str, ...], when_new: tuple[str, ...] = ()
) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        # The transactions are SQLAlchemy's, begun below; the driver's own begin would defer the write lock.
        connection.isolation_level = None
        connection.text_factory = _decode_text
        try:
            first = when_new if when_new and _is_new(connection) else ()
            for pragma in (*first, *pragmas, "mmap_size=0"):
                connection.execute(f"PRAGMA {pragma}").close()
        except sqlite3.Error:
            connection.close()
            raise

    if begin is None:
        return

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        # Straight to the driver: SQLAlchemy's way costs 7 µs more. A writer may have begun one there already.
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            driver.execute(begin)


def _is_new(driver: sqlite3.Connection) -> bool:
    """Tell whether a file holds nothing yet; one that somebody is making just now is none."""
    try:
        (pages,) = driver.execute("PRAGMA page_count").fetchone()
    except sqlite3.OperationalError:
        return False
    return not pages


def checkpoint(connection: Connection) -> None:
    """Bring what the write-ahead log holds into the database, as far as readers permit now."""
    # Not through SQLAlchemy, which would begin a transaction, in which SQLite refuses to checkpoint.
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA wal_checkpoint(PASSIVE)").close()


def empty_log(driver: sqlite3.Connection) -> bool:
    """Bring all that the write-ahead log holds into the database and cut the log down to nothing.

    Tell whether that was possible: it is not while somebody reads what was there before, or writes.
    """
    is_busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy


def free_bytes(driver: sqlite3.Connection) -> int:
    """Return how much of a file holds nothing any more."""
    (pages,) = driver.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = driver.execute("PRAGMA page_size").fetchone()
    return int(pages * page_bytes)


def gives_back(driver: sqlite3.Connection) -> bool:
    """Tell whether a file can be made smaller without being rewritten; one from before that cannot."""
    (mode,) = driver.execute("PRAGMA auto_vacuum").fetchone()
    return bool(mode)


def give_back(driver: sqlite3.Connection, *, max_bytes: int) -> int:
    """Cut up to so many free bytes off a file, in a transaction of its own; return how many went.

    The file itself gets smaller with the next checkpoint. One that cannot give anything back stays as it is.
    """
    before = free_bytes(driver)
    if not before or not gives_back(driver):
        return 0
    (page_bytes,) = driver.execute("PRAGMA page_size").fetchone()
    # A script, for it is one step a page, and the driver takes only the first one of any other statement.
    driver.executescript(f"PRAGMA incremental_vacuum({max(max_bytes // page_bytes, 1)})").close()
    return before - free_bytes(driver)


def rewrite(driver: sqlite3.Connection) -> int:
    """Write a file anew without its free pages, such that it can give back later ones; return what went.

    Nobody can write meanwhile, and it takes as much room again as the file.
    """
    before = free_bytes(driver)
    driver.execute("PRAGMA auto_vacuum=INCREMENTAL").close()
    driver.execute("VACUUM").close()
    return before - free_bytes(driver)


@contextlib.contextmanager
def translated(purpose: str) -> Generator[None]:
    """Turn what SQLAlchemy or the driver raises into `StoreError`, a held lock into `Busy`."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise translation(purpose, error) from error


def translation(purpose: str, error: SQLAlchemyError | sqlite3.Error) -> StoreError:
    """Return what is to be raised in place of an error of SQLAlchemy or the driver: see `translated`."""
    cause = getattr(error, "orig", None) or error
    if getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"cannot {purpose}: another process holds the lock of the database")
    return StoreError(f"cannot {purpose}: {cause}")
