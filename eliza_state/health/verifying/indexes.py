"""The index file against the states: each row is to be what a scan of the scope finds."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, Final

from sqlalchemy import Connection, create_engine

from eliza_state.errors import Busy, StoreError
from eliza_state.health.verifying.finding import Finding
from eliza_state.health.verifying.subject import Subject, name_of
from eliza_state.indexes import collections_of, entries
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.query.facts import Facts
from eliza_state.query.index_file import LABELS, SUFFIX, TABLES, IndexFile, Session
from eliza_state.query.index_layout import Layout
from eliza_state.query.tracked import Columns

INDEXES: Final = "indexes"

_ROWS: Final = (
    "SELECT entry.label - ?, entry.value, entry.key FROM entry JOIN scope ON scope.id = entry.scope"
    " WHERE scope.path = ? AND entry.label BETWEEN ? AND ?"
)
_RULES: Final = (
    ("SELECT count(*) FROM entry WHERE scope NOT IN (SELECT id FROM scope)", "rows of no scope"),
    (
        f"SELECT count(*) FROM entry WHERE label / {LABELS} NOT IN (SELECT id FROM collection)",  # noqa: S608  # constants only
        "rows of no collection",
    ),
    ("SELECT count(*) FROM scope WHERE typeof(path) != 'text'", "scopes that have no path"),
)
_FACT: Final = "SELECT version, position, last_activity_us, last_event, level FROM fact WHERE path = ?"


def check_indexes(subject: Subject) -> Iterator[Finding]:
    """Compare the rows of the sampled scopes with a scan of their states, and those of scopes themselves."""
    manager = subject.manager
    if manager is None or subject.database is None:
        return
    told: list[str] = []
    file = IndexFile(
        subject.database,
        epoch=manager.journal.epoch,
        read_only=True,
        report=lambda message, _error: told.append(message),
    )
    if not file.exists:
        return
    try:
        with file.session() as session:
            for text in _problems(subject, manager, session):
                yield _finding(subject, text)
    except Busy:
        subject.unchecked.append("the indexes, which another process writes just now")
    except StoreError as error:
        yield _finding(subject, told[0] if told else str(error))
    finally:
        file.close()


def _finding(subject: Subject, text: str) -> Finding:
    assert subject.database is not None
    return Finding(check=INDEXES, message=text, file=name_of(subject.database) + SUFFIX, is_derived=True)


def _problems(subject: Subject, manager: StateManager, session: Session) -> Iterator[str]:
    for query, text in _RULES:
        if count := session.run(query).scalar_one():
            yield f"the indexes hold {count} {text}"
    layouts = [(layout, session.position(layout)) for layout in layouts_of(manager)]
    facts = Facts(manager.tree, manager.journal).position(session)
    scopes = subject.scopes()
    for number, path in enumerate(scopes, 1):
        yield from _of_fact(manager, session, path, until=facts)
        for layout, position in layouts:
            if position is not None and manager.tree.hierarchy.level(path) == layout.level:
                yield from _of_scope(manager, session, path, layout, until=position)
        subject.count(INDEXES, number, len(scopes))


def layouts_of(manager: StateManager) -> Iterator[Layout]:
    """Yield where the indexes of each collection with indexes lie in the file."""
    for level in manager.tree.hierarchy.levels:
        for name, module in manager.tree.modules(level).items():
            for collection in collections_of(module).values():
                if collection.indexes and not module.volatile:
                    columns = Columns(collection, lambda _problem: None)
                    yield Layout.of(name, module, collection, find=columns.find)


def _of_scope(
    manager: StateManager, session: Session, path: Path, layout: Layout, *, until: int
) -> Iterator[str]:
    if until > manager.journal.head():
        yield f"the indexes of {layout.name} stand at {until}, beyond the end of the journal"
        return
    number = session.number(layout)
    first = (number or 0) * LABELS
    rows = session.run(_ROWS, (first, path.encode(), first, first + LABELS - 1))
    stored = {tuple(row) for row in rows}
    state = manager.root.access.reading.recover_here(path, until).slices[layout.slice]
    if stored != _scanned(layout, path, state):
        yield f"the indexes of {layout.name} differ from a scan of {path.encode()!r} at position {until}"


def _scanned(layout: Layout, path: Path, state: Any) -> set[tuple[Any, ...]]:
    """Return the rows that a scope is to have, as the file itself would write them."""
    with _scratch() as connection:
        session = Session(connection)
        session.begin(layout, "scratch")
        found = entries(getattr(state, layout.collection.field))
        session.write_scopes(layout, {path: layout.rows(found, state)})
        first = (session.number(layout) or 0) * LABELS
        return {tuple(row) for row in session.run(_ROWS, (first, path.encode(), first, first + LABELS - 1))}


@contextlib.contextmanager
def _scratch() -> Generator[Connection]:
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            for statement in TABLES:
                connection.exec_driver_sql(statement)
            yield connection
    finally:
        engine.dispose()


def _of_fact(manager: StateManager, session: Session, path: Path, *, until: int) -> Iterator[str]:
    if until == 0:
        return
    if until > manager.journal.head():
        yield f"the table of scopes stands at {until}, beyond the end of the journal"
        return
    facts = manager.journal.facts(path, until=until)
    row = session.run(_FACT, (path.encode(),)).first()
    expected = (*facts, manager.tree.hierarchy.level(path)) if facts.last_position else None
    if (None if row is None else tuple(row)) != expected:
        yield f"the table of scopes is wrong about {path.encode()!r} at position {until}"
