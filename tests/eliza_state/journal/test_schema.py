"""The schema: made once, migrated forward in one transaction, refused when it is not ours or too new."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path as FilePath

import pytest
from sqlalchemy import Connection, inspect

from eliza_state.errors import StoreError
from eliza_state.journal import schema
from eliza_state.journal.contract import Conflict
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import OTHER, TALK, Drafts

OpenSql = Callable[..., SqlJournal]


@pytest.fixture
def old(open_journal: OpenSql, draft: Drafts, file: FilePath) -> bytes:
    """A journal of today's schema with one record, closed; what its file holds."""
    journal = open_journal()
    journal.append([draft()], after=0)
    journal.close()
    return file.read_bytes()


def add_note(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE path ADD COLUMN note TEXT")


def fail(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE record SET version = 7")
    connection.exec_driver_sql("SELECT 1 FROM nowhere")


def migrate_by(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[Connection], None]) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", dict(enumerate(steps, schema.SCHEMA_VERSION)))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + len(steps))


def query(file: FilePath, statement: str) -> object:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(statement).fetchone()[0]


def test_a_new_journal_notes_its_schema(open_journal: OpenSql, file: FilePath) -> None:
    open_journal().close()

    assert str(schema.SCHEMA_VERSION) == query(file, "SELECT value FROM meta WHERE name = 'schema_version'")


def test_an_empty_file_becomes_a_journal(open_journal: OpenSql, file: FilePath) -> None:
    file.touch()

    assert 0 == open_journal().head()


def test_two_journals_have_two_epochs(open_journal: OpenSql, tmp_path: FilePath) -> None:
    assert open_journal().epoch != open_journal(file=tmp_path / "other.db").epoch


@pytest.mark.usefixtures("old")
def test_an_older_schema_is_migrated_step_by_step(
    open_journal: OpenSql, file: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_note(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE path SET note = 'filled'")

    migrate_by(monkeypatch, add_note, fill_note)
    journal = open_journal()

    assert 1 == len(list(journal.read(Path())))
    journal.close()
    assert "filled" == query(file, "SELECT note FROM path")
    assert str(schema.SCHEMA_VERSION) == query(file, "SELECT value FROM meta WHERE name = 'schema_version'")


def test_a_migration_that_fails_leaves_the_old_file(
    open_journal: OpenSql, old: bytes, file: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        migrate_by(patch, add_note, fail)
        with pytest.raises(StoreError, match="nowhere"):
            open_journal()

    assert old == file.read_bytes()
    assert [1] == [record.version for record in open_journal().read(Path())]


def test_reading_only_does_not_migrate(
    open_journal: OpenSql, old: bytes, file: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate_by(monkeypatch, add_note)

    with pytest.raises(StoreError, match=f"older schema {schema.SCHEMA_VERSION - 1}"):
        open_journal(read_only=True)

    assert old == file.read_bytes()


@pytest.mark.usefixtures("old")
def test_the_snapshots_that_the_first_schema_held_go(
    open_journal: OpenSql, bare: sqlite3.Connection, file: FilePath
) -> None:
    bare.execute("CREATE TABLE snapshot (path INTEGER, body BLOB)")
    bare.execute("CREATE TABLE chunk (id INTEGER)")
    bare.execute("UPDATE meta SET value = '1' WHERE name = 'schema_version'")
    bare.close()

    assert [1] == [record.position for record in open_journal().read(Path())]
    assert 0 == query(file, "SELECT count(*) FROM sqlite_schema WHERE name IN ('snapshot', 'chunk')")


def test_the_index_of_ids_is_turned_where_it_goes_by_scope(open_any: OpenSql, draft: Drafts) -> None:
    first = draft()
    journal = open_any()
    journal.append([first, draft(), draft(OTHER)], after=0)
    with journal._database.writing("go back") as connection:
        connection.exec_driver_sql("DROP INDEX record_key")
        connection.exec_driver_sql("CREATE UNIQUE INDEX record_key ON record (path, key)")
        connection.exec_driver_sql("UPDATE meta SET value = '5' WHERE name = 'schema_version'")
    journal.close()

    migrated = open_any()
    with migrated._database.reading("look") as connection:
        indexes = {each["name"]: each["column_names"] for each in inspect(connection).get_indexes("record")}
    assert ["key", "path"] == indexes["record_key"]
    found = migrated.find(TALK, first.key)
    assert found is not None
    assert 1 == found.position
    with pytest.raises(Conflict):
        migrated.append([draft(key=first.key)], after=3)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.usefixtures("old")
def test_a_newer_schema_is_refused(open_journal: OpenSql, bare: sqlite3.Connection, read_only: bool) -> None:
    bare.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")

    with pytest.raises(StoreError, match="schema 99"):
        open_journal(read_only=read_only)


FOREIGN = [
    "CREATE TABLE customer (name TEXT)",
    "CREATE VIEW answer AS SELECT 42",
    "CREATE TABLE meta (name TEXT, value TEXT); CREATE TABLE record (x)",
    "CREATE TABLE meta (author TEXT); CREATE TABLE record (x)",
    "CREATE TABLE meta (name TEXT, value TEXT); CREATE TABLE record (x);"
    " INSERT INTO meta VALUES ('schema_version', 'one'), ('epoch', 'e')",
    "CREATE TABLE meta (name TEXT, value TEXT);"
    " INSERT INTO meta VALUES ('schema_version', '1'), ('epoch', 'e')",
]


@pytest.mark.parametrize("script", FOREIGN)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(
    open_journal: OpenSql, file: FilePath, script: str, read_only: bool
) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)
    before = file.read_bytes()

    with pytest.raises(StoreError, match="not a store of states"):
        open_journal(read_only=read_only)

    assert before == file.read_bytes()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5_000])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(
    open_journal: OpenSql, file: FilePath, content: bytes, read_only: bool
) -> None:
    file.write_bytes(content)

    with pytest.raises(StoreError, match="cannot open: file is not a database"):
        open_journal(read_only=read_only)

    assert content == file.read_bytes()
