"""A file of entries, open for one process."""

from __future__ import annotations

import os
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.disk.entries_file import EntriesFile
from eliza_state.testing import CrashFiles, FailingFiles


@pytest.fixture
def path(tmp_path: FilePath) -> FilePath:
    return tmp_path / "folder" / "state.json"


def test_it_is_saved_whole_and_loaded(path: FilePath) -> None:
    file = EntriesFile(path)
    before = file.load(now_us=1)
    file.save([b'["a",1]', b'["b",2]'])
    found = {key: slot.entry.value for key, slot in file.load(now_us=1).items()}
    file.close()

    assert ({}, {"a": b"json:1", "b": b"json:2"}) == (before, found)
    assert ["state.json", "state.json.lock"] == sorted(os.listdir(path.parent))


def test_it_is_locked_until_it_is_closed(path: FilePath) -> None:
    file = EntriesFile(path)
    with pytest.raises(Busy):
        EntriesFile(path)
    file.close()
    file.close()

    EntriesFile(path).close()


def test_what_a_power_cut_left_of_writes_is_removed(path: FilePath) -> None:
    path.parent.mkdir()
    for name in ("state.json.temporary-1", "other.temporary-1"):
        path.with_name(name).write_text("half")
    file = EntriesFile(path)
    file.load(now_us=1)
    file.close()

    assert ["other.temporary-1", "state.json.lock"] == sorted(os.listdir(path.parent))


def test_damage_is_told_and_set_aside(path: FilePath) -> None:
    path.parent.mkdir()
    path.write_text("{")
    file = EntriesFile(path)
    with pytest.raises(ValueError, match="truncated"):
        file.load(now_us=1)
    aside = file.set_aside()
    file.close()

    assert ("state.json.damaged-1", "{") == (aside.name, aside.read_text())
    assert not path.exists()


def test_what_the_operating_system_refuses_is_a_store_error(tmp_path: FilePath) -> None:
    crash = CrashFiles(tmp_path, {"state.json": b"old"})
    file = EntriesFile(tmp_path / "state.json", files=FailingFiles(crash, fail_at=2))

    with pytest.raises(StoreError, match=r"cannot write .*No space left"):
        file.save([])
    assert b"old" == crash.read(tmp_path / "state.json")
    file.close()
