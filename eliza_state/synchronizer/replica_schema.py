"""The tables that a store has beside the journal's once it is a replica.

Managers leave them alone: what they append has no stamp, until the next synchronisation gives it one.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Connection, Index, Integer, LargeBinary, MetaData, Table, Text, text

metadata: Final = MetaData()

# The stamp of the record at a position: its time is the record's own. Without a `sequence` it is of this
# store alone and does not travel. `key` is the id that it came with, where another record at its path has
# that id here. What `is_repeated` has no content because another record has the same.
stamp = Table(
    "replica_stamp",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("counter", Integer, nullable=False),
    Column("writer", Integer, nullable=False),
    Column("sequence", Integer),
    Column("path", Integer),
    Column("key", LargeBinary),
    Column("is_repeated", Integer, nullable=False, server_default="0"),
    Index("replica_stamp_sequence", "writer", "sequence", unique=True),
    Index("replica_stamp_key", "path", "key", sqlite_where=text("key IS NOT NULL")),
)

# Records that have come and are not merged yet, in the order of their stamps.
arrival = Table(
    "replica_arrival",
    metadata,
    Column("time_us", Integer, primary_key=True, autoincrement=False),
    Column("counter", Integer, primary_key=True, autoincrement=False),
    Column("writer", Text, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("path", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("cause", Text),
    Column("is_repeated", Integer, nullable=False),
    Index("replica_arrival_sequence", "writer", "sequence", unique=True),
    sqlite_with_rowid=False,
)

# Ids whose records have lost their content elsewhere.
erased = Table(
    "replica_erased",
    metadata,
    Column("path", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)


def prepare(connection: Connection) -> None:
    """Create the tables that are not there, in the transaction that is open."""
    metadata.create_all(connection)
