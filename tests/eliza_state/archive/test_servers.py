"""The archive of a store on a server: its files lie in a folder that all who open it have."""

from __future__ import annotations

import asyncio
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.errors import ScopeArchived, StoreError
from eliza_state.manager import StateManager
from tests.eliza_state import chat
from tests.eliza_state.archive.conftest import say, texts
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Joined


@pytest.fixture
async def two(opened: Any, postgres_store: str, tmp_path: FilePath) -> tuple[StateManager, StateManager]:
    """Two managers like two processes, with two conversations; both have everything in memory."""
    folder = tmp_path / "archive"
    one, other = [await opened(postgres_store, archive=folder) for _ in range(2)]
    await say(one, TALK, "one", "two")
    await say(one, OTHER, "three")
    await say(one, TALK, "four")
    await one.dispatch(Joined(user="bo"), to=ROOM)
    await other.refresh()
    await other.state()
    return one, other


async def test_everything_answers_as_before(two, opened, postgres_store, tmp_path):
    one, _ = two
    before, records = await chat.everything(one), await one.root.records(limit=None)

    await one.archive.store(AGENT)

    another = await opened(postgres_store, archive=tmp_path / "archive")
    for manager in (one, another):
        assert before == await chat.everything(manager)
        assert records == await manager.root.records(limit=None)
    assert ["one", "two"] == await texts(another, at=3)


async def test_one_that_does_not_know_is_refused(two):
    one, other = two
    await say(other, TALK, "five")  # from here on it appends in one round trip
    await say(other, TALK, "six")
    await one.archive.store(TALK)

    with pytest.raises(ScopeArchived):
        await say(other, TALK, "seven")

    await say(other, OTHER, "eight")
    assert ["three", "eight"] == await texts(other, OTHER)


async def test_it_comes_back_and_takes_events(two):
    one, other = two
    await one.archive.store(TALK, OTHER)
    await other.archive.restore(TALK)

    await say(one, TALK, "five")

    assert ["one", "two", "four", "five"] == await texts(one)
    assert [OTHER] == [scope.path for scope in await one.archive.scopes()]


async def test_what_is_erased_is_gone(two):
    one, other = two
    await one.archive.store(TALK)

    erased = await one.at(TALK).erase(where=lambda event: event.text == "two")
    await other.refresh()

    assert (1, ()) == (erased.records, erased.remains)
    assert ["one", "four"] == await texts(one) == await texts(other)


async def test_scopes_may_come_and_go_while_everything_is_read(two):
    one, other = two
    records = await other.root.records(limit=None)

    async def read() -> None:
        while not moving.done():
            assert records == await other.root.records(limit=None)

    async def move() -> None:
        for _ in range(3):
            await one.archive.store(TALK, OTHER)
            await one.archive.restore(ROOM)

    moving = asyncio.create_task(move())
    await asyncio.gather(moving, read())


async def test_without_a_folder_there_is_none(opened, postgres_store):
    manager = await opened(postgres_store)

    with pytest.raises(StoreError, match="archive=folder"):
        await manager.archive.store(TALK)
