"""The SQL journal with damaged rows: they are told from whole ones, and stand in nobody's way."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable

import pytest

from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import OTHER, ROOM, TALK, Drafts

OpenSql = Callable[..., SqlJournal]


def two_records(sql: SqlJournal, draft: Drafts) -> None:
    sql.append([draft(TALK, event="other"), draft(OTHER), draft(TALK)], after=0)


@pytest.mark.parametrize(
    "change",
    [
        "position = 77",
        "path = (SELECT path FROM record WHERE position = 2)",
        "path = 999",
        "version = 2000",
        "event_type = (SELECT event_type FROM record WHERE position = 1)",
        "event_type = 999",
        "key = x'00'",
        "key = 'text'",
        "payload = x'00'",
        "payload = 'text'",
        "payload = 7",
        "recorded_at_us = recorded_at_us + 1",
        "recorded_at_us = 'text'",
        "checksum = checksum + 1",
        "checksum = 'text'",
    ],
)
def test_a_changed_column_makes_a_record_damaged(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection, change: str
) -> None:
    two_records(sql, draft)

    bare.execute(f"UPDATE record SET {change} WHERE position = 3")

    assert ["other", "said", ""] == [record.event for record in sql.read(Path())]


@pytest.mark.parametrize("change", ["path = 999", "version = 2000"])
def test_a_scope_whose_index_is_whole_survives_a_damaged_row(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection, change: str
) -> None:
    two_records(sql, draft)

    # The index keeps what was there, as when a byte of the row itself has changed.
    bare.execute("PRAGMA writable_schema=ON")
    index = bare.execute("SELECT * FROM sqlite_schema WHERE name LIKE 'record_%'").fetchall()
    bare.execute("DELETE FROM sqlite_schema WHERE name LIKE 'record_%'")
    with contextlib.closing(sqlite3.connect(bare.execute("PRAGMA database_list").fetchone()[2])) as fresh:
        fresh.execute(f"UPDATE record SET {change} WHERE position = 3")
        fresh.commit()
    bare.executemany("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", index)
    bare.execute("PRAGMA writable_schema=RESET")

    assert [(1, "other"), (3, "said")] == [(record.position, record.event) for record in sql.read(TALK)]
    assert [3] == [record.position for record in sql.read(TALK, after=2)]


@pytest.mark.parametrize("gone", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("change", ["version = 900 + version", "path = 999"])
def test_a_scope_stays_readable_around_a_record_that_left_its_index(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection, gone: int, change: str
) -> None:
    sql.append(draft.some(5), after=0)

    bare.execute(f"UPDATE record SET {change} WHERE position = {gone}")

    left = [position for position in range(1, 6) if position != gone]
    assert [p for p in left if p > 1] == [record.position for record in sql.read(TALK, after=1)]
    assert [p for p in left if p < 5] == [record.position for record in sql.read(TALK, until=4)]
    assert max(p for p in left if p < 5) == sql.facts(TALK, until=4).version


@pytest.mark.parametrize("change", ["parent = id", "parent = 999", "step = 'no step'", "step = x'ff'"])
def test_a_damaged_path_damages_its_records_alone(
    sql: SqlJournal, open_journal: OpenSql, draft: Drafts, bare: sqlite3.Connection, change: str
) -> None:
    two_records(sql, draft)
    step = Path(OTHER.steps[-1:]).encode()

    bare.execute(f"UPDATE path SET {change} WHERE step = ?", (step,))

    fresh = open_journal()
    assert ["other", "", "said"] == [record.event for record in fresh.read(Path())]
    assert [TALK] == [child for child in fresh.children(ROOM) if child == TALK]
    assert OTHER not in fresh.children(ROOM)


def test_text_that_is_no_unicode_is_read_all_the_same(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection
) -> None:
    two_records(sql, draft)

    bare.execute("UPDATE record SET cause = CAST(x'61ff' AS TEXT) WHERE position = 1")

    assert ["a\N{REPLACEMENT CHARACTER}", None, None] == [record.cause for record in sql.read(Path())]
