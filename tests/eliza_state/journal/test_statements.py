"""How many statements a journal needs where that counts: on a server each of them is a round trip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import Engine, event

from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import OTHER, TALK, Drafts, OpenSqlJournal

END: Final = 3
ARCHIVE: Final = "SELECT value FROM meta WHERE name = 'archive'"


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is asked through SQLAlchemy from now on."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


def first_touch(journal: SqlJournal, path: Path) -> None:
    """Ask what the recovery of a scope without snapshots asks."""
    assert journal.knows(path)
    assert journal.archived_scope(path) is None
    journal.facts(path, until=END)
    journal.erased_at(path)
    journal.restored_at(path, until=END)
    assert list(journal.read(path, until=END))


def test_the_first_touch_of_a_scope_asks_for_the_archive_once_a_look(
    open_any: OpenSqlJournal, statements: list[str], draft: Drafts
) -> None:
    open_any().append([draft(), draft(), draft(OTHER)], after=0)
    journal = open_any(writer="there")
    first_touch(journal, OTHER)
    statements.clear()
    first_touch(journal, TALK)

    assert (12, 3) == (len(statements), statements.count(ARCHIVE))


def test_an_archive_that_changes_meanwhile_is_noticed(open_any: OpenSqlJournal, draft: Drafts) -> None:
    open_any().append([draft()], after=0)
    journal = open_any(writer="there")
    assert journal.archived_scope(TALK) is None
    generations = iter(["1", "2", "2"])

    def look(connection: object) -> int:
        with journal._database.writing("archive") as writing:
            writing.exec_driver_sql("DELETE FROM meta WHERE name = 'archive'")
            value = next(generations)
            writing.exec_driver_sql("INSERT INTO meta VALUES ('archive', ?)", (value,))
        return journal.archive.records.generation(connection)  # type: ignore[arg-type]

    assert 2 == journal.archive.look(look)


def test_a_path_that_readers_have_seen_needs_no_statement_when_it_is_written_to(
    open_any: OpenSqlJournal, statements: list[str], draft: Drafts
) -> None:
    open_any().append([draft()], after=0)
    journal = open_any(writer="there")
    journal.append([draft(OTHER)], after=1)
    assert journal.knows(TALK)
    statements.clear()
    journal.append([draft()], after=2)

    assert [] == [statement for statement in statements if "path" in statement]


def test_a_new_path_takes_one_statement(
    open_any: OpenSqlJournal, statements: list[str], draft: Drafts
) -> None:
    journal = open_any()
    journal.append([draft()], after=0)
    statements.clear()
    journal.append([draft(OTHER)], after=1)

    assert 1 == len([statement for statement in statements if " path " in statement])
