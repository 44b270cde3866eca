"""How a SQL storage opens SQLite: its own database, or one that the application uses as well."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from sqlalchemy import URL, Engine, PoolProxiedConnection, Table
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from eliza_state import sqlite
from eliza_state.errors import StoreError
from eliza_state.storage.sql.database import Options
from eliza_state.storage.sql.schema import prepare

# How long a read waits for a lock, perhaps in the event loop's thread. In WAL mode hardly anybody holds one;
# in other modes, reads are in threads and tried again.
_READING_WAIT_MS: Final = 500


class Opened(NamedTuple):
    """The connections of a database, and what ends all that was opened for them.

    Checkpoints need a guard, or are left to SQLite.
    """

    reading: sqlite3.Connection
    writing: sqlite3.Connection
    guard: Engine | None
    is_file: bool
    closing: ExitStack


def open_file(place: URL | Engine, table: Table, options: Options) -> Opened:
    """Open a database and create the table if it is not there.

    An engine is the application's: two connections are taken out of its pool for good, and nothing that
    outlives them is changed. Raises `Busy` for a held lock and `StoreError` for what cannot be opened.
    """
    with ExitStack() as closing:
        with sqlite.translated("open the database"):
            if isinstance(place, Engine):
                opened = _borrow(place, table, options, closing)
            elif options.read_only:
                opened = _open_to_read(place, table, options, closing)
            else:
                opened = _open_to_write(place, table, options, closing)
        return opened._replace(closing=closing.pop_all())


def _open_to_write(url: URL, table: Table, options: Options, closing: ExitStack) -> Opened:
    url = _located(url)
    writing = _kept(sqlite.writing_engine(url, synchronous=options.synchronous), closing)
    writer = _held(writing, closing)
    prepare(writing, table)
    if not _is_file(writer):
        return Opened(writer, writer, None, False, closing)
    guard = _kept(sqlite.writing_engine(url, synchronous=options.synchronous), closing)
    reading = sqlite.reading_engine(url, busy_timeout_ms=_READING_WAIT_MS, read_only=False)
    return Opened(_held(_kept(reading, closing), closing), writer, guard, True, closing)


def _open_to_read(url: URL, table: Table, options: Options, closing: ExitStack) -> Opened:
    if not _is_path(url):
        raise StoreError("only a file that is named by its path can be opened to be read only")
    engine = sqlite.reading_engine(_located(url), busy_timeout_ms=_READING_WAIT_MS, read_only=True)
    reading = _kept(engine, closing)
    prepare(reading, table, read_only=True)
    reader = _held(reading, closing)
    return Opened(reader, reader, None, True, closing)


def _borrow(engine: Engine, table: Table, options: Options, closing: ExitStack) -> Opened:
    prepare(engine, table, read_only=options.read_only)
    with contextlib.closing(engine.raw_connection()) as held:
        is_file = _is_file(driver_of(held))
    if not is_file:
        if not isinstance(engine.pool, StaticPool):
            raise StoreError(
                "an engine for a database in memory gives each thread a database of its own; make it with"
                " poolclass=StaticPool and connect_args={'check_same_thread': False}"
            )
        shared = _held(engine, closing)
        return Opened(shared, shared, None, False, closing)
    if isinstance(engine.pool, StaticPool | SingletonThreadPool):
        raise StoreError(
            "a file is read and written through connections of the storage's own, which an engine with"
            f" poolclass={type(engine.pool).__name__} does not give; use another, or hand over the URL"
        )
    reader = _taken(engine, closing)
    _set_up(reader, f"busy_timeout={_READING_WAIT_MS}", "query_only=ON")
    writer = _taken(engine, closing)
    _set_up(writer, "busy_timeout=0", f"synchronous={options.synchronous}", "secure_delete=ON")
    return Opened(reader, writer, None, True, closing)


def driver_of(held: PoolProxiedConnection) -> sqlite3.Connection:
    """Return the driver's connection of one of a pool."""
    driver: Any = held.driver_connection
    return driver  # type: ignore[no-any-return]  # SQLCipher's, for one, is of another class


def _is_path(url: URL) -> bool:
    return bool(url.database) and url.database != ":memory:" and not str(url.database).startswith("file:")


def _located(url: URL) -> URL:
    """Return a URL that names the same file when the working folder changes."""
    if not _is_path(url):
        return url
    path = os.path.abspath(str(url.database))
    if not os.path.isdir(os.path.dirname(path)):
        raise StoreError(f"there is no folder {os.path.dirname(path)!r} for the database; create it first")
    return url.set(database=path)


def _kept(engine: Engine, closing: ExitStack) -> Engine:
    closing.callback(engine.dispose)
    return engine


def _held(engine: Engine, closing: ExitStack) -> sqlite3.Connection:
    """Return a connection that goes back to its pool in the end."""
    held = engine.raw_connection()
    closing.callback(held.close)
    return driver_of(held)


def _taken(engine: Engine, closing: ExitStack) -> sqlite3.Connection:
    """Return a connection that is taken out of its pool, for good, and closed in the end."""
    held = engine.raw_connection()
    closing.callback(held.close)
    driver = driver_of(held)
    held.detach()
    return driver


def _is_file(driver: sqlite3.Connection) -> bool:
    # A file of no name is one that SQLite removes at the end: it belongs to one connection as well.
    rows = driver.execute("PRAGMA database_list")
    return any(name == "main" and file for _, name, file in rows)


def _set_up(driver: sqlite3.Connection, *pragmas: str) -> None:
    if sys.version_info >= (3, 12):
        driver.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
    driver.isolation_level = None  # transactions are begun by statements
    for pragma in pragmas:
        driver.execute(f"PRAGMA {pragma}").close()
