"""The file of a state: keys and values, with what a file storage may have put beside them."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_serializers import JsonSerializer, Secret
from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE
from eliza_state.storage.disk.file import FileStorage
from eliza_state.storage.state_store.file import StateFile
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
from eliza_state.storage.wrappers.compression import Compression


@pytest.fixture
def path(tmp_path: FilePath) -> FilePath:
    return tmp_path / "state.json"


def open_state(path: FilePath, **options: Any) -> StateStore:
    return StateStore.open(StatePersistence(enabled=True, type="file", path=path), **options)


def test_a_missing_file_holds_nothing(path: FilePath) -> None:
    file = StateFile(path)

    assert ({}, {}, ()) == (file.load().contents, file.load().unreadable, file.load().problems)
    file.close()
    assert not path.exists()


def test_changes_are_one_file(path: FilePath) -> None:
    file = StateFile(path)
    file.write({"a": b"json:1", "b/c": b'json:{"d":[]}', "e": b"json:null"})
    file.write({"a": GONE, "gone": GONE})
    file.close()

    assert '{"version":1,"entries":[\n["b/c",{"d":[]}],\n["e",null]\n]}\n' == path.read_text()


async def test_a_file_storage_reads_it(path: FilePath) -> None:
    with open_state(path) as state:
        state.update({"a/b": {1, 2}, "100%": Secret("swordfish"), "x": None})

    async with FileStorage[Any](path) as storage:
        found = dict([pair async for pair in storage.entries()])
        assert ({1, 2}, "swordfish", None) == (found["a/b"], found["100%"].reveal(), found["x"])


async def test_it_reads_a_file_storage(path: FilePath) -> None:
    async with FileStorage[Any](path) as storage:
        await storage.set_many({"a/b": [1], "c": None})

    with open_state(path) as state:
        assert {"a/b": [1], "c": None} == dict(state)
        assert () == state.problems


async def test_what_is_not_its_own_stays(path: FilePath) -> None:
    transforms = [Compression(threshold_bytes=0)]
    async with FileStorage[Any](path, transforms=transforms) as storage:
        await storage.set("packed", "x" * 1_000)
    async with FileStorage[Any](path) as storage:
        await storage.namespace("session", "1").set("a", 1)
        await storage.set("timed", 2, ttl_ms=3_600_000)
        await storage.set("plain", 3)

    with open_state(path) as state:
        assert {"plain": 3} == dict(state)
        assert ["3 entries" in str(problem) for problem in state.problems] == [True]
        state.set("plain", 4)
        state.set("timed", 5)
    async with FileStorage[Any](path, transforms=transforms) as storage:
        assert 1 == await storage.namespace("session", "1").get("a")
        assert {"packed": "x" * 1_000, "plain": 4, "timed": 5} == await storage.get_many(
            ["packed", "plain", "timed"]
        )


def test_a_value_too_deep_for_the_file_is_packed(path: FilePath) -> None:
    value: Any = []
    for _ in range(400):
        value = [value]
    serializer = JsonSerializer(max_depth=2_000)
    with open_state(path, serializer=serializer) as state:
        state.set("deep", value)
        state.set("a", 1)

    with open_state(path, serializer=serializer) as state:
        assert 1 == state.get("a")
        assert "deep" in state


@pytest.mark.parametrize("entry", ['["",1]', '["a"]', '["a",1,{}]', "[1,2]", f'["{"x" * 513}",1]'])
def test_an_entry_that_is_none_damages_the_file(path: FilePath, entry: str) -> None:
    path.write_text(f'{{"version":1,"entries":[{entry}]}}')

    with open_state(path) as state:
        assert 0 == len(state)
    assert path.with_name("state.json.damaged-1").exists()


def test_a_file_of_a_later_version_is_refused_and_stays(path: FilePath) -> None:
    later = '{"version":2,"values":{"a":1}}'
    path.write_text(later)

    with pytest.raises(StoreError, match="version 2, later than 1"):
        open_state(path)
    assert later == path.read_text()
    path.unlink()
    open_state(path).close()


def test_of_entries_of_one_key_the_last_one_counts(path: FilePath) -> None:
    path.write_text(json.dumps({"version": 1, "entries": [["a", 1], ["b", 2], ["a", 3]]}, indent=1))
    with open_state(path) as state:
        assert {"a": 3, "b": 2} == dict(state)
        state.set("b", 4)

    assert [["a", 3], ["b", 4]] == json.loads(path.read_text())["entries"]
