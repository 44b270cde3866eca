"""The table of a state, in SQLite and PostgreSQL; MySQL as far as statements tell."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
from eliza_state.storage.state_store.table import StateTable, table_of, upsert_into
from eliza_state.testing import ManualClock

HOUR_MS = 3_600_000
CREATE = (
    "CREATE TABLE core_state"
    " (state_key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT DEFAULT CURRENT_TIMESTAMP)"
)


@pytest.fixture
def sqlite_url(tmp_path: FilePath) -> str:
    return f"sqlite:///{tmp_path / 'agent.db'}"


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = create_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Engine]:
    made = create_engine(sqlite_url)
    yield made
    made.dispose()


def open_state(database: str | Engine, **options: Any) -> StateStore:
    chosen = StatePersistence(enabled=True, type="database", flush_interval_ms=HOUR_MS)
    return StateStore.open(chosen, database=database, **options)


def execute(engine: Engine, statement: str, *parameters: Any) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement, *parameters)


def rows(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {row.state_key: row.value for row in connection.execute(text("SELECT * FROM core_state"))}


def test_the_columns(engine: Engine) -> None:
    open_state(engine).close()
    found = inspect(engine)

    columns = [(column["name"], str(column["type"])) for column in found.get_columns("core_state")]
    key_type = 'TEXT COLLATE "C"' if engine.dialect.name == "postgresql" else "TEXT"
    assert [("state_key", key_type), ("value", "TEXT"), ("updated_at", "TEXT")] == columns
    assert ["state_key"] == found.get_pk_constraint("core_state")["constrained_columns"]


def test_a_table_of_another_program_is_read_and_written(engine: Engine) -> None:
    execute(engine, CREATE)
    execute(
        engine,
        "INSERT INTO core_state (state_key, value) VALUES"
        """ ('run:index', '["abc-123", "def-456"]'), ('n', ' 1.5 '), ('o', '{"nested": true}')""",
    )
    with open_state(engine) as state:
        assert {"run:index": ["abc-123", "def-456"], "n": 1.5, "o": {"nested": True}} == dict(state)
        state["n"] = 2
        del state["o"]

    assert {"run:index": '["abc-123", "def-456"]', "n": "2"} == rows(engine)


def test_rows_tell_when_they_were_written(engine: Engine) -> None:
    clock = ManualClock(datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC))
    with open_state(engine, clock=clock) as state:
        state.update(a=1, b=1)
        state.flush()
        clock.advance(ms=1_000)
        state.set("b", 2)

    with engine.connect() as connection:
        found = connection.execute(text("SELECT updated_at FROM core_state ORDER BY state_key")).scalars()
        assert ["2024-05-06 07:08:09", "2024-05-06 07:08:10"] == list(found)


@pytest.mark.parametrize(
    "columns",
    [
        "a TEXT PRIMARY KEY",
        "state_key TEXT, value TEXT, updated_at TEXT",
        "state_key TEXT PRIMARY KEY, value TEXT",
    ],
)
def test_a_table_of_something_else_is_refused(engine: Engine, columns: str) -> None:
    execute(engine, f"CREATE TABLE core_state ({columns})")

    with pytest.raises(StoreError, match="'core_state' is not one of a state: it has the columns"):
        open_state(engine)


def test_columns_beside_are_left_alone(engine: Engine) -> None:
    execute(engine, CREATE.replace(")", ", note TEXT DEFAULT 'mine')"))
    with open_state(engine) as state:
        state.set("a", 1)

    assert {"a": "1"} == rows(engine)


def test_several_may_create_it_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        opening = [threads.submit(open_state, url) for _ in range(4)]
    for one in opening:
        one.result().close()

    with open_state(url) as state:
        assert {} == dict(state)


def test_tables_of_several_names_are_apart(url: str) -> None:
    for name in ("state", "agent_state"):
        chosen = StatePersistence(enabled=True, type="database", table_name=name)
        with StateStore.open(chosen, database=url) as state:
            assert 0 == len(state)
            state.set("name", name)


def test_the_last_writer_wins_and_what_is_deleted_stays_so(url: str) -> None:
    with open_state(url) as first:
        first.update(a=1, b=1, c=1)
    with open_state(url) as first, open_state(url) as second:
        first.set("a", 2)
        del first["b"]
        second.set("a", 3)
        first.flush()
        second.flush()

    with open_state(url) as state:
        assert {"a": 3, "c": 1} == dict(state)


def test_openers_who_meet_find_the_table_that_one_of_them_made(url: str) -> None:
    barrier = Barrier(6)

    def work(key: str) -> None:
        barrier.wait()
        with open_state(url, timeout_ms=30_000) as state:
            state[key] = key

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(work, key) for key in "abcdef"]:
            done.result()

    with open_state(url) as state:
        assert set(state) == set("abcdef")


def test_writers_who_meet_do_not_lock_each_other_out(url: str) -> None:
    def work(number: int) -> None:
        with open_state(url, timeout_ms=30_000) as state:
            for step in range(10):
                state.update({str(key): [number, step] for key in range(50)})
                for key in range(0, 50, 2 + number):
                    del state[str(key)]
                state.flush()

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(work, number) for number in range(3)]:
            done.result()

    with open_state(url) as state:
        assert {9} == {step for _, step in state.values()}


def test_large_values(url: str) -> None:
    value = "ü💥\x00\\" * 300_000
    with open_state(url) as state:
        state.set("a", value)

    with open_state(url) as state:
        assert value == state.get("a")


def test_keys_differ_by_case_space_and_form(url: str) -> None:
    keys = {"a", "A", "a ", "ä", "a\u0308", "ß", "ss", "'; --", "%s", ":a"}
    with open_state(url) as state:
        state.update({key: key for key in keys})
        del state["A"]

    with open_state(url) as state:
        assert {key: key for key in keys - {"A"}} == dict(state)


def test_postgresql_takes_no_nul_in_a_key(postgres_url: str) -> None:
    with open_state(postgres_url) as state:
        for change in (lambda: state.set("a\0", 1), lambda: state.update({"a": 1, "b\0": 1})):
            with pytest.raises(InvalidKey, match="no NUL"):
                change()

        assert (0, 0, None) == (len(state), state.pending, state.get("a\0"))


def test_rows_that_cannot_be_read_are_left_alone(sqlite: Engine) -> None:
    execute(sqlite, CREATE)
    for key, value in (
        ("json", "[1"),
        ("tag", '{"_type": "Unheard"}'),
        ("blob", b"1"),
        ("", "1"),
        ("x" * 513, "1"),
        (None, "1"),
        (b"bytes", "1"),
        ("good", "1"),
    ):
        execute(sqlite, "INSERT INTO core_state (state_key, value) VALUES (?, ?)", (key, value))
    execute(sqlite, "INSERT INTO core_state (state_key, value) VALUES ('utf8', CAST(x'22ff22' AS TEXT))")
    execute(sqlite, "INSERT INTO core_state (state_key, value) VALUES (CAST(x'61ff' AS TEXT), '1')")
    with open_state(sqlite) as state:
        assert {"good": 1} == dict(state)
        assert {"json", "tag", "blob", "utf8"} == set(state.unreadable)
        assert 9 == len(state.problems)
        state.set("blob", 2)
        del state["good"]
        state.delete("json")

    with sqlite.connect() as connection:
        left = connection.execute(text("SELECT count(*) FROM core_state")).scalar()
    with open_state(sqlite) as state:
        assert ({"blob": 2}, {"tag", "utf8"}) == (dict(state), set(state.unreadable))
    assert 8 == left


def test_repeating_a_write_does_no_harm(url: str) -> None:
    table = StateTable(url)
    for _ in range(2):
        table.write({"a": b"json:1", "gone": GONE})
    found = table.load()
    table.close()

    assert {"a": b"json:1"} == found.contents


def test_a_connection_that_cannot_be_made_is_told() -> None:
    with pytest.raises(StoreError, match="cannot open the state"):
        StateTable("postgresql+psycopg://127.0.0.1:1/agent", timeout_ms=10, clock=now_us)


def test_the_statements_for_mysql() -> None:
    table = table_of("core_state", "mysql")
    dialect: Any = mysql.dialect()
    create = " ".join(str(CreateTable(table).compile(dialect=dialect)).split())
    upsert = str(upsert_into(table, "mysql").compile(dialect=dialect))

    assert "state_key VARBINARY(1536) NOT NULL" in create
    assert "value LONGTEXT CHARACTER SET utf8mb4 NOT NULL" in create
    assert "updated_at TEXT DEFAULT (CURRENT_TIMESTAMP)" in create
    assert "ON DUPLICATE KEY UPDATE" in upsert
