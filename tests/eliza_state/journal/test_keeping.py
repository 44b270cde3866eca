"""Many small reads in one thread: they share a connection, and read what is committed as before."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from eliza_state.errors import StoreError
from eliza_state.journal import Journal
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import OTHER, TALK, Drafts, OpenSqlJournal


@pytest.fixture
def taken() -> Iterator[list[object]]:
    """The connections that were taken from any pool from now on."""
    seen: list[object] = []

    def note(driver: object, _record: object, _proxy: object) -> None:
        seen.append(driver)

    event.listen(Pool, "checkout", note)
    yield seen
    event.remove(Pool, "checkout", note)


def test_reads_share_a_connection(open_any: OpenSqlJournal, taken: list[object], draft: Drafts) -> None:
    open_any().append([draft()], after=0)
    reader = open_any(writer="there")
    taken.clear()
    with reader.keeping():
        reader.facts(TALK, until=1)
        assert list(reader.read(TALK))
        with reader.keeping():
            reader.erased_at(TALK)
        reader.head()
    assert 1 == len(taken)

    reader.head()
    reader.head()
    assert 3 == len(taken)


def test_each_read_sees_what_is_committed_by_then(open_any: OpenSqlJournal, draft: Drafts) -> None:
    journal = open_any()
    with journal.keeping():
        assert 0 == journal.head()
        journal.append([draft()], after=0)
        assert 1 == journal.head()
        reading = journal.read(Path(), until=2)
        journal.append([draft(OTHER)], after=1)
        assert [TALK, OTHER] == [record.path for record in reading]


def test_reading_begun_in_the_block_goes_on_behind_it(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(), draft(), draft()], after=0)
    with journal.keeping():
        reading = journal.read(TALK)
        next(reading)

    assert [2, 3] == [record.position for record in reading]


def test_other_threads_have_connections_of_their_own(
    open_any: OpenSqlJournal, taken: list[object], draft: Drafts
) -> None:
    journal = open_any()
    journal.append([draft()], after=0)
    taken.clear()
    with journal.keeping():
        thread = threading.Thread(target=journal.head)
        thread.start()
        thread.join()

    first, second = taken
    assert first is not second


def test_a_closed_journal_says_so(open_any: OpenSqlJournal) -> None:
    journal = open_any()
    journal.close()

    with pytest.raises(StoreError, match="closed"), journal.keeping():
        raise AssertionError("nothing is read")


def test_what_cannot_be_read_is_told_as_ever_and_the_next_read_goes_on(
    open_any: OpenSqlJournal, draft: Drafts
) -> None:
    journal = open_any()
    journal.append([draft()], after=0)
    with journal.keeping():
        with (
            pytest.raises(StoreError, match="cannot look"),
            journal._database.reading("look") as connection,
        ):
            connection.exec_driver_sql("SELECT nothing FROM nowhere")

        assert 1 == journal.head()


def test_a_connection_that_is_lost_fails_what_it_was_kept_for_and_no_more(
    postgres: SqlJournal, draft: Drafts
) -> None:
    postgres.append([draft()], after=0)
    with postgres.keeping():
        with postgres._database.reading("look") as connection:
            kept = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with postgres._database.writing("cut") as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend({kept})")
        with pytest.raises(StoreError, match="cannot read"):
            postgres.head()

    assert 1 == postgres.head()
