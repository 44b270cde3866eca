"""What lies in the archive is verified with the rest of a store."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.health import repair, verify
from eliza_state.health.verifying import verify_files
from eliza_state.manager import StateManager
from tests.eliza_state import chat
from tests.eliza_state.archive.conftest import say, texts
from tests.eliza_state.chat import OTHER, ROOM, TALK, Closed


@pytest.fixture
async def archived(opened: Any, sqlite_url: str) -> StateManager:
    """A store of which two conversations, one with an erasure and one that has ended, are in the archive."""
    manager: StateManager = await opened(sqlite_url)
    await say(manager, TALK, "one", "two", "three")
    await say(manager, OTHER, "four")
    await manager.dispatch(Closed(), to=OTHER)
    await manager.at(TALK).erase(where=lambda event: event.text == "two")
    await manager.archive.store(TALK, OTHER)
    return manager


def flip(manager: StateManager, place: int) -> str:
    """Change a byte of the one segment there is, and return its name."""
    assert manager.archive.folder is not None
    file: FilePath = next(manager.archive.folder.glob("*.segment"))
    content = bytearray(file.read_bytes())
    content[place] ^= 2
    file.write_bytes(content)
    return file.name


IN_TALK, IN_OTHER, IN_HEAD = 40, -5, 8


async def test_a_store_with_an_archive_is_good(archived):
    found = await verify(archived)

    assert found.is_good, found.findings
    assert (6, 2) == (found.checked["records"], found.checked["segments"])


@pytest.mark.parametrize(("place", "path"), [(IN_TALK, TALK), (IN_OTHER, OTHER)])
async def test_a_damaged_block_is_found_with_its_scope(archived, place, path):
    segment = await asyncio.to_thread(flip, archived, place)

    found = await verify(archived)

    finding, *others = found.findings
    assert ("segments", path, False) == (finding.check, finding.path, finding.is_derived)
    assert f"state.db-archive/{segment}" == finding.file
    assert finding.loss
    # The snapshots above may be all that is left of what was lost.
    assert {"states"} == {other.check for other in others}


async def test_reading_it_says_so_and_other_scopes_go_on(archived, opened, sqlite_url):
    segment = await asyncio.to_thread(flip, archived, IN_OTHER)
    another = await opened(sqlite_url)

    with pytest.raises(StoreError, match=f"{OTHER.encode()}.*{segment}"):
        await another.at(OTHER).state()
    assert ["one", "three"] == await texts(another)
    assert {"ada"} == set((await another.at(ROOM).state(chat.PeopleModule)).names)


async def test_a_file_of_a_later_format_is_found(archived):
    await asyncio.to_thread(flip, archived, IN_HEAD)

    (finding,) = (await verify(archived)).findings
    assert "format 3" in finding.message


async def test_the_files_alone_can_be_verified(archived, tmp_path):
    await archived.close()

    assert () == verify_files(str(tmp_path / "state.db")).findings


async def test_a_repair_leaves_what_the_archive_tells(archived, sqlite_url, tmp_path):
    await archived.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as connection:
        marks = connection.execute("SELECT scope, position FROM erasure").fetchall()
        connection.execute("INSERT INTO below VALUES (2, 1)")

    done = await repair(sqlite_url, modules=chat.modules())

    assert done.is_good, done.lost
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        assert marks == connection.execute("SELECT scope, position FROM erasure").fetchall()
