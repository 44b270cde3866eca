"""The table of a SQL storage: one row a key, the same columns in every database."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from sqlalchemy import (
    TEXT,
    VARBINARY,
    BigInteger,
    Column,
    Dialect,
    Engine,
    Index,
    Inspector,
    LargeBinary,
    MetaData,
    Table,
    Text,
    inspect,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from eliza_state.errors import StoreError

COLUMNS: Final = ("space", "name", "value", "version", "deadline_ms", "ttl_ms", "updated_at_ms")
"""The columns, in order: namespace and name as `keys.split_key` parts them, a NULL value for a tombstone."""
MYSQL_KEY_BYTES: Final = 1_536
"""How long a namespace's text, and a name, may be in MySQL: InnoDB indexes 3,072 bytes for the two."""

_MYSQL: Final = ("mysql", "mariadb")
_WITH_PARTIAL_INDEXES: Final = ("sqlite", "postgresql")
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LONGEST_STEM: Final = 54
_CREATION_ATTEMPTS: Final = 5


class KeyText(TypeDecorator[str]):
    """Text that is compared byte by byte in UTF-8, which is also the order of its code points."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(VARBINARY(MYSQL_KEY_BYTES))
        # Not adapted to the dialect: of PostgreSQL's drivers, some would make it another type in the table.
        return TEXT(collation="C" if dialect.name == "postgresql" else None)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        if value is None or dialect.name not in _MYSQL:
            return value
        content = value.encode()
        if len(content) > MYSQL_KEY_BYTES:  # a server that is not strict would cut it short
            raise ValueError(f"MySQL takes at most {MYSQL_KEY_BYTES} bytes of a key: {value[:40]!r}…")
        return content

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return value.decode() if dialect.name in _MYSQL and isinstance(value, bytes) else value


def check_table_name(name: str) -> str:
    """Return a name if a table may have it in every database without quotes; else raise `ValueError`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"a table's name has up to 63 of a-z, 0-9 and _, and does not start with a digit; got {name!r}"
        )
    return name


def key_value_table(name: str, dialect: str) -> Table:
    """Return the table of a storage and its index for a dialect of SQLAlchemy, by name; not created yet."""
    table = Table(
        check_table_name(name),
        MetaData(),
        Column("space", KeyText, primary_key=True),
        Column("name", KeyText, primary_key=True),
        Column("value", _content_type(dialect)),
        Column("version", BigInteger, nullable=False),
        Column("deadline_ms", BigInteger),
        Column("ttl_ms", BigInteger),
        Column("updated_at_ms", BigInteger, nullable=False),
    )
    has_deadline = table.c.deadline_ms.is_not(None)
    options: dict[str, Any] = {f"{dialect}_where": has_deadline} if dialect in _WITH_PARTIAL_INDEXES else {}
    Index(_index_name(name), table.c.deadline_ms, **options)
    return table


def _content_type(dialect: str) -> TypeEngine[bytes]:
    if dialect not in _MYSQL:
        return LargeBinary()
    from sqlalchemy.dialects.mysql import LONGBLOB  # noqa: PLC0415  # the other dialects do without this one

    return LONGBLOB()


def _index_name(table: str) -> str:
    stem = table
    if len(table) > _LONGEST_STEM:  # a name has 63 characters, and two tables must not share one
        digest = hashlib.blake2b(table.encode(), digest_size=4).hexdigest()
        stem = f"{table[: _LONGEST_STEM - 9]}_{digest}"
    return f"{stem}_deadline"


def prepare(engine: Engine, table: Table, *, read_only: bool = False) -> None:
    """Create the table and its index unless they are there; several may do so at once.

    Raises `StoreError` if there is a table of that name with other columns, or with `read_only` none, and
    what SQLAlchemy raises.
    """
    for attempt in range(1, _CREATION_ATTEMPTS + 1):
        found = inspect(engine)
        if found.has_table(table.name):
            _check(found, table, engine.dialect)
            if read_only or _has_index(found, table):
                return
        elif read_only:
            raise StoreError(f"there is no table {table.name!r} to be read; open the storage to write first")
        try:
            with engine.begin() as connection:
                table.create(connection, checkfirst=True)
            _create_index(engine, table)
        except DBAPIError:  # most likely somebody else created them meanwhile: look again
            if attempt == _CREATION_ATTEMPTS:
                raise


def _create_index(engine: Engine, table: Table) -> None:
    if not _has_index(inspect(engine), table):
        with engine.begin() as connection:
            for index in table.indexes:
                index.create(connection)


def _has_index(found: Inspector, table: Table) -> bool:
    there = {index["name"] for index in found.get_indexes(table.name)}
    return there.issuperset(index.name for index in table.indexes)


def _shown(kind: TypeEngine[Any], dialect: Dialect) -> str:
    return "of no known type" if isinstance(kind, NullType) else kind.compile(dialect)


def _check(found: Inspector, table: Table, dialect: Dialect) -> None:
    expected = {column.name: _shown(column.type, dialect) for column in table.columns}
    actual = {column["name"]: _shown(column["type"], dialect) for column in found.get_columns(table.name)}
    keys = found.get_pk_constraint(table.name)["constrained_columns"]
    if expected != actual or keys != ["space", "name"]:
        shown = ", ".join(f"{name} {kind}" for name, kind in actual.items())
        raise StoreError(
            f"the table {table.name!r} is not one of a storage: it has the columns {shown}"
            f" and the key {', '.join(keys) or 'none'}; name another table"
        )
