"""A SQL storage's table in SQLite.

Statements go straight to the driver's connections, which SQLAlchemy has opened: through it, reading one key
takes ten times as long. One connection reads and one writes, so that readers see what is committed and
wait for nobody; a database in memory has one for both.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Executable
from sqlalchemy.dialects.sqlite import pysqlite

from eliza_state import sqlite
from eliza_state.errors import Busy
from eliza_state.storage.backend import Entry, Mark
from eliza_state.storage.keys import split_key
from eliza_state.storage.sql.batch import Changes, Place, Row
from eliza_state.storage.sql.database import Database, Session, entry_of, mark_of
from eliza_state.storage.sql.files import Opened, driver_of
from eliza_state.storage.sql.schema import COLUMNS
from eliza_state.storage.sql.statements import KEY, Statements

# As in the journal: a longer log is no better.
_CHECKPOINT_BYTES: Final = 4_000_000
_PAGE_BYTES: Final = 4_096
_LEAST_DENSITY: Final = 0.05
_DIALECT: Final = pysqlite.dialect()


class _Text(NamedTuple):
    """A statement as the driver takes it, and the names of its parameters, in order."""

    sql: str
    names: tuple[str, ...]
    given: Mapping[str, Any]

    def pick(self, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return parameters in the order of the statement, with those that it brings along, as a limit."""
        return tuple(parameters[name] if name in parameters else self.given[name] for name in self.names)

    def picker(self, columns: Sequence[str]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
        """Return what puts a row of these columns in the order of the statement."""
        named = [f"row_{name}" for name in columns]
        return itemgetter(*(named.index(name) for name in self.names))


class _Texts(dict[Executable, _Text]):
    """Statements as the driver takes them, compiled when they are first run."""

    def __missing__(self, statement: Any) -> _Text:
        compiled = statement.compile(dialect=_DIALECT)
        text = self[statement] = _Text(str(compiled), tuple(compiled.positiontup), compiled.params)
        return text


class SqliteSession(Session):
    """A transaction on the driver's connection, which has locked the whole database."""

    def __init__(self, driver: sqlite3.Connection, statements: Statements, texts: _Texts) -> None:
        super().__init__(statements)
        self.written_bytes = 0
        """What has been added to the log, if each row is on a page of its own."""
        self._driver = driver
        self._texts = texts

    def fetch(self, statement: Executable, parameters: dict[str, Any]) -> Iterable[Sequence[Any]]:
        text = self._texts[statement]
        return self._driver.execute(text.sql, text.pick(parameters)).fetchall()

    def run(self, statement: Executable, parameters: dict[str, Any]) -> None:
        text = self._texts[statement]
        changed = self._driver.execute(text.sql, text.pick(parameters)).rowcount
        self.written_bytes += _PAGE_BYTES * (changed + 1)

    def lock(self, keys: Iterable[str]) -> dict[str, Mark]:
        sql = self._texts[self.statements.look].sql
        execute = self._driver.cursor().execute
        rows = ((key, execute(sql, split_key(key)).fetchone()) for key in keys)
        return {key: mark_of(key, *row) for key, row in rows if row is not None}

    def change(self, statement: Executable, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        text = self._texts[statement]
        self._driver.executemany(text.sql, map(text.picker(columns), rows))
        self.written_bytes += _PAGE_BYTES * (len(rows) + 1)

    def delete(self, places: Sequence[Place]) -> None:
        self.change(self.statements.delete, KEY, places)

    def apply(self, changes: Changes) -> None:
        super().apply(changes)
        self._count_values(changes.new)
        self._count_values(changes.changed)

    def overwrite(self, rows: Sequence[Row]) -> bool:
        """Store rows over those of lower versions, and tell whether all of them were stored."""
        assert self.statements.overwrite is not None
        before = self._driver.total_changes
        self.change(self.statements.overwrite, COLUMNS, rows)
        self._count_values(rows)
        return self._driver.total_changes - before == len(rows)

    def _count_values(self, rows: Sequence[Row]) -> None:
        self.written_bytes += sum([len(row[2] or b"") for row in rows])


class _ClockIsBehind(Exception):
    """A row has a version that is as high as the one given to new ones."""


class SqliteDatabase(Database):
    """A table read through one held connection and written through another, or the same."""

    def __init__(self, opened: Opened, statements: Statements) -> None:
        super().__init__(statements)
        reading, writing, self._guard, self.is_durable, self._closing = opened
        self._texts = _Texts()
        self._read_sql = self._texts[statements.read].sql
        self._look_sql = self._texts[statements.look].sql
        self._writer = writing
        self._lock = threading.Lock()
        self._density = 1.0
        self._session = SqliteSession(self._writer, statements, self._texts)
        self._reader = reading
        self._cursor = self._reader.cursor()
        self._closing.callback(self._cursor.close)
        self._reading_lock = self._lock if reading is writing else threading.Lock()
        # With another kind of journal, a commit keeps readers out for as long as the disk takes.
        self.is_inline = self._reader.execute("PRAGMA journal_mode").fetchone()[0] in ("wal", "memory")

    # Reading: without context managers made of generators, which would take as long as the query

    def at_hand(self, key: str) -> Entry[bytes] | None:
        try:
            with self._reading_lock:
                row = self._cursor.execute(self._read_sql, split_key(key)).fetchone()
        except UnicodeEncodeError:  # a lone surrogate: it is no key
            return None
        except sqlite3.Error as error:
            raise sqlite.translation("read", error) from error
        return None if row is None else entry_of(key, *row)

    def read(self, keys: Sequence[str]) -> dict[str, Entry[bytes]]:
        return {key: entry_of(key, *row) for key, row in self._rows(self._read_sql, keys)}

    def look(self, keys: Sequence[str]) -> dict[str, Mark]:
        return {key: mark_of(key, *row) for key, row in self._rows(self._look_sql, keys)}

    def _rows(self, sql: str, keys: Sequence[str]) -> list[tuple[str, tuple[Any, ...]]]:
        execute = self._cursor.execute
        try:
            with self._reading_lock:
                rows = [(key, execute(sql, split_key(key)).fetchone()) for key in keys]
        except sqlite3.Error as error:
            raise sqlite.translation("read", error) from error
        return [(key, row) for key, row in rows if row is not None]

    def fetch(self, statement: Executable, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        text = self._texts[statement]
        with sqlite.translated("read"), self._reading_lock:
            return self._cursor.execute(text.sql, text.pick(parameters)).fetchall()

    # Writing

    @contextlib.contextmanager
    def transaction(self, purpose: str, *, wait: bool = True) -> Generator[Session]:
        if not self._lock.acquire(blocking=wait):
            raise Busy(f"cannot {purpose}: the connection that writes is in use")
        try:
            with sqlite.translated(purpose), _begun(self._writer, purpose):
                yield self._session
        finally:
            self._lock.release()

    def overwrite(self, rows: Sequence[Row], *, wait: bool = True) -> dict[str, int] | None:
        # With a version above all that are there, as the clock's nearly always is, it takes one statement a
        # row. Else it is given up: to ask for the versions as well would take half as long again.
        try:
            with self.transaction("write", wait=wait):
                if not self._session.overwrite(rows):
                    raise _ClockIsBehind
        except _ClockIsBehind:
            return None
        return {space + name: version for space, name, _, version, *_ in rows}

    @property
    def wants_maintenance(self) -> bool:  # type: ignore[override]
        return self._guard is not None and self._session.written_bytes * self._density > _CHECKPOINT_BYTES

    def maintain(self) -> None:
        """Bring the log into the database while nobody commits.

        The bug of `eliza_state.sqlite` needs a commit during a checkpoint, so a second connection holds the
        lock that commits need: then several processes may share the file, also with an older SQLite.
        """
        if self._guard is None:
            return
        with (
            self._lock,
            sqlite.translated("checkpoint"),
            contextlib.closing(self._guard.raw_connection()) as held,
            _begun(driver_of(held), "checkpoint"),
        ):
            supposed = max(self._session.written_bytes, _PAGE_BYTES)
            self._session.written_bytes = 0
            _, pages, _ = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        # Keys that lie side by side share pages; nobody else tells how many.
        self._density = min(max(pages * _PAGE_BYTES / supposed, _LEAST_DENSITY), 1.0)

    def expunge(self) -> bool:
        with self._lock, sqlite.translated("empty the log"):
            return sqlite.empty_log(self._writer)

    def free_bytes(self) -> int:
        if self._guard is None:
            return 0
        with self._lock, sqlite.translated("read"):
            return sqlite.free_bytes(self._writer)

    def give_back(self, *, max_bytes: int) -> int:
        if self._guard is None:  # the file is the application's, or there is none
            return 0
        with self._lock, sqlite.translated("give back what is free"):
            given = sqlite.give_back(self._writer, max_bytes=max_bytes)
        self._session.written_bytes += given
        return given

    def close(self) -> None:
        with self._lock, sqlite.translated("close"):
            self._closing.close()


@contextlib.contextmanager
def _begun(driver: sqlite3.Connection, purpose: str) -> Generator[None]:
    if driver.in_transaction:  # a connection that the application shares with the storage
        raise Busy(f"cannot {purpose}: the connection is in a transaction of somebody else's")
    driver.execute("BEGIN IMMEDIATE")
    try:
        yield
        driver.execute("COMMIT")
    except BaseException:
        if driver.in_transaction:  # an error may have ended it
            driver.execute("ROLLBACK")
        raise
