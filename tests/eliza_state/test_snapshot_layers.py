"""Snapshots in a layered store: warm in a shared cache, at home in a database, at rest in an archive."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_modules.conversation import ConversationEnded, ConversationModule, MessageReceived
from eliza_state import snapshotter
from eliza_state.manager import StateManager
from eliza_state.snapshot_source import SnapshotSource
from eliza_state.snapshots import ChunkMissing
from eliza_state.storage import Storage
from eliza_state.storage.layered import LayeredStore
from tests.eliza_state.chat import TALK
from tests.forking.process import run_program

MESSAGES = 10_000
BATCH = 1_000
MODULES = [ConversationModule()]

WRITER = """
import asyncio, sys
from eliza_modules.conversation import ConversationModule, MessageReceived
from eliza_state.manager import StateManager

async def main(url, first, stop, talk, *layers):
    async with StateManager.open(url, modules=[ConversationModule()], snapshots=layers) as manager:
        for start in range(int(first), int(stop), 1_000):
            await manager.dispatch_all(
                [(MessageReceived(id=f"m{number}", user="ada", text=f"hello {number}"), talk)
                 for number in range(start, min(start + 1_000, int(stop)))]
            )
        assert not list(manager.problems), list(manager.problems)

asyncio.run(main(*sys.argv[1:]))
"""


def write(url: str, *layers: str, first: int = 0, stop: int = MESSAGES) -> None:
    """Write messages in another process, which takes its snapshot when it ends."""
    written = run_program(WRITER, url, first, stop, TALK.encode(), *layers)
    assert not written.returncode, written.stderr


class Places:
    """Opens the layers, and remembers the store for its figures."""

    def __init__(self, url: str, layers: list[str]) -> None:
        self.source = SnapshotSource(place=layers, database=url)
        self.store: LayeredStore[bytes] | None = None

    def __call__(self) -> Storage[bytes]:
        opened: Any = self.source.open(create=True)
        self.store = opened
        return opened

    def found(self) -> Mapping[str, int]:
        """How many keys each layer has given so far."""
        assert self.store is not None
        return {layer.name: layer.hits for layer in self.store.status()}


def count_records_read(manager: StateManager, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    read, positions = manager.journal.read, []

    def counted(path, **options):
        for record in read(path, **options):
            positions.append(record.position)
            yield record

    monkeypatch.setattr(manager.journal, "read", counted)
    return positions


async def messages_of(manager: StateManager) -> list[str]:
    state = await manager.at(TALK).state("conversation")
    return [f"{message.id}: {message.text}" for message in state.messages]


def said(count: int) -> list[str]:
    return [f"m{number}: hello {number}" for number in range(count)]


@pytest.fixture
def layers(redis_url: str, tmp_path: FilePath) -> list[str]:
    return [redis_url, f"sqlite:///{tmp_path}/home.db"]


async def test_a_conversation_written_elsewhere_is_activated_from_the_cache(
    opened, sqlite_url, layers, monkeypatch
):
    write(sqlite_url, *layers)
    places = Places(sqlite_url, layers)
    manager = await opened(sqlite_url, modules=MODULES, snapshots=places)
    read = count_records_read(manager, monkeypatch)

    assert said(MESSAGES) == await messages_of(manager)
    assert len(read) <= 2  # the records that the two snapshots stand at
    assert places.found()["redis"] > MESSAGES / 1_024
    assert places.found()["sql"] == 0
    assert [] == list(manager.problems)


async def test_a_cache_that_was_emptied_costs_only_time(
    opened, sqlite_url, layers, redis_server, monkeypatch
):
    write(sqlite_url, *layers, stop=3_000)
    redis_server.flush()
    places = Places(sqlite_url, layers)
    manager = await opened(sqlite_url, modules=MODULES, snapshots=places)
    read = count_records_read(manager, monkeypatch)

    assert said(3_000) == await messages_of(manager)
    assert len(read) <= 2
    assert places.found()["sql"] > 0
    assert [] == list(manager.problems)


async def test_a_cache_that_was_killed_costs_only_time(opened, sqlite_url, own_redis_server, tmp_path):
    server = own_redis_server()
    layers = [server.url, f"sqlite:///{tmp_path}/home.db"]
    write(sqlite_url, *layers, stop=3_000)
    server.kill()
    manager = await opened(sqlite_url, modules=MODULES, snapshots=layers)

    assert said(3_000) == await messages_of(manager)
    await manager.dispatch(MessageReceived(id="m3000", user="ada", text="hello 3000"), to=TALK)
    assert said(3_001) == await messages_of(manager)
    assert [] == list(manager.problems)


async def test_a_stale_cache_costs_only_time(opened, sqlite_url, layers, monkeypatch):
    """What was written past the cache is not in it, for a day at most: its snapshot has a longer tail."""
    write(sqlite_url, *layers, stop=2_000)
    write(sqlite_url, layers[1], first=2_000, stop=3_000)
    manager = await opened(sqlite_url, modules=MODULES, snapshots=layers)
    read = count_records_read(manager, monkeypatch)

    assert said(3_000) == await messages_of(manager)
    assert 1_000 <= len(read) <= 1_010


async def test_a_cache_that_lost_half_of_it_costs_only_time(opened, sqlite_url, redis_url):
    """Redis alone, and short of memory: a snapshot is there, and chunks that it names are not."""
    write(sqlite_url, redis_url, stop=3_000)
    async with SnapshotSource(place=redis_url, database=sqlite_url).open(create=True) as storage:
        keys = [key async for page in storage.backend.scan("", nested=True) for key, _ in page]
        chunks = sorted(key for key in keys if "/chunk/" in key)
        await storage.backend.remove(chunks[::2])
    manager = await opened(sqlite_url, modules=MODULES, snapshots=redis_url)

    await manager.dispatch(MessageReceived(id="m3000", user="ada", text="hello 3000"), to=TALK)
    for _ in ("the newer snapshot", "the older one"):
        with contextlib.suppress(ChunkMissing):  # a state in hand cannot be mended; the next one is
            await messages_of(manager)
    assert said(3_001) == await messages_of(manager)
    assert {"snapshot"} == {problem.kind for problem in manager.problems}


async def test_an_ended_conversation_comes_back_from_the_archive(
    opened, sqlite_url, layers, redis_server, tmp_path, monkeypatch
):
    layers = [*layers, f"archive:{tmp_path}/archive"]
    write(sqlite_url, *layers, stop=3_000)
    manager = await opened(sqlite_url, modules=MODULES, snapshots=layers)
    await manager.dispatch(ConversationEnded(), to=TALK)
    await manager.close()
    redis_server.flush()
    (tmp_path / "home.db").unlink()
    places = Places(sqlite_url, layers)
    manager = await opened(sqlite_url, modules=MODULES, snapshots=places)
    read = count_records_read(manager, monkeypatch)

    assert said(3_000) == await messages_of(manager)
    assert len(read) <= 2
    assert places.found()["archive"] > 2
    assert places.found()["sql"] == places.found()["redis"] == 0
    assert [] == list(manager.problems)


class Louder(ConversationModule):
    version = 99


async def test_a_snapshot_that_only_the_archive_has_is_replaced(opened, sqlite_url, layers, tmp_path):
    layers = [layers[1], f"archive:{tmp_path}/archive"]
    write(sqlite_url, *layers, stop=1_000)
    manager = await opened(sqlite_url, modules=MODULES, snapshots=layers)
    await manager.dispatch(ConversationEnded(), to=TALK)
    await manager.close()
    (tmp_path / "home.db").unlink()
    places = Places(sqlite_url, layers)
    manager = await opened(sqlite_url, modules=[Louder()], snapshots=places)
    assert said(1_000) == await messages_of(manager)  # folded: the snapshot is of another version

    async with asyncio.timeout(60):
        await manager.close()

    places = Places(sqlite_url, layers)
    manager = await opened(sqlite_url, modules=[Louder()], snapshots=places)
    assert said(1_000) == await messages_of(manager)
    assert places.found()["sql"] > 0
    assert [] == list(manager.problems)


async def test_what_goes_on_is_not_in_the_archive(opened, sqlite_url, layers, tmp_path):
    layers = [layers[1], f"archive:{tmp_path}/archive"]
    write(sqlite_url, *layers, stop=3_000)
    (tmp_path / "home.db").unlink()
    places = Places(sqlite_url, layers)
    manager = await opened(sqlite_url, modules=MODULES, snapshots=places)

    assert said(3_000) == await messages_of(manager)
    assert places.found()["archive"] == 0


async def test_a_database_server_is_a_home_as_well(opened, sqlite_url, postgres_url, redis_url, monkeypatch):
    layers = [redis_url, postgres_url]
    write(sqlite_url, *layers, stop=2_000)
    manager = await opened(sqlite_url, modules=MODULES, snapshots=layers)
    read = count_records_read(manager, monkeypatch)

    assert said(2_000) == await messages_of(manager)
    assert len(read) <= 2
    assert [] == list(manager.problems)


async def test_two_stores_share_the_layers(opened, tmp_path, layers, monkeypatch):
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1)
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "two")]
    for number, url in enumerate(urls):
        manager = await opened(url, modules=MODULES, snapshots=layers)
        await manager.dispatch(MessageReceived(id="m", user="ada", text=f"hello {number}"), to=TALK)
        await manager.close()

    for number, url in enumerate(urls):
        manager = await opened(url, modules=MODULES, snapshots=layers)
        assert [f"m: hello {number}"] == await messages_of(manager)
        assert [] == list(manager.problems)
