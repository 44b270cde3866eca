"""Claims in PostgreSQL: locks of a session of their own, which the server gives up with the session."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterable
from typing import Any, Final

import psycopg
from sqlalchemy import URL, Connection, Engine

from eliza_state.errors import StoreError
from eliza_state.journal.claims import Claims
from eliza_state.journal.databases.connecting import answer_within_ms, engine_of, is_cut
from eliza_state.journal.databases.names import lock_key
from eliza_state.servers import Translation, in_store, schema_of

# A lock's number is there in two halves (https://www.postgresql.org/docs/current/view-pg-locks.html).
_TAKEN: Final = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class PostgresqlClaims(Claims):
    """Advisory locks in the database of a store; connects when the first is taken.

    `name` tells the server's other users whose session that is.
    """

    def __init__(self, url: URL, *, name: str) -> None:
        self._url, self._name = url, name
        self._schema = schema_of(url)
        self._translation = Translation(url)
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._lock = threading.Lock()

    def _key(self, name: str) -> int:
        return lock_key(f"claim {name}", self._schema)

    def take(self, name: str) -> bool:
        with self._session() as driver:
            if name in self._held:
                return False
            (is_free,) = driver.execute("SELECT pg_try_advisory_lock(%s)", [self._key(name)]).fetchone()
            if is_free:
                self._held.add(name)
        return bool(is_free)

    def release(self, name: str) -> None:
        if name not in self._held:
            return
        with self._session() as driver:
            if name in self._held:
                driver.execute("SELECT pg_advisory_unlock(%s)", [self._key(name)])
                self._held.discard(name)

    def taken(self, names: Iterable[str]) -> set[str]:
        with self._session() as driver:
            keys = {key for (key,) in driver.execute(_TAKEN)}
        return {name for name in names if self._key(name) in keys}

    @property
    def held(self) -> frozenset[str]:
        return frozenset(self._held)

    @contextlib.contextmanager
    def _session(self) -> Generator[Any]:
        """Lend the connection that holds the locks; with it, they are lost."""
        with self._lock, self._translation("claim"):
            if self._connection is None:
                self._connection = self._connected()
            driver: Any = self._connection.connection.driver_connection
            try:
                if is_cut(driver):
                    raise psycopg.OperationalError("the connection was lost, and what was claimed with it")
                yield driver
            except psycopg.Error as error:
                self._drop()
                raise self._translation.translated("claim", error, is_lost=True) from None

    def _connected(self) -> Connection:
        self._engine = engine_of(
            in_store(self._url),
            name=self._name,
            read_only=True,
            lock_timeout_s=0,
            answer_within_s=answer_within_ms(self._url) / 1_000,
            connections=1,
        )
        return self._engine.connect()

    def rest(self) -> None:
        """Give the connection back where nothing is held; the next claim makes a new one."""
        with self._lock:
            if not self._held:
                self._drop()

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and self._held:
                # A session's end is noticed some time after its connection is closed.
                driver: Any = self._connection.connection.driver_connection
                with contextlib.suppress(psycopg.Error):
                    driver.execute("SELECT pg_advisory_unlock_all()")
            self._drop()

    def _drop(self) -> None:
        self._held.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.invalidate()
                connection.close()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


class ServerLease:
    """The right to a chore, as a claim; there is a connection only while one is held."""

    def __init__(self, claims: PostgresqlClaims, name: str) -> None:
        self._claims = claims
        self._name = f"chore {name}"

    def take(self) -> bool:
        """Take it, without waiting for who has it; `StoreError` where the server does not answer."""
        try:
            return self._claims.take(self._name)
        finally:
            self._claims.rest()

    def release(self) -> None:
        """Give it back; who asks after that finds it free. Twice does nothing."""
        with contextlib.suppress(StoreError):  # with its connection, it is lost
            self._claims.release(self._name)
        self._claims.rest()
