"""What is erased is gone from the archive too: from states, records, files and what can be read of them."""

from __future__ import annotations

import os
from pathlib import Path as FilePath

import pytest

from eliza_state.manager import StateManager
from tests.eliza_state import chat
from tests.eliza_state.archive.conftest import say, texts
from tests.eliza_state.chat import OTHER, ROOM, TALK, Said
from tests.secrets.search import expanded

WORD = "planted-word-to-be-found"


def unpacked(manager: StateManager) -> bytes:
    """All that the files of the archive hold, as it was before it was compressed, whoever names it or not."""
    files = manager.archive.folder.glob("*.segment*")
    return b"".join(part for file in files for part in expanded(file.read_bytes()))


@pytest.fixture
async def planted(manager):
    """A word in one of two conversations that lie in one segment."""
    await say(manager, TALK, WORD)
    await manager.archive.store(TALK, OTHER)
    assert WORD.encode() in unpacked(manager)
    assert 1 == len(list(manager.archive.folder.glob("*.segment")))
    return manager


async def test_what_is_erased_is_gone_from_the_files(planted, tmp_path):
    outcome = await planted.at(TALK).erase(where=lambda event: event.text == WORD)

    assert (1, ()) == (outcome.records, outcome.remains)
    assert WORD.encode() not in unpacked(planted)
    assert not any(WORD.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


async def test_states_are_as_if_it_had_not_been(planted, opened, sqlite_url):
    await planted.erase(ROOM, where=lambda event: getattr(event, "text", "") == WORD)

    for manager in (planted, await opened(sqlite_url)):
        assert ["one", "two", "four"] == await texts(manager)
        assert ["one", "two", "four"] == await texts(manager, at=6)
        assert ["three"] == await texts(manager, OTHER)
        assert 4 == (await manager.root.state(chat.TotalsModule)).said


async def test_records_keep_their_place(planted):
    before = await planted.at(TALK).records()

    await planted.at(TALK).erase(where=lambda event: event.text == WORD)

    after = await planted.at(TALK).records()
    assert before[:3] == after[:3]
    assert before[3]._replace(content=b"") == after[3]
    assert "scope_erased" == after[4].event


async def test_all_of_a_scope_may_go(planted):
    outcome = await planted.at(TALK).erase()

    assert 4 == outcome.records
    assert [] == await texts(planted)
    for word in (WORD, "one", "two", "four"):
        assert word.encode() not in unpacked(planted)


async def test_what_was_brought_back_is_gone_from_the_files_when_it_is_erased(planted):
    await planted.archive.restore(TALK)

    await planted.at(TALK).erase(where=lambda event: event.text == WORD)

    assert WORD.encode() not in unpacked(planted)
    assert b"three" in unpacked(planted)


async def test_what_is_erased_comes_back_without_it(planted):
    await planted.at(TALK).erase(where=lambda event: event.text == WORD)

    await planted.archive.restore(TALK)

    await planted.dispatch(Said(user="ada", text="five"), to=TALK)
    assert ["one", "two", "four", "five"] == await texts(planted)


async def test_what_is_erased_before_never_gets_there(manager):
    await say(manager, TALK, WORD)
    await manager.at(TALK).erase(where=lambda event: event.text == WORD)

    await manager.archive.store(TALK)

    assert WORD.encode() not in unpacked(manager)
    assert ["one", "two", "four"] == await texts(manager)


async def test_another_manager_hears_of_it(planted, opened, sqlite_url):
    another = await opened(sqlite_url)
    assert WORD in await texts(another)

    await planted.at(TALK).erase(where=lambda event: event.text == WORD)
    await another.refresh()

    assert ["one", "two", "four"] == await texts(another)


async def test_files_belong_to_who_may_read_the_database(opened, tmp_path):
    database: FilePath = tmp_path / "state.db"
    manager = await opened(f"sqlite:///{database}")
    await say(manager, TALK, "one")
    os.chmod(database, 0o600)

    await manager.archive.store(TALK)

    ((segment,),) = [(await manager.archive.scopes())[0].segments]
    assert 0o600 == os.stat(manager.archive.folder / segment).st_mode & 0o777
