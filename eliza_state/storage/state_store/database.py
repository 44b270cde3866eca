"""The database of a `StateStore`: transactions, on an engine of its own or on the application's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, StatementError
from sqlalchemy.pool import StaticPool

from eliza_state import sqlite
from eliza_state.errors import StoreError
from eliza_state.servers import Translation

DIALECTS: Final = ("sqlite", "postgresql", "mysql", "mariadb")

_IN_MEMORY: Final = (None, "", ":memory:")
# As in the journal: a longer log is no better.
_CHECKPOINT_BYTES: Final = 4_000_000


class StateDatabase:
    """Begin transactions in a database.

    An engine stays the application's; that of a URL is this object's own. Raises `StoreError` for what cannot
    be used: another kind of database, an asynchronous driver, and a database in memory, which has a single
    connection or one for each thread, and keeps nothing.
    """

    def __init__(self, source: str | URL | Engine, *, timeout_ms: int) -> None:
        self._closing = contextlib.ExitStack()
        self._guard: Engine | None = None
        self._written_bytes = 0
        engine = source if isinstance(source, Engine) else self._made(source, timeout_ms)
        self.dialect: str = engine.dialect.name
        """SQLAlchemy's name of the dialect."""
        self._is_sqlite = self.dialect == "sqlite"
        self._translated: Callable[[str], contextlib.AbstractContextManager[None]] = (
            sqlite.translated if self._is_sqlite else Translation(engine.url)
        )
        _check(engine, is_borrowed=engine is source)
        # Whatever the application's engine does by default, a transaction is one here.
        self._engine = (
            engine if self._is_sqlite else engine.execution_options(isolation_level="READ COMMITTED")
        )

    def _made(self, source: str | URL, timeout_ms: int) -> Engine:
        url = _parsed(source)
        _check_dialect(url.get_backend_name())
        try:
            engine = (
                self._made_for_file(url) if url.get_backend_name() == "sqlite" else _made(url, timeout_ms)
            )
        except (ImportError, ArgumentError) as error:
            raise StoreError(
                f"there is no driver {url.drivername!r}: {error}; install it, or name another"
            ) from None
        self._closing.callback(engine.dispose)
        return engine

    def _made_for_file(self, url: URL) -> Engine:
        path = str(url.database)
        if url.database not in _IN_MEMORY and not path.startswith("file:"):
            folder = os.path.dirname(os.path.abspath(path))
            if not os.path.isdir(folder):
                raise StoreError(f"there is no folder {folder!r} for the database; create it first")
            url = url.set(database=os.path.abspath(path))
        self._guard = sqlite.writing_engine(url, synchronous="FULL")
        self._closing.callback(self._guard.dispose)
        return sqlite.writing_engine(url, synchronous="FULL")

    @contextlib.contextmanager
    def transaction(self, purpose: str) -> Generator[Connection]:
        """Begin a transaction, and commit it in the end unless there was an error.

        Raises `Busy` where somebody else is in the way, `Lost` where there is no connection, and `StoreError`
        for anything else, none of them with a value in it.
        """
        with self._translated(purpose), _without_values(), self._engine.begin() as connection:
            if self._is_sqlite:
                _take_write_lock(connection)
            yield connection

    def wrote(self, size_bytes: int) -> None:
        """Note what was committed; from time to time, bring SQLite's log into the database.

        The bug of `eliza_state.sqlite` needs a commit during a checkpoint, so a second connection holds the
        lock that commits need. An engine of the application's does as the application set it up.
        """
        self._written_bytes += size_bytes
        if self._guard is None or self._written_bytes < _CHECKPOINT_BYTES:
            return
        # The checkpoint is of no consequence to what is committed; the next one comes in time.
        with contextlib.suppress(StoreError), self._translated("checkpoint"):
            self._written_bytes = 0
            with self._guard.begin(), self._engine.connect() as connection:
                sqlite.checkpoint(connection)

    def close(self) -> None:
        """Close what was opened here; twice does nothing."""
        self._closing.close()


def _parsed(source: str | URL) -> URL:
    try:
        url = make_url(source)
    except (ArgumentError, ValueError):  # what it says may show a password
        raise StoreError("a database is named by a URL such as 'sqlite:///state.db'") from None
    # SQLAlchemy 2.0 takes another driver unless it is told.
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _made(url: URL, timeout_ms: int) -> Engine:
    options: dict[str, Any] = {}
    if url.drivername.endswith("+psycopg") and "connect_timeout" not in url.query:
        options = {"connect_timeout": max(2, timeout_ms // 1_000)}  # libpq takes no less than 2 seconds
    return create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True, connect_args=options)


def _check_dialect(name: str) -> None:
    if name not in DIALECTS:
        raise StoreError(f"expected SQLite, PostgreSQL, MySQL or MariaDB, got {name!r}")


def _check(engine: Engine, *, is_borrowed: bool) -> None:
    _check_dialect(engine.dialect.name)
    if engine.dialect.is_async:
        raise StoreError(f"expected a synchronous driver, got {engine.dialect.driver!r}")
    if engine.dialect.name != "sqlite":
        return
    is_shared = is_borrowed and isinstance(engine.pool, StaticPool)
    if is_shared or engine.url.database in _IN_MEMORY or "mode=memory" in str(engine.url):
        raise StoreError(
            "state is written from a thread, on a connection of its own, which a database in memory and one"
            " with poolclass=StaticPool do not have; name a file, or keep the state in memory"
        )


def _take_write_lock(connection: Connection) -> None:
    """Begin for SQLite what SQLAlchemy has only noted, unless the engine's own events did."""
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        driver.execute("BEGIN IMMEDIATE").close()


@contextlib.contextmanager
def _without_values() -> Generator[None]:
    """Keep the parameters of a failed statement, which are values, out of what is shown of its error."""
    try:
        yield
    except StatementError as error:
        error.hide_parameters = True
        raise
