"""The records of small scopes, read together: the same as read one by one, in every kind of journal."""

from __future__ import annotations

import contextlib
from pathlib import Path as FilePath
from typing import Any

import pytest
from sqlalchemy import event

from eliza_state.change import Record
from eliza_state.journal import Journal, gathering
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.archive.moving import open_with_archive, store
from tests.eliza_state.journal.conftest import AGENT, OTHER, ROOM, STRANGER, TALK, Drafts

PATHS = [AGENT, ROOM, TALK, OTHER]


def small(journal: Journal, *paths: Path, most: int = 100, until: int = 10**9) -> dict[Path, Any]:
    return dict(journal.read_small(paths, until=until, most=most))


def each(journal: Journal, *paths: Path, until: int = 10**9) -> dict[Path, list[Record]]:
    return {path: list(journal.read(path, until=until)) for path in paths}


@pytest.fixture
def filled(journal: Journal, draft: Drafts) -> Journal:
    """A journal with records on all levels, those of some scopes between those of others."""
    journal.append([draft(path) for path in (TALK, OTHER, AGENT, TALK, STRANGER, ROOM, OTHER, TALK)], after=0)
    return journal


@pytest.mark.parametrize("until", [0, 1, 4, 8])
@pytest.mark.parametrize("at_once", [1, 3, 1_000])
def test_they_are_those_at_and_below_each_scope_in_order(
    filled: Journal, monkeypatch: pytest.MonkeyPatch, until: int, at_once: int
) -> None:
    monkeypatch.setattr(gathering, "_RECORDS_AT_ONCE", at_once)

    assert each(filled, *PATHS, until=until) == small(filled, *PATHS, until=until)


def test_a_large_scope_is_left_to_be_read_by_itself(filled: Journal) -> None:
    found = small(filled, *PATHS, most=3)

    assert {AGENT: None, ROOM: None, **each(filled, TALK, OTHER)} == found


def test_a_scope_without_records_has_none(filled: Journal) -> None:
    assert not small(filled, ROOM.child("conversation", "nobody's")).get(TALK)
    assert not any(small(filled, STRANGER.child("room", "r")).values())


def test_the_root_is_never_taken_for_less_than_it_is(filled: Journal) -> None:
    assert small(filled, Path()).get(Path()) in (None, each(filled, Path())[Path()])


def test_no_scopes_are_nothing(filled: Journal) -> None:
    assert {} == small(filled)


def test_a_damaged_record_is_told(sql: SqlJournal, draft: Drafts) -> None:
    sql.append([draft(), draft()], after=0)
    with sql._database.writing("damage") as connection:
        connection.exec_driver_sql("UPDATE record SET payload = x'00' WHERE position = 2")

    assert ["said", ""] == [record.event for record in small(sql, TALK)[TALK]]


def test_ids_of_any_text_are_found(journal: Journal, draft: Drafts) -> None:
    odd = [ROOM.child("conversation", name) for name in ("a/b", "%", "?", "'", "ünï", "c1:c2")]
    journal.append([draft(path) for path in odd], after=0)

    assert each(journal, *odd) == small(journal, *odd)


def test_once_something_is_in_the_archive_all_are_left_to_be_read_by_themselves(
    file: FilePath, draft: Drafts
) -> None:
    with contextlib.closing(open_with_archive(file)) as journal:
        journal.append([draft(path) for path in (TALK, OTHER, TALK)], after=0)
        store(journal, TALK)

        assert {TALK: None, OTHER: None} == small(journal, TALK, OTHER)


def test_what_is_brought_to_the_archive_meanwhile_is_left_to_be_read_by_itself(
    file: FilePath, draft: Drafts
) -> None:
    def bring(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "UNION ALL SELECT below.scope" in statement:
            store(journal, TALK)

    with contextlib.closing(open_with_archive(file)) as journal:
        journal.append([draft(path) for path in (TALK, OTHER, TALK)], after=0)
        with journal._database.reading("read") as connection:
            engine = connection.engine
        event.listen(engine, "before_cursor_execute", bring)

        assert {TALK: None, OTHER: None} == small(journal, TALK, OTHER)


def test_many_scopes_take_a_few_queries(sql: SqlJournal, draft: Drafts) -> None:
    paths = [ROOM.child("conversation", str(number)) for number in range(200)]
    sql.append([draft(path) for path in paths], after=0)
    asked: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    with sql._database.reading("read") as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", count)
    found = small(sql, *paths)
    event.remove(engine, "before_cursor_execute", count)

    assert 200 == len(found)
    assert len(asked) < 30
