"""States in memory, in a file and in a table, opened for a test and closed after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
from tests.eliza_state.storage.state_store.opening import HOUR_MS, Open, in_table
from tests.eliza_state.storage.watched import Watched


@pytest.fixture
def path(tmp_path: FilePath) -> FilePath:
    return tmp_path / "state.json"


@pytest.fixture
def files() -> Watched:
    return Watched()


@pytest.fixture
def open_file(path: FilePath, files: Watched) -> Iterator[Open]:
    """Open states in the file of the test, written when they are flushed; they are closed in the end."""
    opened: list[StateStore] = []

    def open_one(*, flush_interval_ms: float = HOUR_MS, **options: Any) -> StateStore:
        chosen = StatePersistence(enabled=True, type="file", path=path, flush_interval_ms=flush_interval_ms)
        opened.append(StateStore.open(chosen, **{"files": files, **options}))
        return opened[-1]

    yield open_one
    files.error = None
    files.gate.set()
    for state in opened:
        state.close()


@pytest.fixture
def database_path(tmp_path: FilePath) -> FilePath:
    return tmp_path / "agent.db"


@pytest.fixture
def open_table(database_path: FilePath) -> Iterator[Open]:
    """Open states in a table of SQLite, written when they are flushed; they are closed in the end."""
    opened: list[StateStore] = []

    def open_one(*, flush_interval_ms: float = HOUR_MS, **options: Any) -> StateStore:
        options = {"database": f"sqlite:///{database_path}", "timeout_ms": 50, **options}
        opened.append(StateStore.open(in_table(flush_interval_ms), **options))
        return opened[-1]

    yield open_one
    for state in opened:
        state.close()


@pytest.fixture(params=["memory", "file", "database"])
def state(request: pytest.FixtureRequest) -> StateStore:
    if request.param == "memory":
        return StateStore()
    opener: Open = request.getfixturevalue({"file": "open_file", "database": "open_table"}[request.param])
    return opener()


@pytest.fixture(params=["file", "database"])
def reopen(request: pytest.FixtureRequest) -> Open:
    """Open the same state again and again, one after the other."""
    opener: Open = request.getfixturevalue({"file": "open_file", "database": "open_table"}[request.param])
    return opener
