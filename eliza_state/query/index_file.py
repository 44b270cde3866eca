"""Indexes on disk: of all scopes, loaded or not, in a SQLite file beside the store.

Nothing in it is relied on: it can be thrown away, and what is damaged or declared otherwise is made anew.
What a row says is in `eliza_state.query.index_layout`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from eliza_state import sqlite
from eliza_state.errors import Busy, StoreError
from eliza_state.indexes import ABSENT
from eliza_state.ordering import encode
from eliza_state.path import Path
from eliza_state.query.index_layout import STATE_KEY, Label, Layout, Row

SUFFIX: Final = "-indexes"
LABELS: Final = 1_000
_FORMAT: Final = "1"
TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # `position` is where the rows of a collection stand; NULL while they are made for the first time, by
    # whoever set `builder` last.
    "CREATE TABLE collection (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL,"
    " position INTEGER, builder TEXT)",
    "CREATE TABLE scope (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE)",
    "CREATE TABLE entry (label INTEGER NOT NULL, value BLOB NOT NULL, scope INTEGER NOT NULL,"
    " key BLOB NOT NULL, PRIMARY KEY (label, value, scope, key)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX entry_scope ON entry (scope, label, key, value)",
    "CREATE TABLE fact (path TEXT PRIMARY KEY, level TEXT NOT NULL, version INTEGER NOT NULL,"
    " position INTEGER NOT NULL, last_activity_us INTEGER NOT NULL, last_event TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX fact_activity ON fact (last_activity_us)",
)


class IndexFile:
    """The file, used by one thread at a time.

    `report` is told when the file has to be made anew. A file that is `read_only` is left as it is.
    """

    def __init__(
        self, database: str, *, epoch: str, read_only: bool, report: Callable[[str, Exception | None], None]
    ) -> None:
        self.read_only = read_only
        self._file = database + SUFFIX
        self._epoch = epoch
        self._report = report
        self._engine: Engine | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a file."""
        return os.path.exists(self._file)

    @contextlib.contextmanager
    def session(self) -> Generator[Session]:
        """Work on the file in one transaction.

        Raises `Busy` while another process writes it, `StoreError` where it cannot be used. One that is
        damaged is removed, so that the next session begins with an empty one.
        """
        with self._connect() as connection:
            try:
                with sqlite.translated("use the indexes"), connection.begin():
                    yield Session(connection)
            except StoreError as error:
                if _is_damage(error):
                    self._discard(f"the indexes are damaged and made anew: {error}", error)
                raise

    @contextlib.contextmanager
    def _connect(self) -> Generator[Connection]:
        if self._engine is None:
            self._engine = self._open()
        try:
            with sqlite.translated("open the indexes"):
                connection = self._engine.connect()
        except Busy:
            raise
        except StoreError as error:
            self._discard(f"the indexes cannot be opened and are made anew: {error}", error)
            raise
        with connection:
            yield connection

    def _open(self) -> Engine:
        url = URL.create("sqlite", database=self._file)
        if self.read_only:
            engine = sqlite.reading_engine(url, busy_timeout_ms=100, read_only=True)
        else:
            # What a power cut takes is made again from the journal.
            engine = sqlite.writing_engine(url, synchronous="NORMAL")
        try:
            with sqlite.translated("open the indexes"), engine.begin() as connection:
                self._check(connection)
        except Busy:
            engine.dispose()
            raise
        except _Foreign as error:
            engine.dispose()
            self._discard(str(error), None)
            raise
        except StoreError as error:
            engine.dispose()
            self._discard(f"the indexes are damaged and made anew: {error}", error)
            raise
        return engine

    def _check(self, connection: Connection) -> None:
        """Create the tables, or see that they are this store's."""
        tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
        if not tables and not self.read_only:
            for statement in TABLES:
                connection.exec_driver_sql(statement)
            told = [("format", _FORMAT), ("epoch", self._epoch)]
            connection.exec_driver_sql("INSERT INTO meta (name, value) VALUES (?, ?)", told)
            return
        connection.exec_driver_sql("SELECT 1 FROM collection, scope, entry, fact LIMIT 0")
        rows = connection.exec_driver_sql("SELECT name, value FROM meta")
        found: dict[str, str] = {str(row[0]): str(row[1]) for row in rows}
        if (found.get("format"), found.get("epoch")) != (_FORMAT, self._epoch):
            raise _Foreign("the indexes are of another store or format and are made anew")

    def _discard(self, message: str, error: Exception | None) -> None:
        self.close()
        if not self.read_only:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.unlink(self._file + suffix)
        self._report(message, error)

    def expunge(self) -> bool:
        """Have what was deleted gone from the file as well, and tell whether it is."""
        if self._engine is None:
            return True
        with sqlite.translated("clean the indexes"), self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            return sqlite.empty_log(driver)

    def free_bytes(self) -> int:
        """Return how much of the file holds nothing any more."""
        return self._with_driver(sqlite.free_bytes)

    def give_back(self, *, max_bytes: int) -> int:
        """Cut up to so many free bytes off the file, in a transaction; return how many went."""
        return 0 if self.read_only else self._with_driver(partial(sqlite.give_back, max_bytes=max_bytes))

    def _with_driver(self, work: Callable[[sqlite3.Connection], int]) -> int:
        if not self.exists:
            return 0
        with self._connect() as connection, sqlite.translated("use the indexes"):
            driver: Any = connection.connection.driver_connection
            return work(driver)

    def checkpoint(self) -> None:
        """Bring what the log holds into the database."""
        if self._engine is not None and not self.read_only:
            with sqlite.translated("checkpoint the indexes"), self._engine.connect() as connection:
                sqlite.checkpoint(connection)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._engine is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._engine.dispose()
            self._engine = None


def _is_damage(error: StoreError) -> bool:
    cause = error.__cause__
    code = getattr(getattr(cause, "orig", None) or cause, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class _Foreign(StoreError):
    """The file holds something else."""


class Session:
    """One transaction on the file."""

    def __init__(self, connection: Connection) -> None:
        self.run = connection.exec_driver_sql

    # Collections

    def position(self, layout: Layout) -> int | None:
        """Return where the rows of a collection stand; `None` where there are none, or others are wanted."""
        row = self.run("SELECT fingerprint, position FROM collection WHERE name = ?", (layout.name,)).first()
        return None if row is None or row[0] != layout.fingerprint else row[1]

    def is_outdated(self, layout: Layout) -> bool:
        """Tell whether there are rows of another declaration."""
        row = self.run("SELECT fingerprint FROM collection WHERE name = ?", (layout.name,)).first()
        return row is not None and row[0] != layout.fingerprint

    def begin(self, layout: Layout, builder: str) -> None:
        """Remove what there is of a collection and note who makes it anew."""
        number = self.number(layout)
        if number is not None:
            first = number * LABELS
            self.run("DELETE FROM entry WHERE label BETWEEN ? AND ?", (first, first + LABELS - 1))
        self.run(
            "INSERT INTO collection (name, fingerprint, position, builder) VALUES (?, ?, NULL, ?)"
            " ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint, position = NULL,"
            " builder = excluded.builder",
            (layout.name, layout.fingerprint, builder),
        )

    def names(self) -> list[str]:
        """Return the names of the collections that have rows, or had."""
        return [str(name) for name in self.run("SELECT name FROM collection ORDER BY name").scalars()]

    def remove(self, name: str, *, limit: int) -> bool:
        """Remove up to so many rows of a collection, and it once it has none; tell whether there are more."""
        number = self.run("SELECT id FROM collection WHERE name = ?", (name,)).scalar()
        if number is None:
            return False
        first = number * LABELS
        self.run("UPDATE collection SET position = NULL, builder = NULL WHERE id = ?", (number,))
        gone = self.run(
            "DELETE FROM entry WHERE (label, value, scope, key) IN"
            " (SELECT label, value, scope, key FROM entry WHERE label BETWEEN ? AND ? LIMIT ?)",
            (first, first + LABELS - 1, limit),
        ).rowcount
        if gone < limit:
            self.run("DELETE FROM collection WHERE id = ?", (number,))
        return gone == limit

    def is_built_by(self, layout: Layout, builder: str) -> bool:
        """Tell whether nobody else has begun to make the collection since."""
        found = self.run("SELECT builder FROM collection WHERE name = ?", (layout.name,)).scalar()
        return found == builder

    def set_position(self, layout: Layout, position: int) -> None:
        """Note where the rows of a collection stand."""
        self.run("UPDATE collection SET position = ? WHERE name = ?", (position, layout.name))

    def number(self, layout: Layout) -> int | None:
        """Return a collection's number; `None` if it is not there."""
        found = self.run("SELECT id FROM collection WHERE name = ?", (layout.name,)).scalar()
        return None if found is None else int(found)

    def label(self, layout: Layout, label: Label) -> int:
        """Return the number of an index among all."""
        number = self.number(layout)
        assert number is not None
        return number * LABELS + label.number

    # Rows

    def _scopes(self, paths: Sequence[str]) -> list[int]:
        """Return the numbers of scopes, adding those that are new."""
        self.run(
            "INSERT INTO scope (path) VALUES (?) ON CONFLICT (path) DO NOTHING", [(path,) for path in paths]
        )
        marks = ", ".join("?" * len(paths))
        query = f"SELECT path, id FROM scope WHERE path IN ({marks})"  # noqa: S608  # marks only
        numbers = {str(row[0]): int(row[1]) for row in self.run(query, tuple(paths))}
        return [numbers[path] for path in paths]

    def forget(self, path: Path, *, before: int) -> None:
        """Remove the rows of a scope, where they stand before a position.

        Whoever brings them past that position reads there that the scope has changed.
        """
        scope = self.run("SELECT id FROM scope WHERE path = ?", (path.encode(),)).scalar()
        stale = self.run("SELECT id FROM collection WHERE coalesce(position, 0) < ?", (before,)).scalars()
        for collection in [] if scope is None else stale.all():
            first = collection * LABELS
            gone = (scope, first, first + LABELS - 1)
            self.run("DELETE FROM entry WHERE scope = ? AND label BETWEEN ? AND ?", gone)

    def write_scopes(self, layout: Layout, scopes: Mapping[Path, Sequence[Row]]) -> None:
        """Write the rows of whole scopes, as `Layout.rows` gives them, in place of those that they have."""
        first = self.label(layout, layout.labels[0])
        numbers = self._scopes([path.encode() for path in scopes])
        gone = [(number, first, first + LABELS - 1) for number in numbers]
        self.run("DELETE FROM entry WHERE scope = ? AND label BETWEEN ? AND ?", gone)
        self._insert(
            (first + label, value, number, key)
            for number, rows in zip(numbers, scopes.values(), strict=True)
            for label, value, key in rows
        )

    def write_changes(self, layout: Layout, path: Path, changed: dict[Any, Any], state: Any) -> None:
        """Write the rows of some entries, `ABSENT` for those that are gone, and of the state around them."""
        (scope,) = self._scopes([path.encode()])
        first = self.label(layout, layout.labels[0])
        keys = [encode(key) for key in changed]
        gone = [
            (scope, first + label.number, key)
            for label in layout.labels
            for key in (keys if label.of != "state" else [STATE_KEY])
        ]
        if gone:
            self.run("DELETE FROM entry WHERE scope = ? AND label = ? AND key = ?", gone)
        present = ((key, entry) for key, entry in changed.items() if entry is not ABSENT)
        rows = layout.rows(present, state)
        self._insert((first + label, value, scope, key) for label, value, key in rows)

    def _insert(self, rows: Iterable[tuple[int, bytes, int, bytes]]) -> None:
        found = list(rows)
        if found:
            self.run("INSERT OR IGNORE INTO entry (label, value, scope, key) VALUES (?, ?, ?, ?)", found)
