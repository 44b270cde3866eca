"""What cannot be erased, and what is said of it."""

from __future__ import annotations

import pytest

from eliza_state import erasure
from eliza_state.errors import InvalidPath, StateError, StoreError
from eliza_state.event import ScopeErased
from tests.eliza_state import chat
from tests.eliza_state.chat import ROOM, TALK, Joined
from tests.eliza_state.test_erasure import say, texts


async def test_a_scope_that_nobody_knows_loses_nothing(manager):
    await say(manager, "one")

    erased = await manager.erase("agent:nobody")

    assert erasure.Erased(records=0, scopes=0, size_bytes=0, position=1) == erased


async def test_a_path_that_cannot_be_is_refused(manager):
    with pytest.raises(InvalidPath):
        await manager.erase("conversation:c1")


@pytest.mark.parametrize("until", [-1, 2, "1", 1.0, True])
async def test_a_position_that_is_not_there_is_refused(manager, until):
    await say(manager, "one")

    with pytest.raises(StateError, match="a position from 0 to 1"):
        await manager.at(TALK).erase(until=until)
    assert ["one"] == await texts(manager)


async def test_an_error_of_where_names_the_record_and_nothing_is_erased(manager):
    await say(manager, "one")
    await manager.dispatch(Joined(user="ada"), to=ROOM)

    with pytest.raises(StateError, match=r"joined at 'agent:eliza/room:general', position=2.*'text'"):
        await manager.root.erase(where=lambda event: event.text == "one")
    assert ["one"] == await texts(manager)
    assert 2 == await manager.position()


async def test_what_nobody_can_read_is_left_and_counted(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await say(manager, "one", "two")
    await manager.close()
    manager = await opened(sqlite_url, modules=[chat.BudgetModule()])

    picked, all_ = await manager.root.erase(where=lambda _: True), await manager.root.erase()

    assert (0, 2) == (picked.records, picked.unreadable)
    assert (2, 0) == (all_.records, all_.unreadable)


async def test_a_store_that_is_only_read_erases_nothing(opened, sqlite_url):
    await say(await opened(sqlite_url), "one")
    reader = await opened(sqlite_url, read_only=True)

    with pytest.raises(StoreError, match="open for reading only"):
        await reader.at(TALK).erase()
    assert ["one"] == await texts(reader)


async def test_a_closed_manager_erases_nothing(opened, url):
    manager = await opened(url)
    await say(manager, "one")
    await manager.close()

    with pytest.raises(StoreError, match="closed"):
        await manager.at(TALK).erase()


async def test_nobody_dispatches_an_erasure(manager):
    with pytest.raises(StateError, match="scope_erased"):
        await manager.dispatch(ScopeErased(until=1, count=1), to=TALK)
