"""The statements of a SQL storage, built once for each dialect.

What concerns several keys or rows goes to the database in one of three forms: as arrays (PostgreSQL), as a
list of pairs to look for and one statement a row to write (MySQL, MariaDB), or one statement for each of
them (SQLite, where that costs nothing: https://sqlite.org/np1queryprob.html).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Delete,
    Executable,
    FromClause,
    Insert,
    Table,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import sqlite

from eliza_state.storage.sql.schema import COLUMNS, KeyText

Parameters: TypeAlias = "dict[str, Any] | list[dict[str, Any]]"

PAGE_ROWS: Final = 500
"""How many keys a page of a scan has at most."""
KEY: Final = COLUMNS[:2]
"""What finds a row."""
ROLLED: Final = (*KEY, "deadline_ms")
"""What `touch` writes."""
_LAST: Final = "\U0010ffff"
# After all keys: no name in one has more than 512 bytes, 128 of these.
_END: Final = _LAST * 129
# Far below what databases permit (65,535 parameters in PostgreSQL), and no huge statement either.
_KEYS_AT_ONCE: Final = 1_000


class Form(enum.Enum):
    """How several keys or rows go into a statement."""

    EACH = "each"
    LISTS = "lists"
    ARRAYS = "arrays"

    @classmethod
    def of(cls, dialect: str) -> Form:
        """Return the form for a dialect of SQLAlchemy, by its name."""
        return {"sqlite": cls.EACH, "postgresql": cls.ARRAYS}.get(dialect, cls.LISTS)


class Statements(NamedTuple):
    """The statements for one table.

    Those that find keys select the columns of a mark (`version, deadline_ms, ttl_ms` and whether it is a
    tombstone), `read` those of an entry (`value, version, deadline_ms, ttl_ms`), after `space` and `name`
    where the statement is not about one key. Parameters are named after columns, `row_name`; ranges go from
    `first` up to `end`, which is not in them. As arrays, `insert` and `delete` return the number of their
    transaction with each row, and when it began; by these, `outcome` tells what became of it.
    """

    form: Form
    read: Executable
    look: Executable
    lock: Executable
    insert: Executable
    update: Executable
    roll: Executable
    delete: Executable
    expired: Executable
    sweepable: Executable
    names: Executable
    spaces: Executable
    clear: Executable
    overwrite: Executable | None
    outcome: Executable | None

    def for_keys(self, places: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """Yield the parameters that make `read`, `look`, `lock` and `delete` find rows, not one by one."""
        for start in range(0, len(places), _KEYS_AT_ONCE):
            some = places[start : start + _KEYS_AT_ONCE]
            if self.form is Form.LISTS:
                yield {"places": list(some)}
            else:
                yield dict(zip(("row_space", "row_name"), map(list, zip(*some, strict=True)), strict=True))

    def for_rows(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Parameters:
        """Return the parameters that make `insert`, `update` and `roll` write rows of these columns."""
        names = [f"row_{name}" for name in columns]
        if self.form is Form.ARRAYS:
            return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        return [dict(zip(names, row, strict=True)) for row in rows]


def statements_for(table: Table, form: Form) -> Statements:
    """Build the statements for a table."""
    c = table.c
    order = (c.space, c.name)
    times = (c.version, c.deadline_ms, c.ttl_ms)
    mark = (*order, *times, c.value.is_(None).label("is_gone"))
    these = _these_keys(table, form)
    found = () if form is Form.EACH else order
    look = select(*found, *mark[2:]).where(these)
    names = select(*mark).where(c.space == _bound("space"), _is_within(c.name)).order_by(c.name)
    after = tuple_(c.space, c.name) > tuple_(_bound("space"), _bound("name"))
    spaces = select(*mark).where(after, c.space < _end()).order_by(*order)
    is_past = c.deadline_ms <= bindparam("now_ms")
    expired = select(*order).where(is_past).order_by(c.deadline_ms).limit(bindparam("limit"))
    return Statements(
        form=form,
        read=select(*found, c.value, *times).where(these),
        look=look,
        lock=look.order_by(*order).with_for_update(),
        insert=_insert(table, form),
        update=_update(table, form, COLUMNS),
        roll=_update(table, form, ROLLED),
        delete=_numbered(delete(table).where(these), form),
        expired=expired,
        sweepable=expired.with_for_update(skip_locked=True),
        names=names.limit(PAGE_ROWS),
        spaces=spaces.limit(PAGE_ROWS),
        clear=delete(table).where(_is_within(c.space)),
        overwrite=_overwrite(table, form),
        outcome=_outcome() if form is Form.ARRAYS else None,
    )


def end_of(prefix: str) -> str:
    """Return the first text, in the order of code points, after all keys that start with `prefix`."""
    stem = prefix.rstrip(_LAST)
    if not stem:
        return _END
    last = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if last == 0xD800 else last)


def next_after(name: str) -> str:
    """Return a text after a name, with no name in between: names hold no control character."""
    return f"{name}\x01"


def _bound(name: str) -> BindParameter[Any]:
    return bindparam(f"row_{name}", type_=KeyText() if name in KEY else None)


def _end() -> BindParameter[str]:
    return bindparam("end", type_=KeyText())


def _is_within(texts: ColumnElement[Any]) -> ColumnElement[bool]:
    return (texts >= bindparam("first", type_=KeyText())) & (texts < _end())


def _these_keys(table: Table, form: Form) -> ColumnElement[bool]:
    c = table.c
    if form is Form.EACH:
        return (c.space == _bound("space")) & (c.name == _bound("name"))
    if form is Form.LISTS:
        return tuple_(c.space, c.name).in_(bindparam("places", expanding=True))
    wanted = _arrays(table, KEY)
    return tuple_(c.space, c.name).in_(select(wanted.c.space, wanted.c.name))


def _arrays(table: Table, columns: Sequence[str]) -> FromClause:
    """Return parameters that are arrays, one a column, as the rows of a table."""
    arrays = []
    for name in columns:
        kind = Text() if name in KEY else table.c[name].type
        arrays.append(cast(bindparam(f"row_{name}"), ARRAY(kind)))
    shown = [column(name, table.c[name].type) for name in columns]
    return func.unnest(*arrays).table_valued(*shown, name="given").render_derived()


def _insert(table: Table, form: Form) -> Executable:
    if form is Form.ARRAYS:
        given = _arrays(table, COLUMNS)
        together = insert(table).from_select(COLUMNS, select(*(given.c[name] for name in COLUMNS)))
        return _numbered(together, form)
    return insert(table).values({name: _bound(name) for name in COLUMNS})


def _numbered(statement: Insert | Delete, form: Form) -> Executable:
    """Have PostgreSQL tell the number of the transaction, which is still known when its outcome is not."""
    return statement.returning(func.txid_current(), func.now()) if form is Form.ARRAYS else statement


def _outcome() -> Executable:
    """Return what asks for the outcome of a transaction: nothing where its number may be another's by now.

    https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT. What was not
    committed before a crash, or not replicated before a failover, leaves its number to others. A crash resets
    the statistics, and a server that was a replica knows what it replayed last.
    """
    is_own = "stats_reset < :began AND pg_last_xact_replay_timestamp() IS NULL"
    asked = f"SELECT CASE WHEN {is_own} THEN txid_status(:number) END FROM pg_stat_bgwriter"  # noqa: S608
    return text(asked)


def _overwrite(table: Table, form: Form) -> Executable | None:
    """Return what stores rows over those there are: all and their versions, or those of lower versions."""
    if form is Form.EACH:
        each = sqlite.insert(table).values({name: _bound(name) for name in COLUMNS})
        changed = {name: each.excluded[name] for name in COLUMNS[2:]}
        is_higher = each.excluded.version > table.c.version
        return each.on_conflict_do_update(index_elements=KEY, set_=changed, where=is_higher)
    if form is Form.ARRAYS:
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415  # the other forms do without this one

        given = _arrays(table, COLUMNS)
        rows = select(*(given.c[name] for name in COLUMNS))
        together = postgresql.insert(table).from_select(COLUMNS, rows)
        newer = func.greatest(table.c.version + 1, together.excluded.version)
        new: dict[str, Any] = {name: together.excluded[name] for name in COLUMNS[2:]}
        new["version"] = newer
        updating = together.on_conflict_do_update(index_elements=KEY, set_=new)
        return updating.returning(table.c.space, table.c.name, table.c.version)
    return None


def _update(table: Table, form: Form, columns: Sequence[str]) -> Executable:
    c = table.c
    if form is Form.ARRAYS:
        given = _arrays(table, columns)
        statement = update(table).values({name: given.c[name] for name in columns[2:]})
        return statement.where(c.space == given.c.space, c.name == given.c.name)
    statement = update(table).values({name: _bound(name) for name in columns[2:]})
    return statement.where(c.space == _bound("space"), c.name == _bound("name"))
