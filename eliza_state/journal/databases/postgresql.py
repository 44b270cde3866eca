"""A SQL journal's database in a schema of a PostgreSQL database.

Positions become visible in order and without gaps because a record is given its position under a lock that
its transaction holds to the end: `lock_journal`, which also tells the last position. While nobody else
writes, a batch needs one round trip: one statement takes the lock, looks whether the last position is the
expected one, and inserts everything. Otherwise there are three: the lock with what was missed, the records,
the commit.

The right to write is a lock of the session that writes, which ends with its process: shared, or alone.

Who listens on the channel of the schema hears of each append when it is committed: its last position, and
the name of the session that wrote it, in the same statement as the records.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any, Final

import psycopg
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from eliza_state.errors import StoreError
from eliza_state.journal.contract import Conflict, Unclear
from eliza_state.journal.databases.connecting import engine_of, is_cut
from eliza_state.journal.databases.database import ROW, Below, Database, Found, Row, Taken
from eliza_state.servers import Translation, in_store, schema_of

ANSWER_WITHIN_MS: Final = 10_000

_READERS: Final = 4
_LEASE_TRIES: Final = 20
_LEASE_PAUSE_S: Final = 0.05

# Each statement of such a function sees what is committed when it begins: the last position is looked up when
# the lock is held, not when it was asked for.
_BODY: Final = """
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key);
    SELECT position, recorded_at_us INTO head, last_us FROM record ORDER BY position DESC LIMIT 1;
    head := coalesce(head, 0);
    last_us := coalesce(last_us, 0);
    generation := coalesce((SELECT value FROM meta WHERE name = 'archive'), '0');
END
"""
_FUNCTION: Final = (
    "CREATE OR REPLACE FUNCTION lock_journal("
    "lock_key bigint, OUT head bigint, OUT last_us bigint, OUT generation bigint)"
    f" LANGUAGE plpgsql AS $${_BODY}$$"
)
_BODY_THERE: Final = (
    "SELECT prosrc FROM pg_proc"
    " WHERE proname = 'lock_journal' AND pronamespace = current_schema()::regnamespace"
)
_BEGIN: Final = "SELECT * FROM lock_journal({});"
_NEWER: Final = f"SELECT {ROW} FROM record WHERE position > {{}} ORDER BY position"  # noqa: S608  # constants only

_TYPES: Final = (
    *("bigint", "integer", "bigint", "integer", "bytea"),
    *("bytea", "bigint", "integer", "bytea", "bigint"),
)
_ONE: Final = ", ".join(f"%s::{kind}" for kind in _TYPES)
_MANY: Final = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
_CAUSE: Final = 8

# One row needs no arrays, which take longer than the row.
_STORE_ONE: Final = f"""
WITH placed AS (INSERT INTO record VALUES ({_ONE}) RETURNING position),
noted AS (INSERT INTO below SELECT scope, placed.position FROM placed, unnest(%s::integer[]) AS scope)
SELECT pg_notify(%s, position || %s) FROM placed
""".encode()  # noqa: S608
_STORE_MANY: Final = f"""
WITH placed AS (INSERT INTO record SELECT * FROM unnest({_MANY}) RETURNING position),
noted AS (INSERT INTO below SELECT * FROM unnest(%s::integer[], %s::bigint[]))
SELECT pg_notify(%s, max(position) || %s) FROM placed
""".encode()  # noqa: S608
_ONE_AT_ONCE: Final = f"""
WITH found AS MATERIALIZED (SELECT * FROM lock_journal(%s)),
placed AS (
    INSERT INTO record SELECT {_ONE} FROM found WHERE head = %s AND generation = %s RETURNING position
),
noted AS (INSERT INTO below SELECT scope, placed.position FROM placed, unnest(%s::integer[]) AS scope)
SELECT count(pg_notify(%s, position || %s)) FROM placed
""".encode()  # noqa: S608
_MANY_AT_ONCE: Final = f"""
WITH found AS MATERIALIZED (SELECT * FROM lock_journal(%s)),
placed AS (
    INSERT INTO record SELECT row.* FROM found, unnest({_MANY}) AS row WHERE head = %s AND generation = %s
    RETURNING position
),
noted AS (
    INSERT INTO below SELECT row.* FROM unnest(%s::integer[], %s::bigint[]) AS row
    WHERE EXISTS (SELECT FROM placed)
)
SELECT count(pg_notify(%s, last || %s)) FROM (SELECT max(position) AS last FROM placed) AS appended
WHERE last > 0
""".encode()  # noqa: S608


class PostgresqlDatabase(Database):
    """A schema of a PostgreSQL database, made if it is not there.

    The URL's query may name the `schema`, and bound with `answer_within_ms` how long an answer is waited for.
    `name` tells the server's other users who writes. With `exclusive` nobody else may write meanwhile.
    """

    is_local = False

    def __init__(
        self, url: URL, *, name: str, read_only: bool, exclusive: bool, busy_timeout_ms: int
    ) -> None:
        self.schema = schema_of(url)
        self._shown = url.difference_update_query(list(url.query)).render_as_string()
        self._name, self._exclusive = name, exclusive
        self._key, self._lease_key = lock_key("append", self.schema), lock_key("lease", self.schema)
        self._notice = (channel_of(self.schema), f" {name}")
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
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def reading(self, purpose: str) -> Generator[Connection]:
        engine = self._reading
        if engine is None:
            raise StoreError(f"cannot {purpose}: the journal is closed")
        with self._translation(purpose), engine.connect() as connection:
            yield connection

    # Writing

    def prepare(self, connection: Connection) -> None:
        (there,) = connection.exec_driver_sql("SELECT to_regnamespace(?) IS NOT NULL", (self.schema,)).one()
        if not there:  # else nobody has to be allowed to make one
            connection.exec_driver_sql(f"CREATE SCHEMA {self.schema}")
        if connection.exec_driver_sql(_BODY_THERE).scalar() != _BODY:
            connection.exec_driver_sql(_FUNCTION)

    @contextlib.contextmanager
    def writing(self, purpose: str) -> Generator[Connection]:
        beginning = f"SELECT pg_advisory_xact_lock({self._key})"
        with self._transaction(purpose, beginning) as (connection, _):
            yield connection

    @contextlib.contextmanager
    def appending(self, purpose: str, *, after: int | None = None) -> Generator[tuple[Connection, Found]]:
        # Plain text, which the driver sends at once: all of it is one round trip.
        beginning = _BEGIN.format(self._key)
        if after is not None:
            beginning += _NEWER.format(int(after))
        with self._transaction(purpose, beginning) as (connection, cursor):
            cursor.nextset()
            head, last_us, generation = cursor.fetchone()
            newer = cursor.fetchall() if cursor.nextset() else ()
            yield connection, Found(head, last_us, newer, generation)

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
        with contextlib.suppress(psycopg.Error):  # who is rolled back for is told what went wrong before
            _driver(connection).rollback()
            connection.rollback()

    def store(self, connection: Connection, rows: Sequence[Row], below: Below) -> None:
        one = len(rows) == 1
        parameters = [*_columns(rows, one=one), *_below(below, one=one), *self._notice]
        try:
            _driver(connection).execute(_STORE_ONE if one else _STORE_MANY, parameters, prepare=True)
        except psycopg.errors.UniqueViolation as error:
            raise Taken(f"cannot append: {error}") from error

    def store_at_once(self, rows: Sequence[Row], below: Below, *, generation: int) -> bool:
        one = len(rows) == 1
        expected = (rows[0][0] - 1, generation)
        parameters = [self._key, *_columns(rows, one=one), *expected, *_below(below, one=one), *self._notice]
        statement = _ONE_AT_ONCE if one else _MANY_AT_ONCE
        with self._lock, self._translated("append"):
            driver = _driver(self._connected("append"))
            try:
                return bool(_value(driver.execute(statement, parameters, prepare=True)))
            except psycopg.errors.UniqueViolation:  # it is found out under the lock which one it was
                return False

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
            is_lost = self._connection is not None and _driver(self._connection).closed
            translated = self._translation.translated(purpose, error, is_lost=is_lost)
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
        return None if self._reading is None else ServerLease(self, key=lock_key(name, self.schema))

    def close(self) -> None:
        if self._reading is not None:
            self._reading.dispose()
            self._reading = None
        with self._lock:
            if self._connection is not None:
                self._drop(self._connection)
                self._connection = None
            if self._writing is not None:
                self._writing.dispose()
                self._writing = None


class ServerLease:
    """The right to a chore: a lock of a connection that is kept for as long, and ends with its process."""

    def __init__(self, database: PostgresqlDatabase, *, key: int) -> None:
        self._database = database
        self._key = key
        self._kept = contextlib.ExitStack()
        self._is_held = False

    def take(self) -> bool:
        """Take it, without waiting for who has it; `StoreError` where the server does not answer."""
        if self._is_held:
            return False
        with contextlib.ExitStack() as kept:
            connection = kept.enter_context(self._database.reading("take the lease of a chore"))
            query = "SELECT pg_try_advisory_lock(?)"
            if not connection.exec_driver_sql(query, (self._key,)).scalar_one():
                return False
            # Given back to the pool, it would be held by whoever comes next.
            kept.callback(connection.invalidate)
            self._kept = kept.pop_all()
        self._is_held = True
        return True

    def release(self) -> None:
        """Give it back; twice does nothing."""
        self._is_held = False
        self._kept.close()


def answer_within_ms(url: URL) -> int:
    """Return how long an answer is waited for; `StoreError` where the URL gives what is no such number."""
    given = url.query.get("answer_within_ms", str(ANSWER_WITHIN_MS))
    try:
        number = int(str(given))
    except ValueError:
        number = 0
    if number < 1:
        raise StoreError(f"answer_within_ms is a number of milliseconds from 1, got {given!r}")
    return number


def channel_of(schema: str) -> str:
    """Return the channel on which appends are told; its name has room for less than a schema's."""
    return f"eliza_state_{lock_key('feed', schema) % 2**64:016x}"


def lock_key(purpose: str, schema: str) -> int:
    """Return the number of a lock; those of PostgreSQL have 64 bits, in each database its own."""
    digest = hashlib.blake2b(f"eliza_state {purpose} {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver: Any = connection.connection.driver_connection
    return driver  # type: ignore[no-any-return]


def _value(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]


def _columns(rows: Sequence[Row], *, one: bool) -> list[Any]:
    """Return the parameters for rows: one value a column, or one list."""
    # An id may hold what a text of PostgreSQL cannot.
    if one:
        values = list(rows[0])
        values[_CAUSE] = _encoded(values[_CAUSE])
        return values
    columns = [list(column) for column in zip(*rows, strict=True)]
    columns[_CAUSE] = [_encoded(cause) for cause in columns[_CAUSE]]
    return columns


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _below(below: Below, *, one: bool) -> list[Any]:
    scopes = [scope for scope, _ in below]
    return [scopes] if one else [scopes, [position for _, position in below]]
