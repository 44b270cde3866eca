"""Damaged segments are never given out, and stop nobody else; a full disk changes nothing."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import Busy, StateError, StoreError
from eliza_state.files import Files
from eliza_state.journal.archive.blocks import DamagedBlock
from eliza_state.journal.archive.rows import BlockRow
from eliza_state.journal.archive.storing import Storing
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from eliza_state.testing import FailingFiles
from tests.eliza_state.journal.archive.moving import open_with_archive, restore, segments_of, store
from tests.eliza_state.journal.conftest import AGENT, OTHER, ROOM, STRANGER, TALK, Drafts


@pytest.fixture
def archiving(file: FilePath, draft: Drafts) -> Iterator[SqlJournal]:
    """A journal of two conversations in one segment, and a record elsewhere."""
    with contextlib.closing(open_with_archive(file)) as journal:
        journal.append([draft(TALK), draft(OTHER), draft(TALK), draft(STRANGER)], after=0)
        store(journal, TALK, OTHER)
        yield journal


def row_of(journal: SqlJournal, path: Path) -> BlockRow:
    (listed,) = journal.archive.listed(path)
    return listed.blocks[0]


def flip(journal: SqlJournal, path: Path) -> None:
    (segment,) = segments_of(journal)
    content = bytearray(segment.read_bytes())
    row = row_of(journal, path)
    content[row.start + row.size_bytes - 1] ^= 1
    segment.write_bytes(content)


def cut(journal: SqlJournal, path: Path) -> None:
    (segment,) = segments_of(journal)
    row = row_of(journal, path)
    segment.write_bytes(segment.read_bytes()[: row.start + row.size_bytes - 1])


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_block_says_where(
    archiving: SqlJournal, damage: Callable[[SqlJournal, Path], None]
) -> None:
    damage(archiving, OTHER)

    with pytest.raises(DamagedBlock) as caught:
        list(archiving.read(OTHER))

    (segment,) = segments_of(archiving)
    assert (str(segment), OTHER.encode()) == (caught.value.file, caught.value.scope)
    assert str(segment) in str(caught.value)


def test_a_missing_file_does_too(archiving: SqlJournal) -> None:
    for segment in segments_of(archiving):
        segment.unlink()

    for question in (
        lambda: list(archiving.read(TALK)),
        lambda: archiving.facts(TALK, until=2),
    ):
        with pytest.raises(StoreError, match="there is no such file"):
            question()


def test_other_scopes_go_on(archiving: SqlJournal, draft: Drafts) -> None:
    flip(archiving, OTHER)

    assert [1, 3] == [record.position for record in archiving.read(TALK)]
    assert [4] == [record.position for record in archiving.read(STRANGER)]
    assert 2 == archiving.facts(TALK, until=4).version
    assert 5 == archiving.append([draft(STRANGER)], after=4).first_position
    restore(archiving, TALK)
    assert [1, 3] == [record.position for record in archiving.read(TALK)]


def test_what_the_journal_says_of_it_is_there(archiving: SqlJournal) -> None:
    before = archiving.facts(OTHER, until=4), archiving.children(ROOM), archiving.head()
    flip(archiving, OTHER)

    assert before == (archiving.facts(OTHER, until=4), archiving.children(ROOM), archiving.head())


def test_what_is_damaged_does_not_come_back_and_stays(archiving: SqlJournal) -> None:
    flip(archiving, OTHER)

    with pytest.raises(DamagedBlock):
        restore(archiving, OTHER)

    assert OTHER == archiving.archived_scope(OTHER)


def test_what_is_damaged_is_kept_when_its_file_is_written_anew(archiving: SqlJournal) -> None:
    flip(archiving, OTHER)
    archiving.erase([1], until=4)

    assert archiving.expunge()

    assert b"" == next(archiving.read(TALK)).content
    with pytest.raises(DamagedBlock):
        list(archiving.read(OTHER))


def test_a_damaged_record_does_not_go_there(file: FilePath, draft: Drafts, bare: sqlite3.Connection) -> None:
    with contextlib.closing(open_with_archive(file)) as journal:
        journal.append([draft(TALK), draft(TALK)], after=0)
        bare.execute("UPDATE record SET payload = x'00' WHERE position = 2")

        with pytest.raises(StoreError, match=r"position 2 .* is damaged"):
            store(journal, TALK)

        assert journal.archived_scope(TALK) is None


def test_a_replica_is_not_archived(file: FilePath, draft: Drafts, bare: sqlite3.Connection) -> None:
    with contextlib.closing(open_with_archive(file)) as journal:
        journal.append([draft(TALK)], after=0)
        bare.execute("CREATE TABLE replica_stamp (position INTEGER)")

        with pytest.raises(StateError, match="synchronised"):
            Storing(journal.archive).check_is_no_replica()


def test_two_do_not_move_records_at_once(archiving: SqlJournal) -> None:
    with archiving.archive.locked(), pytest.raises(Busy), archiving.archive.locked():
        pass


def test_a_full_disk_changes_nothing(tmp_path: FilePath, draft: Drafts) -> None:
    file = tmp_path / "state.db"
    with contextlib.closing(open_with_archive(file)) as journal:
        journal.append([draft(TALK), draft(OTHER), draft(AGENT)], after=0)
        records = list(journal.read(Path()))
    for number in itertools.count(1):
        failing = FailingFiles(Files(), fail_at=number, partial_bytes=10)
        ours = open_with_archive(file, files=failing)
        with contextlib.closing(ours), contextlib.suppress(StoreError):
            store(ours, TALK, OTHER)
        with contextlib.closing(open_with_archive(file)) as journal:
            assert records == list(journal.read(Path()))
        if not failing.has_failed:
            break

    assert number > 8
