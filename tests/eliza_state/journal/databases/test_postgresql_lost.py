"""A connection that is lost within a transaction is told as that, and made anew."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import make_url

from eliza_state.errors import StoreError
from eliza_state.journal.contract import Appended
from eliza_state.journal.sql import SqlJournal
from eliza_state.servers import Lost
from tests.eliza_state.journal.conftest import Drafts

OpenJournal = Callable[..., SqlJournal]


@pytest.fixture
def end_connections(postgres_store: str) -> Callable[[SqlJournal], None]:
    """Have the server end the connections of a journal, as when it is restarted."""
    url = make_url(postgres_store).set(drivername="postgresql").difference_update_query(["schema"])
    query = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE %s"

    def end(journal: SqlJournal) -> None:
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(query, [f"eliza_state {journal.writer}%"])

    return end


def write_cut_short(journal: SqlJournal, end_connections: Callable[[SqlJournal], None]) -> None:
    """Begin a transaction, with statements that go through SQLAlchemy, and lose the connection in it."""
    with journal._database.writing("write") as connection:
        connection.exec_driver_sql("SELECT 1")
        end_connections(journal)
        connection.exec_driver_sql("SELECT 2")


def test_it_is_told_by_what_was_lost(
    open_postgres: OpenJournal, end_connections: Callable[[SqlJournal], None]
) -> None:
    """Not by what SQLAlchemy says of a transaction on it that it still has."""
    with pytest.raises(Lost, match="cannot write: terminating connection"):
        write_cut_short(open_postgres(), end_connections)


def test_the_next_append_has_a_new_one(
    open_postgres: OpenJournal, end_connections: Callable[[SqlJournal], None], draft: Drafts
) -> None:
    journal = open_postgres()
    with pytest.raises(StoreError):
        write_cut_short(journal, end_connections)

    appended = journal.append([draft()], after=0)

    assert isinstance(appended, Appended)
    assert 1 == journal.head()
