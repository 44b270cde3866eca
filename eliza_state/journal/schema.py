"""The tables of the SQL journal, and how an older schema becomes today's.

One compact row an event: paths, event names and writers are interned to integers. `below` is the inverted
index that finds the records below a scope (the scope's own are found by `record_version`; the root's are
all of them), so reading an idle agent's tail never scans another agent's records.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DatabaseError

from eliza_state.errors import StoreError

SCHEMA_VERSION: Final = 6
ROOT_ID: Final = 1
ARCHIVE_EPOCH: Final = "archive_epoch"
"""The name in `meta` of the epoch that the blocks of the archive bear, where that is not the journal's.

A store that was made of a backup has a life of its own, and the archive of the one before.
"""

metadata = MetaData()

# What passes 2^31: SQLite's integers are as large as they have to be.
_LARGE: Final = Integer().with_variant(BigInteger(), "postgresql")
# An id is any text, and may hold what a text of PostgreSQL cannot: there it is kept as UTF-8.
_ANY_TEXT: Final = Text().with_variant(LargeBinary(), "postgresql")

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

path = Table(
    "path",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("parent", Integer, nullable=False),
    Column("step", Text, nullable=False),
    UniqueConstraint("parent", "step", name="path_step"),
)

event_type = Table(
    "event_type",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    UniqueConstraint("name", "schema_version", name="event_type_version"),
)

writer = Table(
    "writer",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
)

record = Table(
    "record",
    metadata,
    Column("position", _LARGE, primary_key=True, autoincrement=False),
    Column("path", Integer, nullable=False),
    Column("version", _LARGE, nullable=False),
    Column("event_type", Integer, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("recorded_at_us", _LARGE, nullable=False),
    Column("writer", Integer, nullable=False),
    Column("cause", _ANY_TEXT),
    Column("checksum", _LARGE, nullable=False),
    Index("record_version", "path", "version", unique=True),
    # Ids ascend with time unless they are the caller's own: a batch for many scopes then adds to one page.
    Index("record_key", "key", "path", unique=True),
)

below = Table(
    "below",
    metadata,
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("position", _LARGE, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# For each scope with an erasure at it or below it, where the last one is told, and whether nothing beside the
# journal holds any more what was erased.
erasure = Table(
    "erasure",
    metadata,
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("position", _LARGE, nullable=False),
    Column("settled", Integer, nullable=False),
)

# Finds the records that say that a scope was restored; what they say is theirs alone.
restore = Table(
    "restore",
    metadata,
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("position", _LARGE, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# What is in the archive: a block of records at and below a scope, and where in which segment file it is. A
# scope has several blocks where one would be too large; version, event and time are those at the end of each.
# `ids` tells which ids are not in it, `is_cleared` whether all rows that it holds are gone from `record`.
archive_block = Table(
    "archive_block",
    metadata,
    Column("last_position", _LARGE, primary_key=True, autoincrement=False),
    Column("first_position", _LARGE, nullable=False),
    Column("path", Integer, nullable=False),
    Column("records", Integer, nullable=False),
    Column("version", _LARGE, nullable=False),
    Column("last_event", Text, nullable=False),
    Column("first_at_us", _LARGE, nullable=False),
    Column("last_at_us", _LARGE, nullable=False),
    Column("segment", Text, nullable=False),
    Column("start", _LARGE, nullable=False),
    Column("size_bytes", _LARGE, nullable=False),
    Column("checksum", LargeBinary, nullable=False),
    Column("ids", LargeBinary, nullable=False),
    Column("is_cleared", Integer, nullable=False),
    Index("archive_block_path", "path"),
)

# Finds the blocks of scopes below a scope, as `below` finds records.
archive_below = Table(
    "archive_below",
    metadata,
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("last_position", _LARGE, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)


def _drop_snapshots(connection: Connection) -> None:
    """Drop the snapshots: they are kept beside the journal now, and new ones are taken when they are due."""
    connection.exec_driver_sql("DROP TABLE IF EXISTS snapshot")
    connection.exec_driver_sql("DROP TABLE IF EXISTS chunk")


def _add_erasures(connection: Connection) -> None:
    """Add the table that says where something was erased."""
    erasure.create(connection, checkfirst=True)


def _add_restores(connection: Connection) -> None:
    """Add the table that says where scopes were restored."""
    restore.create(connection, checkfirst=True)


def _add_archive(connection: Connection) -> None:
    """Add the tables that say what is in the archive."""
    archive_block.create(connection, checkfirst=True)
    archive_below.create(connection, checkfirst=True)


def _turn_keys(connection: Connection) -> None:
    """Have ids in the order in which they come, in place of scope by scope."""
    (index,) = (each for each in record.indexes if each.name == "record_key")
    index.drop(connection, checkfirst=True)
    index.create(connection)


MIGRATIONS: Final[Mapping[int, Callable[[Connection], None]]] = {
    1: _drop_snapshots,
    2: _add_erasures,
    3: _add_restores,
    4: _add_archive,
    5: _turn_keys,
}
"""`MIGRATIONS[n]` turns schema n into schema n + 1, within the transaction that records it."""


def prepare(connection: Connection) -> str:
    """Create the tables, or bring an older schema up to date, and return the journal's epoch.

    Runs in the transaction that is open on `connection`. Raises `StoreError` for a database that holds
    something else, and for a schema newer than this code knows.
    """
    if not _names(connection):
        return _create(connection)
    version, epoch = _stored(connection)
    for step in range(version, SCHEMA_VERSION):
        MIGRATIONS[step](connection)
        changed = update(meta).where(meta.c.name == "schema_version").values(value=str(step + 1))
        connection.execute(changed)
    return epoch


def check_owner(connection: Connection) -> None:
    """Raise `StoreError` for a database that is neither empty nor a journal; it is only read."""
    if _names(connection):
        _stored(connection)


def check(connection: Connection) -> str:
    """Return the journal's epoch; `StoreError` unless its schema is today's."""
    version, epoch = _stored(connection)
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"the journal has the older schema {version}; open it for writing once to migrate it"
        )
    return epoch


def archive_epoch(connection: Connection) -> str | None:
    """Return the epoch that the blocks of the archive bear; `None` where it is the journal's."""
    query = select(meta.c.value).where(meta.c.name == ARCHIVE_EPOCH)
    return connection.execute(query).scalar()


def _names(connection: Connection) -> list[str]:
    """The names of all tables and views."""
    found = inspect(connection)
    return [*found.get_table_names(), *found.get_view_names()]


def _stored(connection: Connection) -> tuple[int, str]:
    names = _names(connection)
    if not names:
        raise StoreError("there is no store: the database holds no tables; open it for writing to make one")
    try:
        rows = connection.execute(select(meta.c.name, meta.c.value))
        found = {str(name): str(value) for name, value in rows}
        version, epoch = int(found["schema_version"]), found["epoch"]
    except (DatabaseError, KeyError, ValueError, TypeError):
        version, epoch = 0, ""
    if version < 1 or record.name not in names:
        raise StoreError(
            f"the database is not a store of states: it holds the tables {names}; name another one"
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the journal has schema {version}, this code knows up to {SCHEMA_VERSION}; run the newer code"
        )
    return version, epoch


def _create(connection: Connection) -> str:
    metadata.create_all(connection)
    epoch = str(uuid.uuid4())
    rows = [{"name": "schema_version", "value": str(SCHEMA_VERSION)}, {"name": "epoch", "value": epoch}]
    connection.execute(insert(meta), rows)
    connection.execute(insert(path).values(id=ROOT_ID, parent=0, step=""))
    return epoch
