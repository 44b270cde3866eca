"""A SQLite file is looked at by one thread of the process, which leaves nothing behind."""

from __future__ import annotations

import os
import threading

import pytest

from eliza_state.errors import StoreError
from eliza_state.feed import sqlite
from eliza_state.feed.sqlite import SqliteWake
from tests.eliza_state.feed.conftest import eventually, say


class Told:
    """Remembers what a source tells."""

    def __init__(self) -> None:
        self.positions: list[int | None] = []
        self.errors: list[StoreError] = []

    def heard(self, position: int | None) -> None:
        self.positions.append(position)

    def interrupted(self, error: StoreError) -> None:
        self.errors.append(error)


@pytest.fixture
def told() -> Told:
    return Told()


async def test_it_tells_where_the_journal_is_and_each_commit(opened, sqlite_url, told):
    manager = await opened(sqlite_url)
    await say(manager, "first")
    wake = SqliteWake(manager.core.database)
    await wake.open(told)
    await eventually(lambda: 1 in told.positions)
    await say(manager, "second")
    await eventually(lambda: 2 in told.positions)
    await wake.close()

    assert [1, 2] == told.positions


async def test_one_thread_looks_at_all_files_and_ends_with_the_last(opened, tmp_path, told):
    managers = [await opened(f"sqlite:///{tmp_path}/{name}.db") for name in "abc"]
    wakes = [SqliteWake(manager.core.database) for manager in managers]
    for wake in wakes:
        await wake.open(told)
    names = [thread.name for thread in threading.enumerate()]
    for wake in wakes:
        await wake.close()
    await eventually(lambda: sqlite._poller()._thread is None)

    assert 1 == names.count("eliza-state-feed")


async def test_a_file_that_cannot_be_read_is_told_once_and_tried_again(
    opened, sqlite_url, tmp_path, told, monkeypatch
):
    monkeypatch.setattr(sqlite, "_PAUSE_S", 0.0)
    manager = await opened(sqlite_url)
    await say(manager, "hello")
    place = tmp_path / "elsewhere.db"
    wake = SqliteWake(str(place))
    await wake.open(told)
    await eventually(lambda: bool(told.errors))
    os.symlink(manager.core.database, place)
    await eventually(lambda: bool(told.positions))
    await wake.close()

    assert 1 == len(told.errors)
    assert [1] == told.positions


async def test_the_log_is_brought_to_an_end_by_the_journal(opened, sqlite_url, tmp_path):
    manager = await opened(sqlite_url)
    manager.subscribe(lambda change: None)
    await say(manager, "hello")
    await eventually(lambda: manager.feed.status.is_awake)
    await manager.close()

    assert not (tmp_path / "state.db-wal").exists()
