"""Integers for names: given once, found again, forgotten with the transaction that gave them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from eliza_state.journal import interning
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import OTHER, ROOM, TALK, Drafts

OpenSql = Callable[..., SqlJournal]


def count(bare: sqlite3.Connection, table: str) -> int:
    return int(bare.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_name_is_stored_once(sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection) -> None:
    for head in range(5):
        sql.append([draft()], after=head)

    # The root, the agent, the room and the conversation.
    assert [4, 1, 1] == [count(bare, table) for table in ("path", "event_type", "writer")]


def test_another_opening_uses_the_numbers_there_are(
    open_journal: OpenSql, draft: Drafts, bare: sqlite3.Connection
) -> None:
    first, second = open_journal(writer="one"), open_journal(writer="another")
    first.append([draft()], after=0)

    second.append([draft(OTHER)], after=1)

    assert [5, 1, 2] == [count(bare, table) for table in ("path", "event_type", "writer")]
    assert ["one", "another"] == [record.writer for record in first.read(ROOM)]


def test_a_number_unknown_today_may_be_given_tomorrow(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection
) -> None:
    sql.append([draft(TALK)], after=0)
    bare.execute("UPDATE record SET path = 5, event_type = 2, writer = 2")
    damaged = next(sql.read(Path()))
    bare.execute("UPDATE record SET path = 4, event_type = 1, writer = 1")

    sql.append([draft(OTHER, event="done")], after=1)

    assert ("", Path(), "") == (damaged.event, damaged.path, damaged.writer)
    assert [(TALK, "said"), (OTHER, "done")] == [(record.path, record.event) for record in sql.read(Path())]


def test_more_paths_than_are_remembered_are_found_all_the_same(
    sql: SqlJournal, draft: Drafts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interning, "_CACHED_PATHS", 3)
    paths = [ROOM.child("conversation", str(number)) for number in range(20)]
    for head, path in enumerate(paths):
        sql.append([draft(path)], after=head)

    assert paths == [record.path for record in sql.read(Path())]
    assert paths == sql.children(ROOM)
    assert all(sql.knows(path) for path in paths)
    assert 21 == sql.append([draft(paths[0])], after=20).first_position


def test_a_step_may_hold_any_character(sql: SqlJournal, draft: Drafts) -> None:
    path = Path((("room", "a/b:c%d\0\n'\"\\🙂"), ("conversation", " ")))

    sql.append([draft(path)], after=0)

    assert [path] == [record.path for record in sql.read(path)]
    assert [path] == sql.children(Path(path.steps[:1]))
