"""Backups of stores with archived scopes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.backup import backup, restore, verify
from eliza_state.errors import StoreError
from eliza_state.files import Files
from eliza_state.manager import StateManager
from tests.eliza_state import chat
from tests.eliza_state.backup.talks import names, url_of
from tests.eliza_state.chat import OTHER, TALK, Said


@pytest.fixture
async def manager(tmp_path: FilePath) -> AsyncIterator[StateManager]:
    """A store of two conversations, of which one is archived, and is the newest."""
    async with StateManager.open(url_of(tmp_path), modules=chat.modules()) as manager:
        for path in (TALK, OTHER):
            await manager.dispatch_all([(Said(user="ada", text=f"hello {n}"), path) for n in range(20)])
        await manager.archive.store(OTHER)
        yield manager


def segments(folder: FilePath) -> list[str]:
    """Return the names of the segments that a store or a backup has."""
    return [name for name in names(folder / "state.db-archive") if name.endswith(".segment")]


async def texts(manager: StateManager) -> list[list[str]]:
    """Return what was said in both conversations."""
    states: list[Any] = [await manager.at(path).state("talk") for path in (TALK, OTHER)]
    return [[*state.texts] for state in states]


async def test_archived_scopes_come_back(manager: StateManager, tmp_path: FilePath) -> None:
    made = await backup(manager, tmp_path / "copy")
    await restore(tmp_path / "copy", tmp_path / "again.db")

    assert (made.manifest.position, made.verification.is_good) == (40, True)
    assert segments(tmp_path / "copy") == segments(tmp_path)
    async with StateManager.open(f"sqlite:///{tmp_path}/again.db", modules=chat.modules()) as again:
        assert await texts(again) == await texts(manager)
        await again.archive.store(TALK)
        assert await texts(again) == await texts(manager)
        await again.archive.restore(OTHER)
        await again.dispatch(Said(user="bo", text="I am back"), to=OTHER)


async def test_a_backup_of_a_restored_store_has_its_archive(
    manager: StateManager, tmp_path: FilePath
) -> None:
    for number in range(2):
        folder = tmp_path / f"copy{number}"
        await backup(url_of(tmp_path) if not number else tmp_path / "again0.db", folder)
        await restore(folder, tmp_path / f"again{number}.db")

    async with StateManager.open(f"sqlite:///{tmp_path}/again1.db", modules=chat.modules()) as again:
        assert await texts(again) == await texts(manager)


async def test_an_archive_elsewhere(tmp_path: FilePath) -> None:
    async with StateManager.open(
        url_of(tmp_path), modules=chat.modules(), archive=tmp_path / "elsewhere"
    ) as manager:
        await manager.dispatch(Said(user="ada", text="hello"), to=TALK)
        await manager.archive.store(TALK)
        await backup(manager, tmp_path / "of the manager")
    await backup(url_of(tmp_path), tmp_path / "of the file", archive=tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="if the archive is another folder, name it"):
        await backup(url_of(tmp_path), tmp_path / "without")

    assert names(tmp_path / "of the manager") == names(tmp_path / "of the file")
    assert not (await verify(tmp_path / "of the file")).findings


async def test_only_named_segments_are_taken(manager: StateManager, tmp_path: FilePath) -> None:
    (tmp_path / "state.db-archive" / f"{'0' * 16}.segment").write_bytes(b"nobody names it")
    made = await backup(manager, tmp_path / "copy")

    assert len([file for file in made.manifest.files if "archive" in file.name]) == 1


async def test_a_damaged_or_lost_segment_is_found(manager: StateManager, tmp_path: FilePath) -> None:
    await backup(manager, tmp_path / "copy")
    (name,) = segments(tmp_path / "copy")
    shutil.copytree(tmp_path / "copy", tmp_path / "lost")
    segment = tmp_path / "copy" / "state.db-archive" / name
    segment.write_bytes(segment.read_bytes()[:-1] + b"?")
    (tmp_path / "lost" / "state.db-archive" / name).unlink()

    for folder in ("copy", "lost"):
        found = await verify(tmp_path / folder)
        assert found.findings[0].file == f"state.db-archive/{name}"


async def test_a_segment_that_goes_while_it_is_copied(
    manager: StateManager, tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal names another one by then, which is copied instead."""
    before = segments(tmp_path)
    await manager.dispatch(Said(user="ada", text="more"), to=TALK)
    make_folder = Files.make_folder

    def slowly(self: Files, path: Any) -> None:
        make_folder(self, path)
        if str(path).endswith("-archive"):
            move_on(tmp_path)

    monkeypatch.setattr(Files, "make_folder", slowly)
    made = await backup(manager, tmp_path / "copy")

    assert segments(tmp_path / "copy") == segments(tmp_path) != before
    assert [file.name for file in made.manifest.files if "archive" in file.name] == [
        f"state.db-archive/{name}" for name in segments(tmp_path)
    ]


def move_on(folder: FilePath) -> None:
    """Give the one segment of a store another name, as a pass does that writes it anew."""
    (before,) = segments(folder)
    after = f"{'1' * 16}.segment"
    with sqlite3.connect(folder / "state.db") as connection:
        shutil.copy(folder / "state.db-archive" / before, folder / "state.db-archive" / after)
        connection.execute("UPDATE archive_block SET segment = ?", (after,))
    connection.close()
    (folder / "state.db-archive" / before).unlink()
