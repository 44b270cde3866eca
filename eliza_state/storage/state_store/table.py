"""The table of a `StateStore`: `state_key`, `value` as JSON text, `updated_at` in UTC.

>>> CREATE TABLE core_state (
...     state_key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT DEFAULT CURRENT_TIMESTAMP)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Engine,
    Executable,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from eliza_state.change import to_datetime
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.keys import check_name
from eliza_state.storage.sql.database import patiently
from eliza_state.storage.sql.schema import KeyText, check_table_name
from eliza_state.storage.state_store.database import StateDatabase
from eliza_state.storage.state_store.sink import JSON, Change, Stored

_MYSQL: Final = ("mysql", "mariadb")
_COLUMNS: Final = ("state_key", "value", "updated_at")
# What a row takes beside its value: a page of SQLite's log, in small transactions.
_ROW_BYTES: Final = 4_096


def check_state_table(name: str) -> str:
    """Return the name of the table for a configured one; raise `ValueError` if there can be none."""
    return check_table_name(f"core_{check_table_name(name)}")


class StateTable:
    """Keep written values in a table, one row a key, all changes of a write in one transaction.

    The table is created if it is not there. `table_name` is the configured name, without `core_`. Locks and
    connections are waited for up to `timeout_ms`. Raises `StoreError` for a database that cannot be opened
    and for a table of other columns.
    """

    def __init__(
        self,
        database: str | URL | Engine,
        *,
        table_name: str = "state",
        timeout_ms: int = 5_000,
        clock: Clock = now_us,
    ) -> None:
        name = check_state_table(table_name)
        self.name = f"table {name!r}"
        self._clock = clock
        self._timeout_s = timeout_ms / 1_000
        self._database = StateDatabase(database, timeout_ms=timeout_ms)
        dialect = self._database.dialect
        self._table = table_of(name, dialect)
        self._upsert = upsert_into(self._table, dialect)
        self._delete = delete(self._table).where(
            self._table.c.state_key == bindparam("gone_key", type_=KeyText())
        )
        try:
            patiently(self._prepare, timeout_s=self._timeout_s)
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        """Create the table unless it is there; several may do so at once."""
        if self._is_there():
            return
        try:
            with self._database.transaction("open the state") as connection:
                connection.execute(CreateTable(self._table, if_not_exists=True))
        except StoreError:
            # On PostgreSQL `IF NOT EXISTS` fails where somebody else creates it at the same moment.
            if not self._is_there():
                raise

    def _is_there(self) -> bool:
        with self._database.transaction("open the state") as connection:
            found = inspect(connection)
            if not found.has_table(self._table.name):
                return False
            columns = [column["name"] for column in found.get_columns(self._table.name)]
            keys = found.get_pk_constraint(self._table.name)["constrained_columns"]
        if keys != ["state_key"] or not set(columns).issuperset(_COLUMNS):
            raise StoreError(
                f"the {self.name} is not one of a state: it has the columns {', '.join(columns)} and the key"
                f" {', '.join(keys) or 'none'}; configure another table_name"
            )
        return True

    def check_key(self, key: str) -> None:
        if "\0" in key and self._database.dialect == "postgresql":
            raise InvalidKey(f"PostgreSQL holds no NUL in a text, got {key!r}")

    def load(self) -> Stored:
        dialect = self._database.dialect
        key, value = self._table.c.state_key, self._table.c.value
        query = select(_raw(key, dialect), _raw(value, dialect)).order_by(key)
        contents: dict[str, bytes] = {}
        unreadable: dict[str, str] = {}
        problems: list[StoreError] = []
        for raw_key, raw_value in patiently(partial(self._fetch, query), timeout_s=self._timeout_s):
            try:
                name = check_name(_text(raw_key))
            except ValueError as error:
                problems.append(StoreError(f"a row of the {self.name} is left alone: its key is {error}"))
                continue
            try:
                contents[name] = JSON + _text(raw_value).encode()
            except ValueError as error:
                unreadable[name] = f"its column holds {error}"
        return Stored(contents, unreadable, tuple(problems))

    def _fetch(self, query: Executable) -> Sequence[Any]:
        with self._database.transaction("read the state") as connection:
            return connection.execute(query).all()

    def write(self, changes: Mapping[str, Change]) -> None:
        updated_at = to_datetime(self._clock()).strftime("%Y-%m-%d %H:%M:%S")
        gone: list[dict[str, str]] = []
        rows: list[dict[str, str]] = []
        for key, content in sorted(changes.items()):  # in one order, so that writers do not lock crosswise
            if content is GONE:
                gone.append({"gone_key": key})
            else:
                value = content[len(JSON) :].decode()
                rows.append({"state_key": key, "value": value, "updated_at": updated_at})
        patiently(partial(self._write, gone, rows), timeout_s=self._timeout_s)
        self._database.wrote(sum(len(row["value"]) + _ROW_BYTES for row in rows) + _ROW_BYTES * len(gone))

    def _write(self, gone: Sequence[Mapping[str, str]], rows: Sequence[Mapping[str, str]]) -> None:
        with self._database.transaction("write the state") as connection:
            if gone:
                connection.execute(self._delete, gone)
            if rows:
                connection.execute(self._upsert, rows)

    def close(self) -> None:
        self._database.close()


def table_of(name: str, dialect: str) -> Table:
    """Return the table of that name, not created yet, for a dialect of SQLAlchemy's."""
    # MySQL takes a default for a TEXT only as an expression.
    now = text("(CURRENT_TIMESTAMP)" if dialect in _MYSQL else "CURRENT_TIMESTAMP")
    long_text = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), *_MYSQL)
    return Table(
        name,
        MetaData(),
        Column("state_key", KeyText, primary_key=True),
        Column("value", long_text, nullable=False),
        Column("updated_at", Text, server_default=now),
    )


def upsert_into(table: Table, dialect: str) -> Executable:
    """Return the statement that stores rows over those of the same keys."""
    if dialect in _MYSQL:
        insert = mysql.insert(table)
        return insert.on_duplicate_key_update(
            value=insert.inserted.value, updated_at=insert.inserted.updated_at
        )
    if dialect == "postgresql":
        given = postgresql.insert(table)
        changes = {name: given.excluded[name] for name in ("value", "updated_at")}
        return given.on_conflict_do_update(index_elements=["state_key"], set_=changes)
    row = sqlite.insert(table)
    changes = {name: row.excluded[name] for name in ("value", "updated_at")}
    return row.on_conflict_do_update(index_elements=["state_key"], set_=changes)


def _raw(column: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """Return an expression for the bytes of a text, `NULL` where SQLite holds something else.

    One text that is no UTF-8 would make the driver refuse all rows. PostgreSQL holds none.
    """
    if dialect == "postgresql":
        return column
    raw = cast(column, LargeBinary)
    return case((func.typeof(column) == "text", raw)) if dialect == "sqlite" else raw


def _text(raw: Any) -> str:
    """Return the text of a column. Raises `ValueError` for anything else."""
    if isinstance(raw, bytes):
        return raw.decode()
    if not isinstance(raw, str):
        raise ValueError("no text")
    return raw
