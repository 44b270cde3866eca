"""What tests of storages in SQL databases share."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Any, Final

import psycopg
from sqlalchemy import URL, Connection, create_engine, make_url
from sqlalchemy.pool import NullPool

from eliza_state.storage.sql import SqlBackend, SqlStorage
from eliza_state.storage.sql.database import Database
from eliza_state.storage.sql.server import ServerDatabase
from eliza_state.storage.sql.sqlite import SqliteDatabase
from eliza_state.storage.sql.writer import Writer
from eliza_state.testing import FaultProxy
from tests.forking.process import Process, start_program

PATIENT_MS: Final = 30_000
"""For tests of anything but time limits: a busy machine must not look like a database that is locked."""
HASTY_MS: Final = 300
"""For tests in which the time limit comes."""

OpenStorage = Callable[..., Awaitable[SqlStorage[Any]]]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait in bounded time for what a database tells nobody."""
    async with asyncio.timeout(PATIENT_MS / 1_000):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def backend_of(storage: SqlStorage[Any]) -> SqlBackend:
    """Return the backend of bytes below a storage."""
    backend = getattr(storage.backend, "inner", None)
    assert isinstance(backend, SqlBackend)
    return backend


def database_of(storage: SqlStorage[Any]) -> Database:
    """Return the database below a storage."""
    return backend_of(storage)._database


def sqlite_of(storage: SqlStorage[Any]) -> SqliteDatabase:
    """Return the SQLite database below a storage."""
    database = database_of(storage)
    assert isinstance(database, SqliteDatabase)
    return database


def server_of(storage: SqlStorage[Any]) -> ServerDatabase:
    """Return the server's database below a storage."""
    database = database_of(storage)
    assert isinstance(database, ServerDatabase)
    return database


def writer_of(storage: SqlStorage[Any]) -> Writer:
    """Return the writer of a storage."""
    return backend_of(storage)._writer


def connected(url: str) -> Connection:
    """Return a connection of somebody else's that closes with its `close`, each statement by itself."""
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()


def held(file: FilePath) -> sqlite3.Connection:
    """Return somebody else's connection that holds the lock of a SQLite file."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def direct(url: str) -> psycopg.Connection[Any]:
    """Return the driver's connection to PostgreSQL."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


def proxy_to(url: str) -> FaultProxy:
    """Return a proxy to the PostgreSQL of a URL."""
    parts = make_url(url)
    host = str(parts.query.get("host") or parts.host)
    port = int(str(parts.query.get("port") or parts.port or 5432))
    return FaultProxy(f"{host}/.s.PGSQL.{port}") if host.startswith("/") else FaultProxy(host, port)


def through(proxy: FaultProxy, url: str) -> str:
    """Return the URL of the same database through the proxy."""
    parts = make_url(url)
    query = {name: value for name, value in parts.query.items() if name not in ("host", "port")}
    other: URL = parts.set(host=proxy.host, port=proxy.port, query=query)
    return other.render_as_string(hide_password=False)


def started(code: str, *arguments: str) -> Process:
    """Start another process that runs the code, with pipes to and from it."""
    return start_program(code, *arguments, stderr=subprocess.STDOUT)


async def ended(process: Process) -> str:
    """Wait in bounded time for the end of a process, and return what it said; it must have ended well."""
    try:
        said, _ = await asyncio.to_thread(process.communicate, timeout=PATIENT_MS / 1_000)
    finally:
        process.kill()
    assert not process.returncode, said
    return said
