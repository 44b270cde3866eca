"""What is PostgreSQL's own about a journal there: its locks, its lease, its schemas."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from eliza_state.errors import Busy, StoreError
from eliza_state.journal import Appended
from eliza_state.journal.contract import Conflict
from eliza_state.journal.sql import SqlJournal
from tests.eliza_state.journal.conftest import OTHER, TALK, Drafts

OpenJournal = Callable[..., SqlJournal]

HOLD = """
import sys
from sqlalchemy import make_url
from eliza_state.journal.sql import SqlJournal
journal = SqlJournal(make_url(sys.argv[1]), writer="holder", exclusive=True)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def bare(postgres_store: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A plain connection to the database, as somebody else's tool would make it."""
    url = make_url(postgres_store).set(drivername="postgresql").difference_update_query(["schema"])
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        yield connection


@pytest.fixture
def schema(postgres_store: str) -> str:
    return str(make_url(postgres_store).query["schema"])


# Who may write


@pytest.mark.parametrize(
    ("first", "second", "holds"),
    [(True, True, "another manager"), (False, True, "another manager"), (True, False, "`buffered`")],
)
def test_one_who_holds_it_alone_excludes_all_others(
    open_postgres: OpenJournal, first: bool, second: bool, holds: str
) -> None:
    held = open_postgres(exclusive=first)

    with pytest.raises(StoreError, match=holds):
        open_postgres(exclusive=second)
    held.close()

    open_postgres(exclusive=second)


def test_who_only_reads_is_not_kept_out(open_postgres: OpenJournal, draft: Drafts) -> None:
    open_postgres(exclusive=True).append([draft()], after=0)

    assert 1 == open_postgres(read_only=True).head()


def test_a_killed_process_holds_nothing(open_postgres: OpenJournal, postgres_store: str) -> None:
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, postgres_store],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert held.stdout is not None
    assert "held\n" == held.stdout.readline()
    with pytest.raises(StoreError, match="`buffered`"):
        open_postgres()
    held.kill()
    held.communicate()

    open_postgres(exclusive=True)


# Several who write


def test_others_records_come_back_in_order(open_postgres: OpenJournal, draft: Drafts) -> None:
    here, there = open_postgres(), open_postgres(writer="there")
    here.append([draft(OTHER)], after=0)
    there.append([draft(), draft()], after=1)

    appended = here.append([draft(OTHER)], after=1)

    assert 4 == appended.first_position
    assert [(2, "there"), (3, "there")] == [(missed.position, missed.writer) for missed in appended.missed]


def test_one_who_was_overtaken_is_not_overtaken_again(open_postgres: OpenJournal, draft: Drafts) -> None:
    here, there = open_postgres(), open_postgres(writer="there", busy_timeout_ms=100)
    here.append([draft()], after=0)
    there.append([draft()], after=1)
    with pytest.raises(Conflict):
        here.append([draft()], after=1)

    with pytest.raises(Busy):
        there.append([draft()], after=2)

    assert here.is_holding
    assert 3 == here.append([draft(version=3)], after=2).first_position
    assert not here.is_holding


def test_one_who_was_overtaken_and_gives_up_lets_others_in(open_postgres: OpenJournal, draft: Drafts) -> None:
    here, there = open_postgres(), open_postgres(writer="there")
    there.append([draft()], after=0)
    with pytest.raises(Conflict):
        here.append([draft()], after=0)

    here.release()

    assert 2 == there.append([draft()], after=1).first_position


def test_a_lock_that_is_not_to_be_had_in_time_is_told(open_postgres: OpenJournal, draft: Drafts) -> None:
    here, there = open_postgres(busy_timeout_ms=50), open_postgres(writer="there")
    with there._database.writing("wait"), pytest.raises(Busy):
        here.append([draft()], after=0)

    assert 1 == here.append([draft(version=1)], after=0).first_position


def test_positions_have_no_gaps_whoever_writes(open_postgres: OpenJournal, draft: Drafts) -> None:
    journals = [open_postgres(writer=str(number), busy_timeout_ms=20_000) for number in range(4)]
    paths = [TALK.child("message", str(number)) for number in range(4)]

    def write(number: int) -> None:
        after = 0
        for version in range(1, 26):
            made = draft(paths[number], version=version)
            after = journals[number].append([made], after=after).first_position

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    records = list(journals[0].read(TALK))
    assert list(range(1, 101)) == [record.position for record in records]
    assert all("said" == record.event for record in records)


def test_a_batch_of_one_who_is_alone_is_stored_at_once(open_postgres: OpenJournal, draft: Drafts) -> None:
    journal = open_postgres(clock=lambda: 5)
    journal.append([draft(), draft(OTHER)], after=0)

    assert Appended(3, 5) == journal.append([draft()], after=2)
    assert Appended(4, 5) == journal.append([draft(), draft(OTHER)], after=3)
    assert [1, 3, 4] == [record.position for record in journal.read(TALK)]


def test_one_who_was_alone_notices_another(open_postgres: OpenJournal, draft: Drafts) -> None:
    here, there = open_postgres(), open_postgres(writer="there")
    here.append([draft(OTHER)], after=0)
    there.append([draft()], after=1)

    with pytest.raises(Conflict) as caught:
        here.append([draft()], after=1)

    assert [2] == [record.position for record in caught.value.missed]


# What it holds


def test_the_cause_may_hold_any_character(open_postgres: OpenJournal, draft: Drafts) -> None:
    journal = open_postgres()
    journal.append([draft(cause="a\0b"), draft(cause=None)], after=0)

    assert ["a\0b", None] == [record.cause for record in journal.read(TALK)]


def test_times_are_in_microseconds(open_postgres: OpenJournal, draft: Drafts) -> None:
    journal = open_postgres(clock=lambda: 2**52)
    journal.append([draft()], after=0)

    (record,) = journal.read(TALK)
    assert (2**52, 1) == (record.recorded_at_us, journal.position_at(2**52))


def test_two_stores_share_a_database(
    open_postgres: OpenJournal, postgres_store: str, schema: str, draft: Drafts
) -> None:
    first, second = open_postgres(), open_postgres(url=postgres_store.replace(schema, f"{schema}_b"))
    first.append([draft()], after=0)

    assert (1, 0) == (first.head(), second.head())
    assert first.epoch != second.epoch


def test_a_store_that_is_not_there_is_not_made_by_a_reader(
    open_postgres: OpenJournal, bare: psycopg.Connection[tuple[object, ...]], schema: str
) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        open_postgres(read_only=True)

    query = "SELECT count(*) FROM pg_namespace WHERE nspname = %s"
    assert (0,) == bare.execute(query, [schema]).fetchone()


def test_a_schema_of_somebody_else_is_left_alone(
    open_postgres: OpenJournal, bare: psycopg.Connection[tuple[object, ...]], schema: str
) -> None:
    bare.execute(f"CREATE SCHEMA {schema} CREATE TABLE recipe (name text)")

    with pytest.raises(StoreError, match="is not a store of states"):
        open_postgres()

    query = "SELECT count(*) FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = %s"
    assert (0,) == bare.execute(query, [schema]).fetchone()


@pytest.mark.parametrize("name", ["", "Upper", "a b", 'a"', "1a", "x" * 64])
def test_a_schema_that_would_need_quotes_is_refused(
    open_postgres: OpenJournal, postgres_store: str, name: str
) -> None:
    url = make_url(postgres_store).update_query_dict({"schema": name})

    with pytest.raises(StoreError, match="a schema's name"):
        open_postgres(url=url)


@pytest.mark.parametrize("given", ["0", "-1", "soon", "1.5"])
def test_the_time_for_an_answer_is_a_number(
    open_postgres: OpenJournal, postgres_store: str, given: str
) -> None:
    url = make_url(postgres_store).update_query_dict({"answer_within_ms": given})

    with pytest.raises(StoreError, match="answer_within_ms"):
        open_postgres(url=url)


def test_a_journal_that_has_lost_its_end_takes_nothing_of_who_has_seen_it(
    open_postgres: OpenJournal, bare: psycopg.Connection[tuple[object, ...]], schema: str, draft: Drafts
) -> None:
    journal = open_postgres()
    journal.append([draft(), draft()], after=0)
    journal.append([draft()], after=2)
    bare.execute(f"DELETE FROM {schema}.record WHERE position = 3")

    with pytest.raises(StoreError, match="has lost its"):
        journal.append([draft()], after=3)


# Who does a chore


def test_a_chore_has_one_at_a_time_who_does_it(open_postgres: OpenJournal) -> None:
    first, second = (open_postgres().lease("cleanup") for _ in range(2))
    assert first is not None
    assert second is not None
    taken = first.take(), second.take()
    first.release()
    first.release()

    assert (*taken, second.take()) == (True, False, True)
    second.release()


def test_chores_of_other_names_are_others(open_postgres: OpenJournal) -> None:
    journal = open_postgres()
    leases = [journal.lease(name) for name in ("cleanup", "backup")]

    assert [lease is not None and lease.take() for lease in leases] == [True, True]


def test_a_chore_is_free_once_its_journal_is_closed(open_postgres: OpenJournal) -> None:
    journal, other = open_postgres(), open_postgres()
    lease, next_lease = journal.lease("cleanup"), other.lease("cleanup")
    assert lease is not None
    assert next_lease is not None
    lease.take()
    lease.release()
    journal.close()

    assert next_lease.take()
    next_lease.release()
