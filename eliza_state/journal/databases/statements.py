"""The statements by which records get into a schema of PostgreSQL, and their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eliza_state.journal.databases.database import ROW, Below, Row

# Each statement of such a function sees what is committed when it begins: the last position is looked up when
# the lock is held, not when it was asked for.
BODY: Final = """
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key);
    SELECT position, recorded_at_us INTO head, last_us FROM record ORDER BY position DESC LIMIT 1;
    head := coalesce(head, 0);
    last_us := coalesce(last_us, 0);
    generation := coalesce((SELECT value FROM meta WHERE name = 'archive'), '0');
END
"""
FUNCTION: Final = (
    "CREATE OR REPLACE FUNCTION lock_journal("
    "lock_key bigint, OUT head bigint, OUT last_us bigint, OUT generation bigint)"
    f" LANGUAGE plpgsql AS $${BODY}$$"
)
BODY_THERE: Final = (
    "SELECT prosrc FROM pg_proc"
    " WHERE proname = 'lock_journal' AND pronamespace = current_schema()::regnamespace"
)

# Plain text, which the driver sends at once: all of it is one round trip.
BEGIN: Final = "SELECT * FROM lock_journal({});"
REACHED: Final = "SELECT path, count(*) FROM record WHERE position > {} GROUP BY path"

NEWER: Final = f"SELECT {ROW} FROM record WHERE position > %s AND position <= %s ORDER BY position".encode()  # noqa: S608  # constants only

_TYPES: Final = (
    *("bigint", "integer", "bigint", "integer", "bytea"),
    *("bytea", "bigint", "integer", "bytea", "bigint"),
)
_ONE: Final = ", ".join(f"%s::{kind}" for kind in _TYPES)
_MANY: Final = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
_CAUSE: Final = 8

# One row needs no arrays, which take longer than the row.
_STORE_ONE: Final = f"""
WITH placed AS (INSERT INTO record VALUES ({_ONE}) RETURNING position)
INSERT INTO below SELECT scope, placed.position FROM placed, unnest(%s::integer[]) AS scope
""".encode()  # noqa: S608
_STORE_MANY: Final = f"""
WITH placed AS (INSERT INTO record SELECT * FROM unnest({_MANY}))
INSERT INTO below SELECT * FROM unnest(%s::integer[], %s::bigint[])
""".encode()  # noqa: S608
_ONE_AT_ONCE: Final = f"""
WITH found AS MATERIALIZED (SELECT * FROM lock_journal(%s)),
placed AS (
    INSERT INTO record SELECT {_ONE} FROM found WHERE head = %s AND generation = %s RETURNING position
),
noted AS (INSERT INTO below SELECT scope, placed.position FROM placed, unnest(%s::integer[]) AS scope)
SELECT count(*) FROM placed
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
SELECT count(*) FROM placed
""".encode()  # noqa: S608


def storing(rows: Sequence[Row], below: Below) -> tuple[bytes, list[Any]]:
    """Return the statement that inserts records, with its parameters."""
    one = len(rows) == 1
    return _STORE_ONE if one else _STORE_MANY, [*_columns(rows, one=one), *_below(below, one=one)]


def storing_at_once(
    rows: Sequence[Row], below: Below, *, lock: int, generation: int
) -> tuple[bytes, list[Any]]:
    """Return the statement that takes the lock and inserts records if nobody else has written meanwhile."""
    one = len(rows) == 1
    expected = (rows[0][0] - 1, generation)
    parameters = [lock, *_columns(rows, one=one), *expected, *_below(below, one=one)]
    return _ONE_AT_ONCE if one else _MANY_AT_ONCE, parameters


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
