"""Backups of stores that are in use, and of those that are not."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path as FilePath

import pytest

from eliza_state.backup import backup, restore, verify
from eliza_state.errors import StoreError
from eliza_state.health.verifying import Progress
from tests.eliza_state.backup.talks import contents, make_folder, say, told, url_of, writing
from tests.eliza_state.chat import TALK, Said
from tests.eliza_state.conftest import Open

BACKUPS = 4


@pytest.fixture
async def store(tmp_path: FilePath) -> FilePath:
    """A folder with a store of twenty records."""
    await say(tmp_path / "store", 20)
    return tmp_path / "store"


async def restored(folder: FilePath, to: FilePath) -> tuple[int, object]:
    make_folder(to)
    await restore(folder, url_of(to))
    return await told(to)


@pytest.mark.parametrize("name", ["url", "file"])
async def test_a_closed_store_by_its_url_or_file(name: str, store: FilePath, tmp_path: FilePath) -> None:
    made = await backup(url_of(store) if name == "url" else store / "state.db", tmp_path / "copy")

    assert (made.manifest.position, made.verification.is_good) == (20, True)
    assert await restored(tmp_path / "copy", tmp_path / "again") == (20, 20)


async def test_an_open_manager(opened: Open, tmp_path: FilePath) -> None:
    manager = await opened(f"sqlite:///{tmp_path}/state.db")
    await manager.dispatch(Said(user="ada", text="in it"), to=TALK)
    await backup(manager, tmp_path / "copy")
    await manager.dispatch(Said(user="ada", text="too late"), to=TALK)

    assert await restored(tmp_path / "copy", tmp_path / "again") == (1, None)


async def test_what_a_buffered_manager_has_announced_is_in_it(opened: Open, tmp_path: FilePath) -> None:
    manager = await opened(f"sqlite:///{tmp_path}/state.db", durability="buffered")
    await manager.dispatch(Said(user="ada", text="hello"), to=TALK)

    assert (await backup(manager, tmp_path / "copy")).manifest.position == 1


async def test_it_says_what_it_holds(store: FilePath, tmp_path: FilePath) -> None:
    made = await backup(url_of(store), tmp_path / "copy")
    first, _ = (tmp_path / "copy" / "manifest.json").read_text("utf-8").splitlines()
    said = json.loads(first)

    assert said["format"] == "eliza-state backup"
    assert [file["name"] for file in said["files"]] == ["state.db", "state.db-plugins"]
    assert said["software"].keys() == {"eliza_state", "schema", "python", "sqlite"}
    assert made.manifest.recorded_at is not None
    assert sorted(contents(tmp_path / "copy")) == ["manifest.json", "state.db", "state.db-plugins"]


async def test_it_is_one_cut_of_journal_and_plugins_under_load(tmp_path: FilePath) -> None:
    await say(tmp_path / "store", 1)
    with writing(tmp_path / "store") as writer:
        for number in range(BACKUPS):
            made = await backup(url_of(tmp_path / "store"), tmp_path / f"copy{number}")

            assert made.verification.is_good
        assert writer.poll() is None
    positions = []
    for number in range(BACKUPS):
        position, value = await restored(tmp_path / f"copy{number}", tmp_path / f"again{number}")
        positions.append(position)

        assert position - value in {0, 1}
    assert positions == sorted(set(positions))


async def test_a_backup_leaves_the_store_as_it_is(store: FilePath, tmp_path: FilePath) -> None:
    before = contents(store)
    await backup(url_of(store), tmp_path / "copy")

    assert {name: content for name, content in contents(store).items() if name in before} == before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")
async def test_copies_have_the_permissions_of_the_store(store: FilePath, tmp_path: FilePath) -> None:
    os.chmod(store / "state.db", 0o600)
    await backup(url_of(store), tmp_path / "copy")

    assert stat.S_IMODE((tmp_path / "copy" / "state.db").stat().st_mode) == 0o600


async def test_progress_is_told(store: FilePath, tmp_path: FilePath) -> None:
    heard: list[Progress] = []
    await backup(url_of(store), tmp_path / "copy", told=heard.append)

    assert {"copying state.db", "copying state.db-plugins", "reading", "checksums", "records"} <= {
        progress.doing for progress in heard
    }
    assert all(progress.total is None or progress.done <= progress.total for progress in heard)


async def test_a_backup_that_is_there_is_not_touched(store: FilePath, tmp_path: FilePath) -> None:
    await backup(url_of(store), tmp_path / "copy")
    before = contents(tmp_path / "copy")
    with pytest.raises(StoreError, match="a backup is a new folder"):
        await backup(url_of(store), tmp_path / "copy")

    assert contents(tmp_path / "copy") == before


async def test_damage_in_the_store_is_told_of_its_copy(store: FilePath, tmp_path: FilePath) -> None:
    content = (store / "state.db").read_bytes()
    (store / "state.db").write_bytes(content.replace(b"hello 7", b"hallo 7"))

    made = await backup(url_of(store), tmp_path / "copy")

    assert [finding.position for finding in made.verification.findings] == [8]
    assert not (await verify(tmp_path / "copy")).is_good


async def test_what_has_no_file_is_refused(opened: Open, tmp_path: FilePath) -> None:
    with pytest.raises(StoreError, match="in memory has no file"):
        await backup(await opened(), tmp_path / "copy")
    with pytest.raises(StoreError, match=r"pg_dump .* erasure, .* record, "):
        await backup("postgresql://server/state", tmp_path / "copy")
    with pytest.raises(StoreError, match="there is no store"):
        await backup(tmp_path / "none.db", tmp_path / "copy")


async def test_there_has_to_be_a_folder_for_it(store: FilePath, tmp_path: FilePath) -> None:
    with pytest.raises(StoreError, match="create it first"):
        await backup(url_of(store), tmp_path / "none" / "copy")
