"""A SQL storage's table on a server: PostgreSQL, MySQL, MariaDB."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, Connection, Dialect, Engine, Executable, Table, create_engine, event
from sqlalchemy.exc import InvalidatePoolError

from eliza_state.errors import StoreError
from eliza_state.servers import Lost, Translation
from eliza_state.storage.backend import Entry, Mark
from eliza_state.storage.keys import split_key
from eliza_state.storage.sql.batch import Place, Row
from eliza_state.storage.sql.database import (
    Database,
    LostInCommit,
    Number,
    Options,
    Session,
    entry_of,
    mark_of,
)
from eliza_state.storage.sql.schema import COLUMNS, prepare
from eliza_state.storage.sql.statements import Form, Parameters, Statements, statements_for

READERS: Final = 4
"""How many threads read, and connections are kept for them, unless said otherwise."""

_FOR_MYSQL: Final = (
    "pip install 'eliza-state[mysql]' has a driver, named by mysql+pymysql:// or mariadb+pymysql://"
)
_ADVICE: Final = {
    "postgresql": "pip install 'eliza-state[postgresql]' has a driver, named by postgresql:// alone",
    "mysql": _FOR_MYSQL,
    "mariadb": _FOR_MYSQL,
}


class ServerSession(Session):
    """A transaction on a connection of SQLAlchemy's."""

    def __init__(self, connection: Connection, statements: Statements) -> None:
        super().__init__(statements)
        self._connection = connection

    def fetch(self, statement: Executable, parameters: dict[str, Any]) -> Iterable[Sequence[Any]]:
        return self._connection.execute(statement, parameters).all()

    def run(self, statement: Executable, parameters: dict[str, Any]) -> None:
        self._connection.execute(statement, parameters)

    def lock(self, keys: Iterable[str]) -> dict[str, Mark]:
        # In order, as others lock them: else each may wait for the other.
        places = [split_key(key) for key in sorted(keys)]
        parts = map(partial(self.fetch, self.statements.lock), self.statements.for_keys(places))
        return {space + name: mark_of(space + name, *mark) for part in parts for space, name, *mark in part}

    def change(self, statement: Executable, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        self._run_numbered(statement, self.statements.for_rows(columns, rows))

    def delete(self, places: Sequence[Place]) -> None:
        for parameters in self.statements.for_keys(places):
            self._run_numbered(self.statements.delete, parameters)

    def _run_numbered(self, statement: Executable, parameters: Parameters) -> None:
        result = self._connection.execute(statement, parameters)
        if result.returns_rows and (row := result.first()) is not None:
            self.number = Number(*row)


class ServerDatabase(Database):
    """A table on a server: each read is one round trip, on a connection of the engine's pool."""

    def __init__(self, engine: Engine, statements: Statements, *, owns_engine: bool) -> None:
        super().__init__(statements)
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        # Whatever the application's engine does by default, a transaction is one here.
        self._transactional = engine.execution_options(isolation_level="READ COMMITTED")
        self._owns_engine = owns_engine
        self._translated = Translation(engine.url)

    def read(self, keys: Sequence[str]) -> dict[str, Entry[bytes]]:
        rows = self._rows(self.statements.read, keys)
        return {space + name: entry_of(space + name, *entry) for space, name, *entry in rows}

    def look(self, keys: Sequence[str]) -> dict[str, Mark]:
        rows = self._rows(self.statements.look, keys)
        return {space + name: mark_of(space + name, *mark) for space, name, *mark in rows}

    def _rows(self, statement: Executable, keys: Sequence[str]) -> Iterable[Sequence[Any]]:
        for parameters in self.statements.for_keys([split_key(key) for key in keys]):
            yield from self.fetch(statement, parameters)

    def fetch(self, statement: Executable, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        with self._translated("read"), self._autocommit.connect() as connection:
            return connection.execute(statement, parameters).all()

    @contextlib.contextmanager
    def transaction(self, purpose: str, *, wait: bool = True) -> Generator[Session]:
        with (
            self._translated(purpose),
            self._transactional.connect() as connection,
            connection.begin() as transaction,
        ):
            yield ServerSession(connection, self.statements)
            with self._committing():
                transaction.commit()

    def overwrite(self, rows: Sequence[Row], *, wait: bool = True) -> dict[str, int]:
        assert self.statements.overwrite is not None
        parameters = self.statements.for_rows(COLUMNS, rows)
        with self._translated("write"), self._autocommit.connect() as connection, self._committing():
            found = connection.execute(self.statements.overwrite, parameters).all()
        return {space + name: version for space, name, version in found}

    @contextlib.contextmanager
    def _committing(self) -> Generator[None]:
        try:
            with self._translated("commit"):
                yield
        except Lost as error:
            raise LostInCommit(str(error)) from error

    def close(self) -> None:
        if self._owns_engine:
            self._engine.dispose()


def open_server(place: URL | Engine, table: Table, options: Options) -> ServerDatabase:
    """Connect, and create the table if it is not there. An engine is the application's.

    Raises `Lost` where there is no connection and `StoreError` for what cannot be used.
    """
    engine = place if isinstance(place, Engine) else _made(place, options)
    owns_engine = engine is not place
    try:
        with Translation(engine.url)("open the database"):
            prepare(engine, table, read_only=options.read_only)
    except BaseException:
        if owns_engine:
            engine.dispose()
        raise
    form = Form.of(engine.dialect.name)
    return ServerDatabase(engine, statements_for(table, form), owns_engine=owns_engine)


def _made(url: URL, options: Options) -> Engine:
    arguments: dict[str, Any] = {}
    if url.drivername.endswith("+psycopg") and "connect_timeout" not in url.query:
        arguments = {"connect_timeout": max(2, options.timeout_ms // 1_000)}  # libpq takes no less than 2 s
    connections = (options.readers or READERS) + 1
    try:
        engine = create_engine(
            url, pool_size=connections, max_overflow=0, hide_parameters=True, connect_args=arguments
        )
    except ImportError as error:
        raise StoreError(f"cannot open the database: {error}; {_ADVICE[url.get_backend_name()]}") from None
    event.listen(engine, "connect", partial(_set_up, dialect=engine.dialect, timeout_ms=options.timeout_ms))
    if engine.dialect.driver == "psycopg":
        event.listen(engine, "checkout", _look_at)
    return engine


def _look_at(driver: Any, _record: Any, _proxy: Any) -> None:
    """Have connections made anew that ended while nobody used them.

    Else it would be found out by a write that is lost, perhaps in doubt.
    """
    # What a server says unasked is as a rule that it ends. `poll` takes any file's number; Windows has none.
    if driver.closed or (hasattr(select, "poll") and _is_readable(driver.fileno())):
        raise InvalidatePoolError


def _is_readable(file: int) -> bool:
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(0))


def _set_up(connection: Any, _record: Any, *, dialect: Dialect, timeout_ms: int) -> None:
    """Prepare a connection of the driver's that is new."""
    if dialect.name == "postgresql":
        bound = f"SET lock_timeout = {timeout_ms:d}"
    else:
        bound = f"SET SESSION innodb_lock_wait_timeout = {max(1, timeout_ms // 1_000):d}"
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(bound)
    connection.commit()
    if dialect.driver == "psycopg":
        from psycopg.types.array import ListBinaryDumper  # noqa: PLC0415  # there is no psycopg elsewhere

        # As text, arrays take a batch of small values twice as long as all the rest of it.
        connection.adapters.register_dumper(list, ListBinaryDumper)
