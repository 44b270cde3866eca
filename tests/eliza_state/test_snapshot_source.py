"""Where snapshots may lie, and what is said of places where they cannot."""

from __future__ import annotations

import os

import pytest

from eliza_state.errors import StoreError
from eliza_state.snapshot_source import SnapshotSource
from eliza_state.storage import MemoryStorage
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.sql import SqlStorage


@pytest.fixture
def database(tmp_path):
    return str(tmp_path / "state.db")


async def test_by_default_they_lie_in_a_file_beside_the_database(database, tmp_path):
    async with SnapshotSource(place=True, database=database).open(create=True) as storage:
        await storage.set("key", b"value")

    assert isinstance(storage, SqlStorage)
    assert ["state.db-snapshots"] == [file.name for file in tmp_path.iterdir()]


def test_nothing_is_made_before_there_is_something_to_keep(database):
    assert SnapshotSource(place=True, database=database).open(create=False) is None
    assert not os.path.exists(database + "-snapshots")


async def test_what_is_opened_to_be_read_is_not_written(database):
    async with SnapshotSource(place=True, database=database).open(create=True) as storage:
        await storage.set("key", b"value")
    source = SnapshotSource(place=True, database=database, read_only=True)

    async with source.open(create=False) as storage:
        assert b"value" == await storage.get("key")
        with pytest.raises(StoreError, match="read only"):
            await storage.set("key", b"other")


@pytest.mark.parametrize("several", [False, True])
async def test_urls_are_the_layers_of_a_store(database, tmp_path, several):
    urls = (
        [f"sqlite:///{tmp_path}/own.db", f"archive:{tmp_path}/archive"] if several else f"{tmp_path}/own.db"
    )

    async with SnapshotSource(place=urls, database=database).open(create=True) as storage:
        await storage.set("key", b"value" * 1_000)
        names = [layer.name for layer in storage.status()]

        assert isinstance(storage, LayeredStore)
        assert b"value" * 1_000 == await storage.get("key")
        assert ["memory", "sql", *["archive"] * several] == names


def test_a_function_opens_what_it_likes(database):
    storage = MemoryStorage()

    assert storage is SnapshotSource(place=lambda: storage, database=database).open(create=False)


def test_there_are_none_where_none_are_wanted_or_the_journal_is_in_memory(database):
    assert SnapshotSource(place=True, database=database).is_any
    assert not SnapshotSource(place=False, database=database).is_any
    assert not SnapshotSource(place=True, database=None).is_any


def test_a_store_in_memory_refuses_a_place_for_them(database):
    with pytest.raises(StoreError, match="takes no snapshots"):
        SnapshotSource(place=database, database=None)


def test_layers_that_do_not_go_together_are_refused(database, tmp_path):
    with pytest.raises(ValueError, match="a store has a home"):
        SnapshotSource(place=[f"archive:{tmp_path}/archive"], database=database).open(create=True)
