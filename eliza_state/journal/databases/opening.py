"""From a URL to the database of a SQL journal."""

from __future__ import annotations

from sqlalchemy import URL

from eliza_state.errors import StoreError
from eliza_state.journal.databases.database import Database
from eliza_state.journal.databases.sqlite import SqliteDatabase
from eliza_state.sqlite import Synchronous

_NO_DRIVER = (
    "a store in PostgreSQL needs a driver ({}): pip install 'eliza-state[postgresql]' has one, named by"
    " postgresql:// or postgresql+psycopg://"
)


def open_database(
    url: URL,
    *,
    writer: str,
    read_only: bool,
    exclusive: bool,
    synchronous: Synchronous,
    busy_timeout_ms: int,
) -> Database:
    """Return the database of a URL, which connects when it is first used.

    `exclusive` is for servers: for a file, its lock is the lease's. Raises `StoreError` for options that do
    not fit the database, and where there is no driver for it.
    """
    if url.get_backend_name() == "sqlite":
        return SqliteDatabase(
            url, read_only=read_only, synchronous=synchronous, busy_timeout_ms=busy_timeout_ms
        )
    if synchronous != "FULL":
        raise StoreError("synchronous is for SQLite; PostgreSQL has settings of its own")
    try:
        # Only with the driver installed, and not at the cost of those who have no use for it.
        from eliza_state.journal.databases.postgresql import PostgresqlDatabase  # noqa: PLC0415
    except ImportError as error:
        raise StoreError(_NO_DRIVER.format(error)) from None
    return PostgresqlDatabase(
        url,
        name=f"eliza_state {writer}",
        read_only=read_only,
        exclusive=exclusive,
        busy_timeout_ms=busy_timeout_ms,
    )
