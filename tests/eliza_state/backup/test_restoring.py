"""Making stores of backups."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path as FilePath

import pytest

from eliza_state.backup import NotABackup, backup, restore
from eliza_state.errors import StoreError
from eliza_state.manager import StateManager
from eliza_state.synchronizer import synchronize
from tests.eliza_state import chat
from tests.eliza_state.backup.talks import contents, make_folder, names, say, told, url_of
from tests.eliza_state.chat import TALK, Said
from tests.eliza_state.conftest import Open


@pytest.fixture
async def store(tmp_path: FilePath) -> FilePath:
    """A folder with a store that has gone on since its backup: ten records, and five more."""
    await say(tmp_path / "store", 10)
    await backup(url_of(tmp_path / "store"), tmp_path / "copy")
    await say(tmp_path / "store", 5, plugin=False)
    return tmp_path / "store"


@pytest.fixture
def copy(store: FilePath) -> FilePath:
    return store.parent / "copy"


async def test_it_becomes_what_it_was(store: FilePath, copy: FilePath, tmp_path: FilePath) -> None:
    make_folder(tmp_path / "new")
    restored = await restore(copy, url_of(tmp_path / "new"))

    assert restored.manifest.position == 10
    assert restored.replaced is None
    assert await told(tmp_path / "new") == (10, 10)
    assert await told(store) == (15, 10)


async def test_a_store_is_not_overwritten_unless_it_is_said(store: FilePath, copy: FilePath) -> None:
    with pytest.raises(StoreError, match=r"there is a store at .*state.db, state.db-plugins"):
        await restore(copy, url_of(store))

    assert await told(store) == (15, 10)


async def test_a_store_that_is_replaced_is_kept_beside(store: FilePath, copy: FilePath) -> None:
    restored = await restore(copy, url_of(store), replace=True)

    assert await told(store) == (10, 10)
    assert restored.replaced == store / "state.db.replaced-1"
    assert await told(restored.replaced) == (15, 10)


async def test_a_damaged_store_is_replaced(store: FilePath, copy: FilePath) -> None:
    (store / "state.db").write_bytes(b"no database" * 1_000)
    (store / "state.db-wal").write_bytes(b"of another file" * 1_000)
    await restore(copy, url_of(store), replace=True)

    assert await told(store) == (10, 10)


async def test_nothing_of_the_old_store_stays_in_its_place(store: FilePath, copy: FilePath) -> None:
    for suffix in ("-snapshots", "-indexes", "-plugins-wal"):
        (store / f"state.db{suffix}").write_bytes(b"old")
    await restore(copy, url_of(store), replace=True)

    assert sorted(contents(store)) == ["state.db", "state.db-plugins", "state.db.lock"]


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_store_that_is_open_is_not_replaced(
    store: FilePath, copy: FilePath, read_only: bool, opened: Open
) -> None:
    manager = await opened(url_of(store), read_only=read_only)
    with pytest.raises(StoreError, match="open"):
        await restore(copy, url_of(store), replace=True)

    assert await manager.refresh() == 15


async def test_it_begins_a_life_of_its_own(store: FilePath, copy: FilePath) -> None:
    restored = await restore(copy, url_of(store), replace=True)
    async with StateManager.open(url_of(store), modules=chat.modules()) as manager:
        epoch = manager.journal.epoch

    assert epoch == restored.epoch != restored.manifest.epoch
    with closing(sqlite3.connect(store / "state.db")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM meta")}
    assert names == {"schema_version", "epoch", "archive_epoch", "restored_from"}


async def test_snapshots_of_the_old_life_are_not_used(tmp_path: FilePath) -> None:
    """Those that lie elsewhere were taken beyond the backup, at positions that come again."""
    url, options = url_of(tmp_path), {"snapshots": f"sqlite:///{tmp_path}/elsewhere.db"}
    async with StateManager.open(url, modules=chat.modules(), **options) as manager:
        await manager.dispatch(Said(user="ada", text="first"), to=TALK)
        await backup(manager, tmp_path / "copy")
        await manager.dispatch_all([(Said(user="ada", text=f"lost {n}"), TALK) for n in range(600)])
    await restore(tmp_path / "copy", url, replace=True)
    async with StateManager.open(url, modules=chat.modules(), **options) as manager:
        await manager.dispatch_all([(Said(user="bo", text=f"new {n}"), TALK) for n in range(600)])
    async with StateManager.open(url, modules=chat.modules(), **options) as manager:
        state = await manager.at(TALK).state("talk")

        assert [*state.texts] == ["first", *(f"new {n}" for n in range(600))]
        assert not list(manager.problems)


async def test_a_follower_goes_on_from_where_it_stood(tmp_path: FilePath) -> None:
    url = url_of(tmp_path)
    heard: list[str] = []

    async def follow(*texts: str) -> None:
        async with StateManager.open(url, modules=chat.modules()) as manager:
            await manager.follow("listener", lambda record, _write: heard.append(record.event.text))
            await manager.dispatch_all([(Said(user="ada", text=text), TALK) for text in texts])
            await manager.followers.settled()

    await follow("before")
    await backup(url, tmp_path / "copy")
    await follow("lost")
    await restore(tmp_path / "copy", url, replace=True)
    await follow("after")

    assert heard == ["before", "lost", "after"]


async def test_a_replica_gives_back_what_the_backup_lacks(
    store: FilePath, copy: FilePath, tmp_path: FilePath
) -> None:
    replica = f"sqlite:///{tmp_path}/replica.db"
    await synchronize(url_of(store), replica, create=True)
    await restore(copy, url_of(store), replace=True)
    await say(store, 2, plugin=False)

    await synchronize(url_of(store), replica)

    assert await told(store) == (17, 10)
    assert (await synchronize(url_of(store), replica)).is_whole


async def test_a_changed_backup_is_not_restored(store: FilePath, copy: FilePath) -> None:
    content = (copy / "state.db").read_bytes()
    (copy / "state.db").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(NotABackup, match="checksum of its file"):
        await restore(copy, url_of(store), replace=True)

    assert await told(store) == (15, 10)
    assert [name for name in names(store) if "unpacked" in name] == []


async def test_where_it_cannot_be(copy: FilePath, tmp_path: FilePath) -> None:
    with pytest.raises(StoreError, match="create it first"):
        await restore(copy, tmp_path / "none" / "state.db")
    with pytest.raises(StoreError, match="pg_restore"):
        await restore(copy, "postgresql://server/state")
    with pytest.raises(NotABackup, match="manifest"):
        await restore(tmp_path, tmp_path / "new.db")


async def test_a_caller_that_is_cancelled_waits_until_all_is_as_before(
    store: FilePath, copy: FilePath
) -> None:
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    task = asyncio.create_task(
        restore(
            copy,
            url_of(store),
            replace=True,
            told=lambda _progress: loop.call_soon_threadsafe(begun.set) and None,
        )
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await told(store) == (15, 10)
