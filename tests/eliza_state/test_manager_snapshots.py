"""What becomes of a manager's snapshots changes no state: off, lost, damaged, elsewhere, of another time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_modules.conversation import ConversationEnded, ConversationModule, MessageReceived
from eliza_state import snapshotter
from eliza_state.errors import StoreError
from eliza_state.manager import StateManager
from eliza_state.portal import SyncStateManager
from tests.eliza_state import chat
from tests.eliza_state.chat import TALK, Said
from tests.eliza_state.stored_snapshots import database_of, stored

MESSAGES = 100


@pytest.fixture
def kept(sqlite_url: str) -> FilePath:
    """The file that snapshots lie in by default."""
    return FilePath(f"{database_of(sqlite_url)}-snapshots")


async def talk(manager: StateManager, *, start: int = 0, stop: int = MESSAGES) -> None:
    for number in range(start, stop):
        await manager.dispatch(Said(user="ada", text=str(number)), to=TALK, id=f"said {number}")


async def texts(manager: StateManager) -> list[str]:
    return list((await manager.at(TALK).state("talk")).texts)


@pytest.fixture
async def filled(opened: Any, sqlite_url: str) -> str:
    """A store with snapshots, closed."""
    manager = await opened(sqlite_url)
    await talk(manager)
    await manager.close()
    return sqlite_url


async def check(opened: Any, url: str, **options: Any) -> set[str]:
    """Open a store, find its state, let it go on, find that again; return what was reported at first."""
    manager = await opened(url, **options)
    assert [str(number) for number in range(MESSAGES)] == await texts(manager)
    reported = {problem.kind for problem in manager.problems}
    await talk(manager, start=MESSAGES, stop=2 * MESSAGES)
    await manager.close()
    manager = await opened(url, **options)
    assert [str(number) for number in range(2 * MESSAGES)] == await texts(manager)
    return reported


async def test_they_lie_beside_the_database(filled, kept):
    assert kept.exists()


async def test_without_them_every_state_is_folded(opened, sqlite_url, kept, monkeypatch):
    manager = await opened(sqlite_url, snapshots=False)
    await talk(manager)
    await manager.close()

    assert set() == await check(opened, sqlite_url, snapshots=False)
    assert not kept.exists()


async def test_those_there_are_not_read_where_none_are_wanted(opened, filled, kept):
    before = kept.read_bytes()

    assert set() == await check(opened, filled, snapshots=False)
    assert before == kept.read_bytes()


async def test_a_store_may_lose_their_file(opened, filled, kept):
    kept.unlink()

    assert set() == await check(opened, filled)
    assert kept.exists()


@pytest.mark.parametrize("content", [b"", b"no database" * 1_000, bytes(20_000)])
async def test_a_damaged_file_of_them_is_reported_at_most(opened, filled, kept, content):
    kept.write_bytes(content)

    assert {"snapshot"} >= await check(opened, filled)


async def test_a_file_of_them_that_is_cut_off_is_reported_at_most(opened, filled, kept):
    os.truncate(kept, kept.stat().st_size // 2)

    assert {"snapshot"} >= await check(opened, filled)


async def test_the_file_of_another_store_is_of_no_use_and_no_harm(opened, filled, kept, tmp_path):
    other = await opened(f"sqlite:///{tmp_path}/other.db")
    await other.dispatch_all([(Said(user="bob", text="other"), TALK)] * 100)
    await other.close()
    shutil.copy(tmp_path / "other.db-snapshots", kept)

    assert set() == await check(opened, filled)


async def test_an_older_copy_that_went_on_otherwise_is_folded(opened, sqlite_url, kept, tmp_path):
    """Its records may have the ids of those that were lost, for the callers give them."""
    manager = await opened(sqlite_url)
    await talk(manager, stop=20)
    await manager.close()
    shutil.copy(database_of(sqlite_url), tmp_path / "copy.db")
    manager = await opened(sqlite_url)
    await talk(manager, start=20)
    await manager.close()
    shutil.copy(tmp_path / "copy.db", database_of(sqlite_url))

    manager = await opened(sqlite_url, snapshots=False)
    for number in range(20, MESSAGES):
        await manager.dispatch(Said(user="ada", text="otherwise"), to=TALK, id=f"said {number}")
    expected = await texts(manager)
    await manager.close()

    manager = await opened(sqlite_url)
    assert expected == await texts(manager)
    assert ["otherwise"] * 80 == expected[20:]
    assert {"snapshot"} == {problem.kind for problem in manager.problems}


async def test_a_file_of_them_from_before_shortens_the_fold_only(opened, filled, kept, tmp_path):
    shutil.copy(kept, tmp_path / "before")
    manager = await opened(filled)
    await talk(manager, start=MESSAGES, stop=3 * MESSAGES)
    await manager.close()
    shutil.copy(tmp_path / "before", kept)
    manager = await opened(filled)

    assert [str(number) for number in range(3 * MESSAGES)] == await texts(manager)
    assert [] == list(manager.problems)


async def test_reading_only_uses_them_and_makes_none(opened, filled, kept, tmp_path):
    before = kept.read_bytes()
    manager = await opened(filled, read_only=True)
    assert [str(number) for number in range(MESSAGES)] == await texts(manager)
    await manager.close()

    assert before == kept.read_bytes()
    kept.unlink()
    manager = await opened(filled, read_only=True)
    assert [str(number) for number in range(MESSAGES)] == await texts(manager)
    await manager.close()
    assert not kept.exists()


# Places that are named


@pytest.mark.parametrize("place", ["nowhere://at/all", "sqlite:///no/such/folder/of/snapshots.db"])
async def test_a_place_that_cannot_be_opened_is_reported_and_done_without(opened, filled, place):
    assert {"snapshot"} == await check(opened, filled, snapshots=place)


async def test_layers_that_do_not_go_together_are_refused_and_the_store_released(opened, filled, tmp_path):
    with pytest.raises(ValueError, match="a store has a home"):
        await StateManager.open(filled, modules=chat.modules(), snapshots=[f"archive:{tmp_path}/archive"])

    assert set() == await check(opened, filled, durability="buffered")


async def test_a_store_in_memory_takes_no_place_for_them(tmp_path):
    with pytest.raises(StoreError, match="takes no snapshots"):
        await StateManager.open("memory://", snapshots=f"sqlite:///{tmp_path}/snapshots.db")


def test_the_synchronous_face_takes_a_place_as_well(sqlite_url, kept, tmp_path):
    options = {"modules": chat.modules(), "snapshots": f"sqlite:///{tmp_path}/elsewhere.db"}
    with SyncStateManager.open(sqlite_url, **options) as manager:
        for number in range(MESSAGES):
            manager.at(TALK).dispatch(Said(user="ada", text=str(number)))
    with SyncStateManager.open(sqlite_url, **options) as manager:
        assert MESSAGES == len(manager.at(TALK).state("talk").texts)

    assert (tmp_path / "elsewhere.db").exists()
    assert not kept.exists()


# Scopes that end


async def test_a_scope_that_ends_gets_its_last_snapshot_at_once(opened, sqlite_url, monkeypatch):
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 5)
    manager = await opened(sqlite_url, modules=[ConversationModule()])
    for number in range(4):
        await manager.dispatch(MessageReceived(id=f"m{number}", user="ada", text="hello"), to=TALK)
    await manager.core.snapshotter.close([])
    before, _ = await stored(sqlite_url)
    await manager.dispatch(ConversationEnded(), to=TALK)
    await manager.core.snapshotter.close([])
    after, _ = await stored(sqlite_url)

    assert (0, 1) == (len(before), len(after))
    assert [] == list(manager.problems)
