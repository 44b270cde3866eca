"""Forks: stores of their own, with the past of another."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_serializers import Secret
from eliza_serializers.sealing import SecretKeys
from eliza_state.change import Record
from eliza_state.debugger import Debugger, NoSuchPoint
from eliza_state.errors import StoreError
from eliza_state.manager import StateManager
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Drawn, Said
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY
from tests.eliza_state.debugger.sessions.conftest import SignedIn, modules, text_of


@pytest.fixture(params=["memory", "file"])
def fork_url(request: pytest.FixtureRequest, tmp_path: FilePath) -> str:
    """A place for a fork."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/fork.db?synchronous=NORMAL"


def told(record: Record) -> Any:
    """What of a record stays the same, whoever wrote it and however it is held."""
    return record._replace(writer="", content=record.payload)


@pytest.mark.parametrize("at", range(len(HISTORY) + 1))
async def test_it_holds_what_was_there_at_a_position(debugger: Debugger, fork_url: str, at: int) -> None:
    past = await debugger.at(at)

    async with debugger.fork(fork_url, at=at) as fork:
        assert at == await fork.position()
        assert await past.snapshot() == await Debugger(fork).snapshot()


async def test_records_are_as_they_were(debugger: Debugger, manager: StateManager, fork_url: str) -> None:
    await manager.erase(TALK, until=2)

    async with debugger.fork(fork_url) as fork:
        mine, theirs = [await store.root.records(limit=None) for store in (manager, fork)]

    assert list(map(told, mine)) == list(map(told, theirs))


async def test_each_goes_its_own_way(debugger: Debugger, manager: StateManager, fork_url: str) -> None:
    async with debugger.fork(fork_url, at=4) as fork:
        await fork.dispatch(Said(user="cy", text="there"), to=TALK)
        await manager.dispatch(Said(user="cy", text="here"), to=TALK)

        assert ["hello", "Hello yourself", "there"] == list((await fork.at(TALK).state("talk")).texts)
    assert "here" == (await manager.at(TALK).state("talk")).texts[-1]


async def test_it_has_an_epoch_of_its_own(debugger: Debugger, manager: StateManager, fork_url: str) -> None:
    async with debugger.fork(fork_url) as fork:
        assert manager.journal.epoch != fork.journal.epoch


async def test_a_scope_comes_with_what_lies_below_and_what_was_addressed_above(
    debugger: Debugger, manager: StateManager, fork_url: str
) -> None:
    await manager.dispatch(Drawn(amount=1), to="agent:other")

    async with debugger.fork(fork_url, path=TALK) as fork:
        assert [ROOM, TALK, TALK, AGENT, TALK, TALK] == [
            record.path for record in await fork.root.records(limit=None)
        ]
        for path in (TALK, AGENT):
            assert await manager.at(path).state() == await fork.at(path).state()
        assert 0 == await fork.at(OTHER).version()


async def test_in_a_file_it_can_be_opened_again(debugger: Debugger, opened: Open, tmp_path: FilePath) -> None:
    url = f"sqlite:///{tmp_path}/fork.db"
    async with debugger.fork(url, at=3) as fork:
        wanted = await fork.state()

    assert wanted == await (await opened(url)).state()


async def test_a_file_tells_where_it_comes_from(
    debugger: Debugger, manager: StateManager, tmp_path: FilePath
) -> None:
    async with debugger.fork(f"sqlite:///{tmp_path}/fork.db", at=3, path=TALK):
        pass

    connection = sqlite3.connect(tmp_path / "fork.db")
    ((text,),) = connection.execute("SELECT value FROM meta WHERE name = 'forked_from'").fetchall()
    connection.close()
    assert {"epoch": manager.journal.epoch, "position": 3, "path": TALK.encode()} == json.loads(text)


async def test_a_file_that_is_there_is_refused_and_left_alone(debugger: Debugger, tmp_path: FilePath) -> None:
    file = tmp_path / "fork.db"
    write(file)

    with pytest.raises(StoreError, match=r"there is a file .* already"):
        await debugger.fork(f"sqlite:///{file}")

    assert "mine" == text_of(file)


def contents(folder: FilePath) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("fork.db*"))


def write(file: FilePath) -> None:
    file.write_text("mine", "utf-8")


async def test_a_folder_that_is_not_there_is_refused(debugger: Debugger, tmp_path: FilePath) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        await debugger.fork(f"sqlite:///{tmp_path}/none/fork.db")


async def test_no_other_store_will_do(debugger: Debugger) -> None:
    with pytest.raises(StoreError, match="in a file or in memory, not on a server"):
        await debugger.fork("postgresql://localhost/state")


async def test_a_position_that_is_not_there_is_refused(debugger: Debugger) -> None:
    with pytest.raises(NoSuchPoint):
        await debugger.fork("memory://", at=len(HISTORY) + 1)


async def test_secrets_stay_as_they_are_stored(
    opened: Open, url: str, fork_url: str, tmp_path: FilePath
) -> None:
    keys = SecretKeys({"k": b"1" * 32})
    manager = await opened(url, modules=modules(), secret_keys=keys)
    await manager.dispatch(SignedIn(token=Secret("hunter2")), to=AGENT)

    async with Debugger(manager).fork(fork_url) as fork:
        assert "hunter2" == (await fork.at(AGENT).state("tokens")).last.token.reveal()
    assert b"hunter2" not in contents(tmp_path)


async def test_a_damaged_record_keeps_its_place(opened: Open, sqlite_url: str, fork_url: str) -> None:
    manager = await opened(sqlite_url)
    for text in "abc":
        await manager.dispatch(Said(user="ada", text=text), to=TALK)
    damage(manager, position=2)

    async with Debugger(manager).fork(fork_url) as fork:
        records = await fork.root.records(limit=None)
        texts = (await fork.at(TALK).state("talk")).texts

    assert ["said", "", "said"] == [record.event for record in records]
    assert ["a", "c"] == list(texts)


def damage(manager: StateManager, *, position: int) -> None:
    connection = sqlite3.connect(manager.core.database)
    with connection:
        connection.execute("UPDATE record SET payload = x'00' WHERE position = ?", (position,))
    connection.close()


async def test_nothing_is_left_of_one_that_fails(
    debugger: Debugger, manager: StateManager, tmp_path: FilePath
) -> None:
    folder = tmp_path / "folder"
    make(folder)
    opening = debugger.fork(f"sqlite:///{folder}/fork.db")
    await manager.close()

    with pytest.raises(StoreError):
        await opening

    assert [] == list(folder.iterdir())


def make(folder: FilePath) -> None:
    folder.mkdir()
