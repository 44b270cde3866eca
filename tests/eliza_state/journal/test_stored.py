"""Snapshots in the SQL journal: kept in two generations, with their chunks, and never trusted blindly."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.journal import SliceSnapshot, SqlJournal
from eliza_state.journal.contract import ChunkMissing
from eliza_state.path import Path
from eliza_state.snapshots import digest_of
from tests.eliza_state.journal.conftest import OTHER, TALK, Drafts

CHUNKS = {digest_of(content): content for content in (b"first " * 99, b"second", b"third", b"fourth", b"")}
FIRST, SECOND, THIRD, FOURTH, EMPTY = CHUNKS


@pytest.fixture
def journal(sql: SqlJournal, draft: Drafts) -> SqlJournal:
    """A journal with ten records in a conversation."""
    sql.append(draft.some(10), after=0)
    return sql


def snapshot(journal: SqlJournal, position: int, *chunks: bytes, **fields: Any) -> SliceSnapshot:
    values = {
        "module": "talk",
        "module_version": 3,
        "position": position,
        "version": position,
        "record_key": b"k%d" % position,
        "epoch": journal.epoch,
        "body": b'{"position":%d}' % position,
        "chunks": chunks,
    }
    return SliceSnapshot(**{**values, **fields})


def save(journal: SqlJournal, position: int, *chunks: bytes, **fields: Any) -> SliceSnapshot:
    """Save a snapshot together with all of its chunks."""
    made = snapshot(journal, position, *chunks, **fields)
    journal.save_snapshot(TALK, [made], chunks=[(digest, CHUNKS[digest]) for digest in chunks])
    return made


def stored_chunks(journal: SqlJournal) -> set[bytes]:
    found: set[bytes] = set()
    for digest in CHUNKS:
        try:
            journal.chunks(TALK, [digest])
        except ChunkMissing:
            continue
        found.add(digest)
    return found


def test_a_snapshot_comes_back_as_it_was(journal: SqlJournal) -> None:
    saved = save(journal, 4, FIRST, SECOND, EMPTY)

    assert [saved] == journal.snapshots(TALK, until=10)
    assert CHUNKS[FIRST] == journal.chunks(TALK, [FIRST])[FIRST]
    assert b"" == journal.chunks(TALK, [EMPTY])[EMPTY]


def test_the_newest_comes_first_and_none_after_the_position_asked_for(journal: SqlJournal) -> None:
    older, newer = save(journal, 2), save(journal, 5)

    assert [newer, older] == journal.snapshots(TALK, until=5)
    assert [older] == journal.snapshots(TALK, until=4)
    assert [] == journal.snapshots(TALK, until=1)


def test_slices_and_scopes_do_not_mix(journal: SqlJournal, draft: Drafts) -> None:
    journal.append([draft(OTHER)], after=10)
    first, second = snapshot(journal, 3), snapshot(journal, 3, module="mood")
    journal.save_snapshot(TALK, [first, second], chunks=[])

    assert {"talk", "mood"} == {found.module for found in journal.snapshots(TALK, until=9)}
    assert [] == journal.snapshots(OTHER, until=99)
    assert [] == journal.snapshots(Path(), until=99)


def test_two_generations_are_kept_with_their_chunks(journal: SqlJournal) -> None:
    save(journal, 1, FIRST)
    second, third = save(journal, 2, FIRST, SECOND), save(journal, 3, THIRD)

    assert [third, second] == journal.snapshots(TALK, until=10)
    assert {FIRST, SECOND, THIRD} == stored_chunks(journal)

    fourth = save(journal, 4, FOURTH)

    assert [fourth, third] == journal.snapshots(TALK, until=10)
    assert {THIRD, FOURTH} == stored_chunks(journal)


def test_a_chunk_that_is_stored_need_not_come_again(journal: SqlJournal) -> None:
    save(journal, 1, FIRST)

    journal.save_snapshot(TALK, [snapshot(journal, 2, FIRST, SECOND)], chunks=[(SECOND, CHUNKS[SECOND])])

    assert {FIRST, SECOND} == stored_chunks(journal)


def test_a_snapshot_that_names_a_missing_chunk_is_refused(journal: SqlJournal) -> None:
    older = save(journal, 1, FIRST)

    with pytest.raises(ChunkMissing):
        journal.save_snapshot(TALK, [snapshot(journal, 2, SECOND, THIRD)], chunks=[(THIRD, CHUNKS[THIRD])])

    assert [older] == journal.snapshots(TALK, until=10)
    assert {FIRST} == stored_chunks(journal)


def test_a_snapshot_of_the_same_position_replaces_the_one_there(journal: SqlJournal) -> None:
    save(journal, 3, FIRST)
    again = save(journal, 3, SECOND, module_version=4)

    assert [again] == journal.snapshots(TALK, until=10)
    assert {SECOND} == stored_chunks(journal)


def test_a_scope_without_records_takes_no_snapshot(journal: SqlJournal) -> None:
    journal.save_snapshot(OTHER, [snapshot(journal, 3)], chunks=[])

    assert [] == journal.snapshots(OTHER, until=10)


def test_more_chunks_go_at_once_than_a_statement_takes_parameters(journal: SqlJournal) -> None:
    many = {b"%016d" % number: b"x" for number in range(40_000)}
    journal.save_snapshot(TALK, [snapshot(journal, 1, *many)], chunks=many.items())
    save(journal, 2)

    save(journal, 3)

    with pytest.raises(ChunkMissing):
        journal.chunks(TALK, [b"%016d" % 7])


def test_a_failure_leaves_the_older_snapshots(journal: SqlJournal, bare: sqlite3.Connection) -> None:
    older = save(journal, 1, FIRST)
    bare.execute(
        "CREATE TRIGGER fails BEFORE INSERT ON snapshot WHEN NEW.module = 'mood'"
        " BEGIN SELECT RAISE(ABORT, 'struck by the test'); END"
    )

    slices = [snapshot(journal, 2, SECOND), snapshot(journal, 2, module="mood")]
    with pytest.raises(StoreError, match="struck"):
        journal.save_snapshot(TALK, slices, chunks=[(SECOND, CHUNKS[SECOND])])

    assert [older] == journal.snapshots(TALK, until=10)
    assert {FIRST} == stored_chunks(journal)


@pytest.mark.parametrize(
    "change",
    [
        "module = 'other'",
        "module = CAST(x'ff' AS TEXT)",
        "module_version = 9",
        "position = 9",
        "version = 9",
        "epoch = 'e'",
        "body = x'00'",
        "body = 'text'",
        "body = 7",
        "chunks = x'00'",
        "chunks = 'text'",
        "chunks = 7",
        "checksum = 0",
    ],
)
def test_a_damaged_snapshot_has_no_epoch(journal: SqlJournal, bare: sqlite3.Connection, change: str) -> None:
    older = save(journal, 1, FIRST)
    save(journal, 2, FIRST)

    bare.execute(f"UPDATE snapshot SET {change} WHERE position = 2")

    damaged, whole = journal.snapshots(TALK, until=10)
    assert "" == damaged.epoch
    assert older == whole


@pytest.mark.parametrize("change", ["chunks = x'00'", "chunks = 7", "chunks = randomblob(32)"])
def test_a_damaged_snapshot_does_not_stand_in_the_way_of_the_next(
    journal: SqlJournal, bare: sqlite3.Connection, change: str
) -> None:
    save(journal, 1, FIRST)
    bare.execute(f"UPDATE snapshot SET {change}")

    newer = save(journal, 2, SECOND)

    assert newer == journal.snapshots(TALK, until=10)[0]


@pytest.mark.parametrize("change", ["content = x'00'", "content = 'text'", "content = 7"])
def test_a_damaged_chunk_is_missing_until_it_is_written_again(
    journal: SqlJournal, bare: sqlite3.Connection, change: str
) -> None:
    save(journal, 1, FIRST)
    bare.execute(f"UPDATE chunk SET {change}")

    with pytest.raises(ChunkMissing):
        journal.chunks(TALK, [FIRST])[FIRST]
    save(journal, 2, FIRST)

    assert CHUNKS[FIRST] == journal.chunks(TALK, [FIRST])[FIRST]
