"""The tables around the records: what each row refers to, and those that follow from the records."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import attrs
from sqlalchemy import Connection

from eliza_state.health.verifying import tables
from eliza_state.health.verifying.finding import Finding
from eliza_state.health.verifying.subject import Subject, name_of, reading
from eliza_state.journal.archive import rows
from eliza_state.journal.interning import Interning
from eliza_state.journal.schema import ROOT_ID

TABLES: Final = "tables"
DERIVED: Final = "derived"

_RECOVERS = "the records that it names are damaged with it; restore the file from a backup"
_NO_HARM = "no state depends on it; who wrote, or what led to the record, is not known any more"


class Rule(NamedTuple):
    """Rows that must not be there: `query` gives a number of each, `text` says what is wrong with it."""

    query: str
    text: str
    loss: str
    is_explained: Callable[[Subject, Connection, Any], bool] | None = None
    """Tells of one of those rows that it is as it should be: what it refers to is in the archive."""


def _is_archived(_subject: Subject, connection: Connection, path_id: Any) -> bool:
    """Tell whether a path, by its number, is in the archive, or below one that is."""
    while isinstance(path_id, int) and path_id > ROOT_ID:
        if rows.held(connection, [path_id]):
            return True
        above = connection.exec_driver_sql("SELECT parent FROM path WHERE id = ?", (path_id,)).scalar()
        path_id = above if isinstance(above, int) and above < path_id else 0
    return False


def _is_archived_event(subject: Subject, connection: Connection, number: Any) -> bool:
    query = "SELECT name, schema_version FROM event_type WHERE id = ?"
    found = connection.exec_driver_sql(query, (number,)).one_or_none()
    return bool(subject.lost) or (found is not None and tuple(found) in subject.events)


def _is_archived_writer(subject: Subject, connection: Connection, number: Any) -> bool:
    query = "SELECT name FROM writer WHERE id = ?"
    found = connection.exec_driver_sql(query, (number,)).scalar()
    return bool(subject.lost) or found in subject.writers


RULES: Final = (
    Rule(
        "SELECT position FROM record WHERE path NOT IN (SELECT id FROM path)",
        "record {0} is of a path that there is not",
        _RECOVERS,
    ),
    Rule(
        "SELECT position FROM record WHERE event_type NOT IN (SELECT id FROM event_type)",
        "record {0} is of an event that there is not",
        _RECOVERS,
    ),
    Rule(
        "SELECT position FROM record WHERE writer NOT IN (SELECT id FROM writer)",
        "record {0} is of a writer that there is not",
        _NO_HARM,
    ),
    Rule(
        "SELECT position FROM record WHERE cause IS NOT NULL"
        " AND (typeof(cause) != 'text' OR length(cause) NOT BETWEEN 1 AND 256)",
        "record {0} has a cause that is no id",
        _NO_HARM,
    ),
    Rule(
        f"SELECT id FROM path WHERE id != {ROOT_ID} AND (typeof(parent) != 'integer' OR parent >= id"  # noqa: S608  # constants only
        " OR parent NOT IN (SELECT id FROM path) OR typeof(step) != 'text' OR step = '')",
        "path {0} does not lie below another one",
        _RECOVERS,
    ),
    Rule(
        f"SELECT id FROM path WHERE id = {ROOT_ID} AND (parent IS NOT 0 OR step IS NOT '')",  # noqa: S608  # constants only
        "the path of the root is another one",
        _RECOVERS,
    ),
    Rule(
        f"SELECT {ROOT_ID} WHERE NOT EXISTS (SELECT 1 FROM path WHERE id = {ROOT_ID})",  # noqa: S608  # constants only
        "the path of the root is missing",
        _RECOVERS,
    ),
    Rule(
        f"SELECT id FROM path WHERE id != {ROOT_ID} AND id NOT IN (SELECT path FROM record)"  # noqa: S608  # constants only
        " AND id NOT IN (SELECT parent FROM path)",
        "path {0} has no record: those that it had are missing",
        "records of that scope are lost; restore the file from a backup",
        _is_archived,
    ),
    Rule(
        "SELECT id FROM event_type WHERE id NOT IN (SELECT event_type FROM record)",
        "event {0} has no record: those that it had are missing",
        "records of that event are lost; restore the file from a backup",
        _is_archived_event,
    ),
    Rule(
        "SELECT id FROM writer WHERE id NOT IN (SELECT writer FROM record)",
        "writer {0} has no record: those that it had are missing",
        "records of that writer are lost; restore the file from a backup",
        _is_archived_writer,
    ),
    Rule(
        "SELECT id FROM writer WHERE typeof(name) != 'text' OR name = ''",
        "writer {0} has no name",
        _NO_HARM,
    ),
    Rule(
        "SELECT path FROM record GROUP BY path HAVING min(version) IS NOT 1 OR max(version) IS NOT count(*)",
        "the versions of the records of {where} have a gap",
        "a record of that scope is missing or damaged; restore the file from a backup",
        _is_archived,
    ),
)
"""What the tables are held to, beside the records' own checksums."""


def check_tables(subject: Subject) -> Iterator[Finding]:
    """Look at what each row refers to, at versions without gaps, and at what the store says of itself."""
    if subject.database is None:
        return
    file = name_of(subject.database)
    with reading(subject.database) as connection:
        for number, rule in enumerate(RULES, 1):
            for (value,) in connection.exec_driver_sql(rule.query):
                if rule.is_explained is not None and rule.is_explained(subject, connection, value):
                    continue
                text = rule.text.format(
                    value, where=_where(connection, value) if "{where}" in rule.text else ""
                )
                yield Finding(check=TABLES, message=text, file=file, loss=rule.loss)
            subject.count(TABLES, number, len(RULES))
        yield from (attributed(finding, file) for finding in _texts(connection))
        yield from (attributed(finding, file) for finding in _meta(connection))


def _where(connection: Connection, path_id: Any) -> str:
    """Return the text form of a path by its number, as far as its rows are whole."""
    return repr(Interning().path_of(connection, path_id).encode()) if isinstance(path_id, int) else "?"


def attributed(finding: Finding, file: str) -> Finding:
    """Return a finding with the name of its file."""
    return attrs.evolve(finding, file=file)


def _texts(connection: Connection) -> Iterator[Finding]:
    """Find text that is no Unicode, as a flipped bit may leave it: it is shown with other characters."""
    queries = {
        "cause of record": "SELECT position, CAST(cause AS BLOB) FROM record WHERE cause IS NOT NULL",
        "name of writer": "SELECT id, CAST(name AS BLOB) FROM writer",
    }
    for what, query in queries.items():
        for number, content in connection.exec_driver_sql(query):
            if _is_text(content):
                continue
            yield Finding(check=TABLES, message=f"the {what} {number} is no text", loss=_NO_HARM)


def _is_text(content: Any) -> bool:
    try:
        bytes(content).decode()
    except (UnicodeDecodeError, TypeError, ValueError):
        return False
    return True


def _meta(connection: Connection) -> Iterator[Finding]:
    epoch = connection.exec_driver_sql("SELECT value FROM meta WHERE name = 'epoch'").scalar()
    try:
        is_epoch = str(uuid.UUID(str(epoch))) == epoch
    except ValueError:
        is_epoch = False
    if not is_epoch:
        loss = "no snapshot or index is found under it, and all are made anew; no state is lost"
        yield Finding(check=TABLES, message=f"the epoch of the store is no UUID: {epoch!r}", loss=loss)


def check_derived(subject: Subject) -> Iterator[Finding]:
    """Compare the tables that follow from the records with what these say; damaged records are left out."""
    if subject.database is None:
        return
    file = name_of(subject.database)
    with reading(subject.database) as connection:
        for number, check in enumerate((_below, _erasures, _restores), 1):
            yield from (attributed(finding, file) for finding in check(connection, subject.damaged))
            subject.count(DERIVED, number, 3)


def _below(connection: Connection, damaged: set[int]) -> Iterator[Finding]:
    for scope, position in tables.missing_below(connection):
        if position not in damaged:
            text = f"`below` lacks record {position} of {_where(connection, scope)}, which is read without it"
            yield Finding(check=DERIVED, message=text, position=position, is_derived=True)
    for scope, position in tables.extra_below(connection):
        if position not in damaged or not _exists(connection, position):
            text = f"`below` has record {position} for {_where(connection, scope)}, which it is not below"
            yield Finding(check=DERIVED, message=text, position=_number(position), is_derived=True)


def _exists(connection: Connection, position: Any) -> bool:
    query = "SELECT 1 FROM record WHERE position = ?"
    return connection.exec_driver_sql(query, (position,)).scalar() is not None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _erasures(connection: Connection, damaged: set[int]) -> Iterator[Finding]:
    expected, stored = tables.expected_erasures(connection), tables.stored_erasures(connection)
    head = tables.head(connection)
    for scope, position in expected.items():
        found, settled = stored.pop(scope, (None, 0))
        if not tables.is_marked(found, position, head=head) and position not in damaged:
            text = f"`erasure` says {found!r} of scope {scope}, where the last one is told in {position}"
            yield Finding(check=DERIVED, message=text, position=position, is_derived=True)
        elif settled not in (0, 1):
            text = f"`erasure` does not say whether that of scope {scope} is settled"
            yield Finding(check=DERIVED, message=text, position=position, is_derived=True)
    for scope, (position, _) in stored.items():
        if position not in damaged and not tables.may_be_archived(connection, position):
            text = f"`erasure` has scope {scope!r}, of which no record tells one"
            yield Finding(check=DERIVED, message=text, position=_number(position), is_derived=True)


def _restores(connection: Connection, damaged: set[int]) -> Iterator[Finding]:
    expected, stored = tables.expected_restores(connection), tables.stored_restores(connection)
    for scope, position in expected ^ stored:
        if position not in damaged and not tables.may_be_archived(connection, position):
            is_there = "has" if (scope, position) in stored else "lacks"
            text = f"`restore` {is_there} record {position} of scope {scope}"
            yield Finding(check=DERIVED, message=text, position=_number(position), is_derived=True)
