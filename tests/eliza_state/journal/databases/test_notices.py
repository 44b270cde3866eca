"""Who listens on a schema's channel is told of appends, soon after they are stored and outside of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
import pytest
from sqlalchemy import make_url

from eliza_state.journal.databases.names import channel_of
from eliza_state.journal.sql import SqlJournal
from eliza_state.servers import schema_of
from tests.eliza_state.journal.conftest import Drafts

if TYPE_CHECKING:
    from tests.servers import PostgresServer

OpenJournal = Callable[..., SqlJournal]
PATIENCE_S = 20
TELLS = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_notify(%' AND pid <> pg_backend_pid()"


Listening: TypeAlias = psycopg.Connection[Any]


def connected(url: str) -> Listening:
    """Connect to a store's database, as somebody else's tool would."""
    plain = make_url(url).set(drivername="postgresql").difference_update_query(["schema"])
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


def listen(connection: Listening, url: str) -> None:
    connection.execute(f'LISTEN "{channel_of(schema_of(make_url(url)))}"')


@pytest.fixture
def listening(postgres_store: str) -> Iterator[Listening]:
    """A connection that listens on the channel of the test's schema."""
    with connected(postgres_store) as connection:
        listen(connection, postgres_store)
        yield connection


def told(listening: Listening, count: int = 1) -> list[str]:
    """Wait for so many notices."""
    return [notice.payload for notice in listening.notifies(timeout=PATIENCE_S, stop_after=count)]


def told_by(journal: SqlJournal) -> int:
    """Do as the writer's thread does, until nothing is left to tell; return how often it had to come."""
    count = 0
    while (wait_s := journal.tell()) is not None:
        time.sleep(wait_s)
        count += 1
    return count


def test_many_appends_are_told_at_once(
    open_postgres: OpenJournal, listening: Listening, draft: Drafts
) -> None:
    journal = open_postgres()
    for position in range(3):
        journal.append([draft()], after=position)
    told_by(journal)

    assert ["3 eliza_state here"] == told(listening)
    assert [] == list(listening.notifies(timeout=0))


def test_an_append_itself_tells_nothing(
    open_postgres: OpenJournal, listening: Listening, draft: Drafts
) -> None:
    open_postgres().append([draft()], after=0)

    assert [] == list(listening.notifies(timeout=0))


@pytest.mark.parametrize("others", [False, True])
def test_each_way_to_append_is_told(
    open_postgres: OpenJournal, listening: Listening, draft: Drafts, others: bool
) -> None:
    here, there = open_postgres(), open_postgres(writer="there")
    here.append([draft()], after=0)
    if others:
        there.append([draft(), draft()], after=1)
    last = here.head()
    told_by(here)
    told(listening)
    here.append([draft(version=last + 1)], after=last)
    told_by(here)

    assert [f"{last + 1} eliza_state here"] == told(listening)


def test_an_erasure_is_told(open_postgres: OpenJournal, listening: Listening, draft: Drafts) -> None:
    journal = open_postgres()
    journal.append([draft()], after=0)
    told_by(journal)
    told(listening)
    journal.erase([1], until=1)
    told_by(journal)

    assert ["2 eliza_state here"] == told(listening)


def test_what_is_left_is_told_when_the_journal_is_closed(
    open_postgres: OpenJournal, listening: Listening, draft: Drafts
) -> None:
    journal = open_postgres()
    journal.append([draft()], after=0)
    journal.close()

    assert ["1 eliza_state here"] == told(listening)


def test_an_append_does_not_wait_for_a_notice_that_is_not_answered(
    open_postgres: OpenJournal, own_postgres_server: Callable[[], PostgresServer], draft: Drafts
) -> None:
    url = own_postgres_server().url
    journal = open_postgres(url=url)
    with connected(url) as listening:
        listen(listening, url)
        journal.append([draft()], after=0)
        told_by(journal)
        ((pid,),) = listening.execute(TELLS).fetchall()
        os.kill(pid, signal.SIGSTOP)
        try:
            journal.append([draft()], after=1)
            time.sleep(journal.tell() or 0)
            journal.tell()
            journal.append([draft()], after=2)
            head = journal.head()
        finally:
            os.kill(pid, signal.SIGCONT)
        told_by(journal)

        assert 3 == head
        assert ["1", "2", "3"] == [payload.split()[0] for payload in told(listening, 3)]


def test_a_connection_that_is_cut_is_made_anew(
    open_postgres: OpenJournal,
    listening: Listening,
    draft: Drafts,
) -> None:
    journal = open_postgres()
    journal.append([draft()], after=0)
    told_by(journal)
    told(listening)
    query = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s"
    listening.execute(query, ["eliza_state here reader"])
    journal.append([draft()], after=1)
    told_by(journal)

    assert ["2 eliza_state here"] == told(listening)
