"""Snapshots hold nothing that was erased: they are deleted wherever they lie, and none comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path as FilePath
from typing import Any

from eliza_modules.conversation import ConversationEnded, ConversationModule, MessageReceived
from eliza_state import erasure
from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.journal.source import JournalSource
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.snapshot_source import SnapshotSource
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.snapshots import ScopeSnapshot
from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.disk import ArchiveStorage, FileStorage
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.wrapper import Wrapper
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Drawn, Said
from tests.eliza_state.stored_snapshots import database_of, stored

WORD = "planted"
STRANGER = Path().child("agent", "stranger")


async def fill(manager: StateManager, count: int = 1_100) -> None:
    """Say so much that there are full chunks, and a little elsewhere."""
    await manager.dispatch_all(
        [(Said(user="ada", text=f"{WORD} {number}"), TALK) for number in range(count)]
        + [(Said(user="bo", text=f"{number}"), OTHER) for number in range(100)]
        + [(Drawn(amount=0), STRANGER) for _ in range(100)]
    )


async def filled(opened: Any, url: str, **options: Any) -> None:
    """Fill a store and close it, so that every scope has its snapshot."""
    manager = await opened(url, **options)
    await fill(manager)
    await manager.close()


def in_files(folder: FilePath) -> set[str]:
    """Return the names of the files that hold the planted word."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.name for file in files if WORD.encode() in file.read_bytes()}


class Copy:
    """A copy of the snapshots beside a database."""

    def __init__(self, url: str) -> None:
        self._file = FilePath(f"{database_of(url)}-snapshots")
        self._content = self._file.read_bytes()

    def bring_back(self) -> None:
        self._file.write_bytes(self._content)


class Kept(Wrapper[bytes]):
    """A backend that stays when the storage over it is closed, and fails when it is told to."""

    is_failing = False

    async def remove(self, keys: Any, *, dead_only: bool = False) -> int:
        if self.is_failing:
            raise StoreError("no answer")
        return await super().remove(keys, dead_only=dead_only)

    async def close(self) -> None:
        """Stay."""


async def test_the_snapshots_of_a_scope_and_of_those_above_it_go_and_no_others(opened, sqlite_url):
    await filled(opened, sqlite_url)
    slots, chunks = await stored(sqlite_url)
    manager = await opened(sqlite_url)

    await manager.at(TALK).erase()

    left, left_chunks = await stored(sqlite_url)
    assert (6, 2) == (len(slots), len(chunks))
    # those of the other conversation and of the other agent
    assert (2, 0) == (len(left), len(left_chunks))


async def test_those_of_scopes_below_go_too(opened, sqlite_url):
    await filled(opened, sqlite_url)
    manager = await opened(sqlite_url)

    await manager.at(AGENT).erase()

    assert 1 == len((await stored(sqlite_url))[0])


async def test_no_file_of_a_database_holds_what_was_erased(opened, sqlite_url, tmp_path):
    def place() -> Storage[bytes]:
        return SqlStorage(f"sqlite:///{tmp_path}/kept.db", serializer="msgpack")  # not compressed

    manager = await opened(sqlite_url, snapshots=place)
    for _ in range(4):  # snapshots are written over each other
        await fill(manager, 600)
        await manager.core.snapshotter.close(manager.core.scopes)
    before = in_files(tmp_path)

    erased = await manager.root.erase(where=lambda event: getattr(event, "user", "") == "ada")

    assert {"kept.db", "state.db"} <= {name.removesuffix("-wal") for name in before}
    assert (2_400, ()) == (erased.records, erased.remains)
    assert set() == in_files(tmp_path)


async def test_a_json_file_keeps_nothing(opened, sqlite_url, tmp_path):
    def place() -> Storage[bytes]:
        return FileStorage(tmp_path / "kept.json", serializer="msgpack", flush_interval_ms=60_000)

    await filled(opened, sqlite_url, snapshots=place)
    manager = await opened(sqlite_url, snapshots=place)
    before = json.loads((tmp_path / "kept.json").read_bytes())["entries"]

    await manager.root.erase()

    assert 8 == len(before)
    assert [] == json.loads((tmp_path / "kept.json").read_bytes())["entries"]


async def test_copies_in_layers_go(opened, sqlite_url, redis_url, tmp_path):
    layers = [redis_url, f"sqlite:///{tmp_path}/home.db", f"archive:{tmp_path}/archive"]
    modules = [ConversationModule()]
    manager = await opened(sqlite_url, modules=modules, snapshots=layers)
    said = [MessageReceived(id=f"m{number}", user="ada", text="hello") for number in range(1_100)]
    await manager.dispatch_all([(event, TALK) for event in (*said, ConversationEnded())])
    await manager.close()

    async def live() -> list[str]:
        store = SnapshotSource(place=layers, database="").open(create=True)
        assert isinstance(store, LayeredStore)
        async with store:
            backends = [layer.backend for layer in store._layered._named(None)]
            found = []
            for backend in backends:
                keys = [key async for page in backend.scan("", nested=True) for key, _ in page]
                entries = await backend.read(keys)
                found += [backend.name for entry in entries.values() if type(entry.value) is bytes]
        return found

    before = await live()
    manager = await opened(sqlite_url, modules=modules, snapshots=layers)
    erased = await manager.at(TALK).erase()
    await manager.close()

    assert {"sql", "archive"} <= set(before)
    assert () == erased.remains
    assert [] == await live()


async def test_a_state_is_read_without_the_snapshots(opened, sqlite_url):
    await filled(opened, sqlite_url)
    manager = await opened(sqlite_url)
    await manager.at(TALK).state()

    await manager.at(TALK).erase(where=lambda event: event.text != f"{WORD} 7")

    state = await manager.at(TALK).state("talk")
    assert [f"{WORD} 7"] == list(state.texts)
    assert 101 == (await manager.root.state("totals")).said
    assert [] == list(manager.problems)


async def test_new_snapshots_are_taken_of_what_is_left(opened, sqlite_url):
    await filled(opened, sqlite_url)
    manager = await opened(sqlite_url)
    await manager.at(TALK).erase(until=1_000)
    await manager.dispatch(Said(user="bo", text="more"), to=TALK)
    before = await manager.state()
    await manager.close()

    assert 6 == len((await stored(sqlite_url))[0])
    again = await opened(sqlite_url)
    assert before == await again.state()
    assert [] == list(again.problems)


async def test_a_snapshot_that_comes_back_is_not_used_and_deleted(opened, sqlite_url):
    await filled(opened, sqlite_url)
    copy = Copy(sqlite_url)
    manager = await opened(sqlite_url)
    await manager.at(TALK).erase()
    await manager.close()
    copy.bring_back()

    again = await opened(sqlite_url)
    assert [] == list((await again.at(TALK).state("talk")).texts)
    assert [] == list((await again.at(TALK).state("talk", at=1_250)).texts)
    for path in (AGENT, ROOM):
        await again.at(path).state()

    assert [] == list(again.problems)
    left, chunks = await stored(sqlite_url)
    assert (2, 0) == (len(left), len(chunks))


async def test_a_store_that_is_only_read_does_not_use_it_either(opened, sqlite_url):
    await filled(opened, sqlite_url)
    copy = Copy(sqlite_url)
    manager = await opened(sqlite_url)
    await manager.at(TALK).erase()
    await manager.close()
    copy.bring_back()

    reader = await opened(sqlite_url, read_only=True)

    assert [] == list((await reader.at(TALK).state("talk")).texts)
    assert [] == list(reader.problems)


async def test_a_snapshot_that_is_saved_after_the_erasure_is_taken_back(opened, sqlite_url, monkeypatch):
    """As by a process that has not heard of it yet."""
    manager = await opened(sqlite_url)
    other = await opened(sqlite_url)
    await fill(manager)
    await other.refresh()
    save = other.core.snapshotter._snapshots.save
    saved = []

    async def late(path, *args, **options):
        if not saved:
            await manager.root.erase()
        saved.append(path)
        await save(path, *args, **options)

    monkeypatch.setattr(other.core.snapshotter._snapshots, "save", late)
    await other.at(TALK).state()
    scope = other.core.scopes.find(TALK)
    await other.core.snapshotter.take(scope)

    assert [TALK] == saved
    assert (set(), set()) == await stored(sqlite_url)


async def test_a_storage_that_does_not_answer_is_told_and_cleaned_the_next_time(opened, sqlite_url):
    backend = Kept(MemoryStorage[bytes]().backend)
    await filled(opened, sqlite_url, snapshots=lambda: Storage(backend))
    backend.is_failing = True
    manager = await opened(sqlite_url, snapshots=lambda: Storage(backend))

    first = await manager.at(TALK).erase()
    await manager.close()
    manager = await opened(sqlite_url, snapshots=lambda: Storage(backend))
    backend.is_failing = False
    second = await manager.at(OTHER).erase(until=0)

    assert 1_100 == first.records
    (remains,) = first.remains
    assert remains == "snapshots: no answer"
    assert (0, ()) == (second.records, second.remains)
    assert [] == manager.journal.unsettled_erasures()
    assert not [key async for page in backend.scan("", nested=True) for key, _ in page if "chunk" in key]


async def test_what_was_cut_off_is_finished_when_the_store_is_opened(opened, sqlite_url):
    await filled(opened, sqlite_url)
    source = JournalSource(url=sqlite_url, clock=now_us)
    with contextlib.closing(source.journal()) as journal:
        journal.erase(range(1, 1_101), until=1_100)
    before = await stored(sqlite_url)

    await (await opened(sqlite_url)).close()

    with contextlib.closing(source.journal()) as journal:
        assert [] == journal.unsettled_erasures()
    assert (6, 2) == tuple(map(len, before))
    assert 0 == len((await stored(sqlite_url))[1])


async def test_a_log_that_is_being_read_is_told(opened, sqlite_url, monkeypatch):
    monkeypatch.setattr(erasure, "_PATIENCE_S", 0.05)
    manager = await opened(sqlite_url)
    await manager.dispatch(Said(user="ada", text=WORD), to=TALK)
    reader = sqlite3.connect(database_of(sqlite_url), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM record").fetchall()

    first = await manager.at(TALK).erase()
    reader.close()
    second = await manager.at(TALK).erase()

    (remains,) = first.remains
    assert "journal: the log beside the database is being read" in remains
    assert ["journal"] == [problem.kind for problem in manager.problems]
    assert () == second.remains
    assert set() == in_files(FilePath(database_of(sqlite_url)).parent)


async def test_an_archive_of_its_own_keeps_nothing(opened, sqlite_url, tmp_path):
    def place() -> Storage[bytes]:
        return ArchiveStorage(tmp_path / "archive", serializer="msgpack")

    await filled(opened, sqlite_url, snapshots=place)
    manager = await opened(sqlite_url, snapshots=place)

    def files() -> int:
        every = (tmp_path / "archive").rglob("*")
        return sum(1 for file in every if file.is_file() and file.suffix != ".lock")

    before = files()

    await manager.root.erase()

    assert (8, 0) == (before, files())


async def test_what_is_erased_while_snapshots_are_loaded_is_not_in_the_state(opened, sqlite_url, monkeypatch):
    await filled(opened, sqlite_url)
    eraser, reader = await opened(sqlite_url), await opened(sqlite_url)
    loop = asyncio.get_running_loop()
    load = SnapshotStore.load

    def load_and_erase(self: SnapshotStore, path: Path, **options: Any) -> list[ScopeSnapshot]:
        found = load(self, path, **options)
        monkeypatch.undo()
        asyncio.run_coroutine_threadsafe(eraser.at(TALK).erase(), loop).result(30)
        return found

    monkeypatch.setattr(SnapshotStore, "load", load_and_erase)

    assert [] == list((await reader.at(TALK).state("talk", at=1_100)).texts)
