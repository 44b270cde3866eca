"""Claims of several holders: each is had by one, and free again when that one ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.journal.claims import Claims, MemoryClaims
from eliza_state.journal.file_claims import FileClaims
from tests.forking.process import start_program

Make = Callable[[], Claims]


@pytest.fixture(params=["file", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path) -> Iterator[Make]:
    """Make holders among whom claims are shared."""
    made: list[Claims] = []
    url = request.getfixturevalue("postgres_store") if request.param == "postgresql" else None

    def make_one() -> Claims:
        made.append(FileClaims(str(tmp_path / "claims")) if url is None else on_server(url))
        return made[-1]

    yield make_one
    for claims in made:
        claims.close()


def on_server(url: str) -> Any:
    from sqlalchemy import create_engine, make_url, text

    from eliza_state.journal.databases.claims import PostgresqlClaims
    from eliza_state.servers import in_store, schema_of

    parsed = make_url(url)
    engine = create_engine(in_store(parsed))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema_of(parsed)}"))
    engine.dispose()
    return PostgresqlClaims(parsed, name="test claims")


def test_a_claim_is_had_by_one(make):
    one, other = make(), make()

    assert (True, False, False) == (one.take("a"), other.take("a"), one.take("a"))
    assert (frozenset({"a"}), frozenset()) == (one.held, other.held)


def test_all_see_which_are_taken(make):
    one, other = make(), make()
    one.take("a")
    other.take("b")

    assert {"a", "b"} == one.taken("abc") == other.taken("abc")


def test_what_is_given_back_is_free(make):
    one, other = make(), make()
    one.take("a")
    one.release("a")
    one.release("never taken")

    assert set() == other.taken("a")
    assert other.take("a")


def test_what_is_closed_gives_everything_back(make):
    one, other = make(), make()
    one.take("a")
    one.take("b")
    one.close()
    one.close()

    assert set() == other.taken("ab")


def test_memory_is_nobody_elses():
    claims = MemoryClaims()

    assert (True, False) == (claims.take("a"), claims.take("a"))
    assert {"a"} == claims.taken("ab") == claims.held
    claims.release("a")
    assert claims.take("a")
    claims.close()
    assert frozenset() == claims.held


def test_a_killed_process_has_none(tmp_path):
    folder = str(tmp_path / "claims")
    program = (
        "import sys; from eliza_state.journal.file_claims import FileClaims;"
        f"claims = FileClaims({folder!r}); print(claims.take('a'), flush=True); sys.stdin.read()"
    )
    with start_program(program) as process:
        process.stdout.readline()
        claims = FileClaims(folder)
        was_free = claims.take("a")
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert (False, True) == (was_free, claims.take("a"))
    claims.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot lock"):
        FileClaims(str(tmp_path / "file")).take("a")


def test_a_session_that_is_ended_loses_its_claims(postgres_store):
    import psycopg
    from sqlalchemy import make_url

    one, other = on_server(postgres_store), on_server(postgres_store)
    one.take("a")
    plain = make_url(postgres_store).set(drivername="postgresql").difference_update_query(["schema"])
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'test claims'"
        )
    with pytest.raises(StoreError, match="cannot claim"):
        one.take("b")

    assert frozenset() == one.held
    assert other.take("a")
    assert not one.take("a")
    one.close()
    other.close()


def test_what_is_given_back_is_free_at_once(make):
    one, other = make(), make()
    taken = []
    for give_back in [lambda: one.release("a"), one.close] * 10:
        one.take("a")
        give_back()
        taken.append(other.take("a"))
        other.release("a")

    assert [True] * 20 == taken
