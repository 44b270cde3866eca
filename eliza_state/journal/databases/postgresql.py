"""A SQL journal's database in a schema of a PostgreSQL database.

Positions become visible in order and without gaps because a record is given its position under a lock that
its transaction holds to the end: `lock_journal`, which also tells the last position. While nobody else
writes, a batch needs one round trip: one statement takes the lock, looks whether the last position is the
expected one, and inserts everything. Otherwise there are two: the lock, with which paths others have written
to; then the records and the commit, behind which what others have written is read.

The right to write is a lock of the session that writes, which ends with its process: shared, or alone.

Who listens on the channel of the schema hears of the appends soon after they are committed: see `notices`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from eliza_state.errors import StoreError
from eliza_state.journal.contract import Conflict, Unclear
from eliza_state.journal.databases import statements
from eliza_state.journal.databases.claims import PostgresqlClaims, ServerLease
from eliza_state.journal.databases.connecting import answer_within_ms, engine_of, is_cut
from eliza_state.journal.databases.database import Below, Database, Found, Row, Taken
from eliza_state.journal.databases.names import channel_of, lock_key
from eliza_state.journal.databases.notices import Notices
from eliza_state.servers import Translation, in_store, schema_of

_READERS: Final = 4
_LEASE_TRIES: Final = 20
_LEASE_PAUSE_S: Final = 0.05


class PostgresqlDatabase(Database):
    """A schema of a PostgreSQL database, made if it is not there.

    The URL's query may name the `schema`, and bound with `answer_within_ms` how long an answer is waited for.
    `name` tells the server's other users who writes. With `exclusive` nobody else may write meanwhile.
    """

    is_local = False

    def __init__(
        self, url: URL, *, name: str, read_only: bool, exclusive: bool, busy_timeout_ms: int
    ) -> None:
        super().__init__()
        self.schema = schema_of(url)
        self._shown = url.difference_update_query(list(url.query)).render_as_string()
        self._name, self._exclusive = name, exclusive
        self._key, self._lease_key = lock_key("append", self.schema), lock_key("lease", self.schema)
        place = in_store(url)
        bounds: dict[str, Any] = {
            "lock_timeout_s": busy_timeout_ms / 1_000,
            "answer_within_s": answer_within_ms(url) / 1_000,
        }
        self._translation = Translation(url)
        self._reading: Engine | None = engine_of(
            place, name=f"{name} reader", read_only=True, connections=_READERS, **bounds
        )
        self._writing = (
            None if read_only else engine_of(place, name=name, read_only=False, connections=1, **bounds)
        )
        self._connection: Connection | None = None
        self._was_lost = self._held = False
        self._placed = 0
        self._lock = threading.Lock()
        self._chores = PostgresqlClaims(url, name=f"{name} chores")
        self._notices = Notices(
            self._reading.connect,
            channel=channel_of(self.schema),
            writer=name,
            answer_within_s=bounds["answer_within_s"],
        )

    def _reader(self, purpose: str) -> Connection:
        engine = self._reading
        if engine is None:
            raise StoreError(f"cannot {purpose}: the journal is closed")
        return engine.connect()

    def _read_errors(self, purpose: str) -> AbstractContextManager[None]:
        return self._translation(purpose)

    # Writing

    def prepare(self, connection: Connection) -> None:
        (there,) = connection.exec_driver_sql("SELECT to_regnamespace(?) IS NOT NULL", (self.schema,)).one()
        if not there:  # else nobody has to be allowed to make one
            connection.exec_driver_sql(f"CREATE SCHEMA {self.schema}")
        if connection.exec_driver_sql(statements.BODY_THERE).scalar() != statements.BODY:
            connection.exec_driver_sql(statements.FUNCTION)

    @contextlib.contextmanager
    def writing(self, purpose: str) -> Generator[Connection]:
        beginning = f"SELECT pg_advisory_xact_lock({self._key})"
        with self._transaction(purpose, beginning) as (connection, _):
            yield connection

    @contextlib.contextmanager
    def appending(self, purpose: str, *, after: int | None = None) -> Generator[tuple[Connection, Found]]:
        beginning = statements.BEGIN.format(self._key)
        if after is not None:
            beginning += statements.REACHED.format(int(after))
        with self._transaction(purpose, beginning) as (connection, cursor):
            cursor.nextset()
            head, last_us, generation = cursor.fetchone()
            reached = dict(cursor.fetchall()) if cursor.nextset() else {}
            yield connection, Found(head, last_us, reached, generation)

    @contextlib.contextmanager
    def _transaction(self, purpose: str, beginning: str) -> Generator[tuple[Connection, Any]]:
        with self._lock, self._translated(purpose):
            connection = self._connected(purpose)
            driver = _driver(connection)
            try:
                # A transaction that is held goes on where another would begin.
                yield (
                    connection,
                    driver.execute(f"{'SELECT' if self._held else 'BEGIN'}; {beginning}".encode()),
                )
                driver.commit()
                connection.commit()  # there is nothing to commit any more: SQLAlchemy is to know it, too
                self._notices.note(self._placed)
            except Conflict:
                self._held = True
                raise
            except BaseException:
                self._undo(connection)
                raise
            self._held = False

    @property
    def is_holding(self) -> bool:
        return self._held

    def release(self) -> None:
        with self._lock:
            if self._held and self._connection is not None:
                self._undo(self._connection)

    def _undo(self, connection: Connection) -> None:
        self._held = False
        if connection.invalidated:  # with it the transaction has ended, as SQLAlchemy is to know, too
            connection.rollback()
            return
        with contextlib.suppress(psycopg.Error):  # who is rolled back for is told what went wrong before
            _driver(connection).rollback()
            connection.rollback()

    def store(self, connection: Connection, rows: Sequence[Row], below: Below) -> None:
        self._placed = rows[-1][0]
        try:
            _driver(connection).execute(*statements.storing(rows, below), prepare=True)
        except psycopg.errors.UniqueViolation as error:
            raise Taken(f"cannot append: {error}") from error

    def store_last(
        self, connection: Connection, rows: Sequence[Row], below: Below, *, after: int
    ) -> Sequence[Row]:
        self._placed, before = rows[-1][0], rows[0][0] - 1
        driver = _driver(connection)
        try:
            with driver.pipeline():
                driver.execute(*statements.storing(rows, below), prepare=True)
                driver.execute("COMMIT")
                # The lock is free from here on.
                if after == before:
                    return ()
                newer = driver.cursor(binary=True)
                newer.execute(statements.NEWER, [after, before], prepare=True)
            return newer.fetchall()
        except psycopg.errors.UniqueViolation as error:
            raise Taken(f"cannot append: {error}") from error
        except psycopg.Error as error:
            if driver.info.transaction_status == TransactionStatus.IDLE:
                raise Unclear(f"what others have written could not be read: {error}") from None
            raise

    def store_at_once(self, rows: Sequence[Row], below: Below, *, generation: int) -> bool:
        self._placed = rows[-1][0]
        statement, parameters = statements.storing_at_once(rows, below, lock=self._key, generation=generation)
        with self._lock, self._translated("append"):
            driver = _driver(self._connected("append"))
            try:
                is_stored = bool(_value(driver.execute(statement, parameters, prepare=True)))
            except psycopg.errors.UniqueViolation:  # it is found out under the lock which one it was
                return False
            if is_stored:
                self._notices.note(self._placed)
            return is_stored

    def tell(self) -> float | None:
        return self._notices.tell()

    def settle(self) -> None:
        # A new connection ends what is left of the one before; the lock is had once that is gone.
        with self.writing("look up"):
            pass

    @contextlib.contextmanager
    def _translated(self, purpose: str) -> Generator[None]:
        """Turn what SQLAlchemy or the driver raises into `StoreError`, and give a lost connection up."""
        try:
            with self._translation(purpose):
                yield
        except psycopg.Error as error:
            is_lost = self._connection is not None and _is_lost(self._connection)
            translated = self._translation.translated(purpose, error, is_lost=is_lost)
            if is_lost:
                self._notices.note(self._placed)  # in case that it is stored
            raise Unclear(str(translated)) if is_lost else translated from None

    # The connection that writes

    def _connected(self, purpose: str) -> Connection:
        if self._connection is not None and (
            self._connection.invalidated or is_cut(_driver(self._connection))
        ):
            self._drop(self._connection)
            self._connection = None
            self._was_lost, self._held = True, False
        if self._connection is None:
            if self._writing is None:
                raise StoreError(f"cannot {purpose}: the journal is closed or was opened to be read only")
            connection = self._writing.connect()
            try:
                self._take_lease(_driver(connection))
            except BaseException:
                self._drop(connection)
                raise
            self._connection = connection
        return self._connection

    def _drop(self, connection: Connection) -> None:
        with contextlib.suppress(psycopg.Error, SQLAlchemyError):
            connection.invalidate()
            connection.close()

    def _take_lease(self, driver: psycopg.Connection[Any]) -> None:
        """Take the right to write, after the end of whatever is left of a connection that was lost."""
        if self._was_lost:
            driver.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = %s AND usename = current_user AND pid <> pg_backend_pid()",
                [self._name],
            )
            self._was_lost = False
        function = "pg_try_advisory_lock" if self._exclusive else "pg_try_advisory_lock_shared"
        for _ in range(_LEASE_TRIES):
            if _value(driver.execute(f"SELECT {function}(%s)", [self._lease_key])):
                return
            time.sleep(_LEASE_PAUSE_S)  # one who has just ended may still be on record
        holder = "another manager" if self._exclusive else "a manager in `buffered` mode"
        raise StoreError(
            f"{holder} has the schema {self.schema!r} of {self._shown} open; close it first, or open another"
            " store"
        )

    def lease(self, name: str) -> ServerLease | None:
        return None if self._reading is None else ServerLease(self._chores, name)

    def close(self) -> None:
        if self._reading is not None:
            self._chores.close()
            self._notices.close()
            self._reading.dispose()
            self._reading = None
        with self._lock:
            if self._connection is not None:
                self._drop(self._connection)
                self._connection = None
            if self._writing is not None:
                self._writing.dispose()
                self._writing = None


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver: Any = connection.connection.driver_connection
    return driver  # type: ignore[no-any-return]


def _is_lost(connection: Connection) -> bool:
    # Of one that SQLAlchemy has given up already there is no driver's.
    return connection.invalidated or bool(_driver(connection).closed)


def _value(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]
