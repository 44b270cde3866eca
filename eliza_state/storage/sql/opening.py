"""From what names a database to the table in it."""

from __future__ import annotations

from functools import partial
from typing import Final

from sqlalchemy import URL, Dialect, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from eliza_state.errors import StoreError
from eliza_state.storage.sql.database import Database, Options, patiently
from eliza_state.storage.sql.files import open_file
from eliza_state.storage.sql.schema import key_value_table
from eliza_state.storage.sql.server import open_server
from eliza_state.storage.sql.sqlite import SqliteDatabase
from eliza_state.storage.sql.statements import Form, statements_for

_SERVERS: Final = ("postgresql", "mysql", "mariadb")


def open_database(source: str | URL | Engine, table_name: str, options: Options) -> Database:
    """Connect to a database and create the table of this name if it is not there.

    Raises `StoreError` for a database that cannot be used, `ValueError` for options that do not fit it and
    `TypeError` for what names no database.
    """
    place = source if isinstance(source, Engine) else _parsed(source)
    dialect = _dialect(place)
    if dialect.is_async:
        raise StoreError(f"expected a synchronous driver, which runs in threads here, got {dialect.driver!r}")
    table = key_value_table(table_name, dialect.name)
    if dialect.name == "sqlite":
        if options.readers is not None:
            raise ValueError("readers are for servers: SQLite is read in the thread that asks")
        opened = patiently(partial(open_file, place, table, options), timeout_s=options.timeout_s)
        return SqliteDatabase(opened, statements_for(table, Form.EACH))
    if dialect.name not in _SERVERS:
        raise StoreError(f"expected SQLite, PostgreSQL, MySQL or MariaDB, got {dialect.name!r}")
    if options.synchronous != "FULL":
        raise ValueError("synchronous is for SQLite: servers have settings of their own")
    return open_server(place, table, options)


def _parsed(source: str | URL) -> URL:
    if not isinstance(source, str | URL):
        raise TypeError(f"expected a URL or a synchronous engine of SQLAlchemy, got {type(source).__name__}")
    try:
        url = make_url(source)
    except (ArgumentError, ValueError):  # what it says may show a password
        raise StoreError("a database is named by a URL such as 'sqlite:///state.db'") from None
    # SQLAlchemy 2.0 takes another driver unless it is told.
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _dialect(place: URL | Engine) -> Dialect:
    if isinstance(place, Engine):
        return place.dialect
    try:
        return place.get_dialect()()
    except SQLAlchemyError as error:
        raise StoreError(f"there is no driver {place.drivername!r}: {error}") from None
