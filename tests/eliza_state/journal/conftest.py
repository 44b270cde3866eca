"""Journals of both kinds, a clock that is set by hand, and drafts that count their versions."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest
from sqlalchemy import make_url

from eliza_state.ids import UuidFactory
from eliza_state.journal import Draft, Journal, MemoryJournal
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path

AGENT = Path().child("agent", "eliza")
ROOM = AGENT.child("room", "general")
TALK = ROOM.child("conversation", "c1")
OTHER = ROOM.child("conversation", "c2")
STRANGER = Path().child("agent", "someone else")


class Clock:
    """Microseconds since 1970, as they are set."""

    def __init__(self) -> None:
        self.now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


class Drafts:
    """Make drafts: each path counts its versions, ids are new, payloads tell the draft's number."""

    def __init__(self) -> None:
        self._versions: Counter[Path] = Counter()
        self._next_id = UuidFactory()

    def __call__(self, path: Path = TALK, **fields: Any) -> Draft:
        self._versions[path] += 1
        number = sum(self._versions.values())
        content = b'{"number":%d}' % number
        made = Draft(self._next_id(), path, self._versions[path], "said", 1, content)
        return made._replace(**fields)

    def some(self, count: int, path: Path = TALK) -> list[Draft]:
        return [self(path) for _ in range(count)]


OpenJournal = Callable[..., Journal]
OpenSqlJournal = Callable[..., SqlJournal]


def open_sql(file: FilePath, **options: Any) -> SqlJournal:
    """Open a journal in a file; the caller closes it."""
    options = {"writer": "here", "synchronous": "NORMAL", "busy_timeout_ms": 0, **options}
    return SqlJournal(make_url(f"sqlite:///{file}"), **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def draft() -> Drafts:
    return Drafts()


@pytest.fixture
def file(tmp_path: FilePath) -> FilePath:
    """Where the SQLite journal of a test is."""
    return tmp_path / "state.db"


@pytest.fixture
def open_journal(file: FilePath) -> Iterator[OpenSqlJournal]:
    """Open journals in the file of the test; they are closed in the end."""
    opened: list[SqlJournal] = []

    def open_one(**options: Any) -> SqlJournal:
        opened.append(open_sql(options.pop("file", file), **options))
        return opened[-1]

    yield open_one
    for one in reversed(opened):
        one.close()


@pytest.fixture
def sql(open_journal: OpenSqlJournal, clock: Clock) -> SqlJournal:
    """An empty journal in SQLite."""
    return open_journal(clock=clock)


@pytest.fixture
def open_postgres(postgres_store: str) -> Iterator[OpenSqlJournal]:
    """Open journals in a PostgreSQL schema of the test's own; they are closed in the end."""
    opened: list[SqlJournal] = []

    def open_one(**options: Any) -> SqlJournal:
        options = {"writer": "here", "busy_timeout_ms": 1_000, **options}
        opened.append(SqlJournal(make_url(options.pop("url", postgres_store)), **options))
        return opened[-1]

    yield open_one
    for one in reversed(opened):
        one.close()


@pytest.fixture
def postgres(open_postgres: OpenSqlJournal, clock: Clock) -> SqlJournal:
    """An empty journal in PostgreSQL."""
    return open_postgres(clock=clock)


@pytest.fixture(params=["sqlite", "postgresql"])
def open_any(request: pytest.FixtureRequest) -> OpenSqlJournal:
    """Open SQL journals of either kind."""
    name = "open_journal" if request.param == "sqlite" else "open_postgres"
    found: OpenSqlJournal = request.getfixturevalue(name)
    return found


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, clock: Clock) -> Journal:
    """An empty journal of each kind."""
    if request.param == "memory":
        return MemoryJournal(writer="here", clock=clock)
    found: Journal = request.getfixturevalue("sql" if request.param == "sqlite" else "postgres")
    return found


@pytest.fixture
def bare(file: FilePath) -> Iterator[sqlite3.Connection]:
    """A plain connection to the journal's file, as somebody else's tool would make it."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=0)
    yield connection
    connection.close()
