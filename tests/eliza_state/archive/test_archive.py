"""Scopes that are moved into the archive answer as before, take no events, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path as FilePath

import pytest

from eliza_state.archive import Archived, ArchivedScope, Restored
from eliza_state.change import to_datetime
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import InvalidEvent, InvalidPath, ScopeArchived, StateError, StoreError
from eliza_state.journal.archive.storing import Storing
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.portal import SyncStateManager
from eliza_state.synchronizer.replica_log import ReplicaLog
from tests.eliza_state import chat
from tests.eliza_state.archive.conftest import say, texts
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Noted, Said, TalkModule

MESSAGE = TALK.child("message", "m1")


# Storing


async def test_everything_answers_as_before(manager):
    before = await chat.everything(manager)
    records = await manager.root.records(limit=None)

    await manager.archive.store(TALK)

    assert before == await chat.everything(manager)
    assert records == await manager.root.records(limit=None)
    assert records[::-1] == await manager.root.records(newest_first=True, limit=None)


async def test_another_manager_finds_everything_as_before(manager, opened, sqlite_url):
    before = await chat.everything(manager)
    await manager.archive.store(TALK)

    assert before == await chat.everything(await opened(sqlite_url))


async def test_it_says_what_was_moved(manager):
    payloads = sum(len(record.payload) + len(record.key) for record in await manager.at(TALK).records())

    outcome = await manager.archive.store(manager.at(TALK))

    (scope,) = await manager.archive.scopes()
    expected = Archived(
        paths=(TALK,), records=3, scopes=1, bytes_before=payloads, bytes_after=scope.size_bytes
    )
    assert expected == outcome


async def test_a_scope_goes_with_all_below_it(manager):
    outcome = await manager.archive.store(ROOM.encode())

    assert ((ROOM,), 5, 3) == (outcome.paths, outcome.records, outcome.scopes)
    assert ROOM == (await manager.archive.find(TALK)).path
    assert await manager.archive.find(AGENT) is None


async def test_a_path_below_another_one_goes_with_it(manager):
    assert (ROOM,) == (await manager.archive.store(TALK, ROOM, OTHER, ROOM)).paths


async def test_a_scope_above_takes_what_is_left(manager):
    before = await chat.everything(manager)
    await manager.archive.store(TALK)

    outcome = await manager.archive.store(ROOM)

    assert 2 == outcome.records
    assert before == await chat.everything(manager)
    assert [TALK, ROOM] == [scope.path for scope in await manager.archive.scopes()]


async def test_what_nobody_wrote_to_and_what_is_there_is_passed_over(manager):
    await manager.archive.store(ROOM)

    assert Archived() == await manager.archive.store(TALK, AGENT.child("room", "nowhere"))


async def test_the_rows_are_gone_but_for_the_last_one(manager, tmp_path):
    await manager.archive.store(AGENT)

    assert [5] == rows(tmp_path / "state.db")


async def test_the_last_row_goes_with_a_later_pass(manager, tmp_path):
    await manager.archive.store(AGENT)
    await manager.dispatch(Said(user="ada", text="elsewhere"), to=Path().child("agent", "other"))

    await manager.archive.store(TALK)

    assert [6] == rows(tmp_path / "state.db")


def rows(file: FilePath) -> list[int]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return [position for (position,) in connection.execute("SELECT position FROM record")]


async def test_positions_go_on_where_they_were(manager, opened, sqlite_url):
    await manager.archive.store(AGENT)
    another = await opened(sqlite_url)

    change = await another.dispatch(Said(user="ada", text="hello"), to=Path().child("agent", "other"))

    assert 6 == change.position


async def test_the_past_is_there(manager):
    await manager.archive.store(ROOM)

    assert [[], ["one"], ["one", "two"], ["one", "two"], ["one", "two", "four"]] == [
        await texts(manager, at=position) for position in range(5)
    ]


async def test_a_final_state_is_read_without_a_fold(opened, sqlite_url, monkeypatch):
    manager = await opened(sqlite_url)
    await say(manager, TALK, *map(str, range(100)))
    await manager.archive.store(TALK)
    another = await opened(sqlite_url)
    monkeypatch.setattr(TalkModule, "say", None)

    assert 100 == len((await another.at(TALK).state(TalkModule)).texts)


async def test_one_that_a_record_reaches_meanwhile_is_read_anew(manager, opened, sqlite_url, monkeypatch):
    another = await opened(sqlite_url)
    finish, loop = Storing.finish, asyncio.get_running_loop()
    late = [Said(user="bo", text="late")]

    def finish_late(storing: Storing) -> None:
        finish(storing)
        if late:
            asyncio.run_coroutine_threadsafe(another.dispatch(late.pop(), to=TALK), loop).result()

    monkeypatch.setattr(Storing, "finish", finish_late)

    outcome = await manager.archive.store(TALK)

    assert 4 == outcome.records
    assert ["one", "two", "four", "late"] == await texts(await opened(sqlite_url))


async def test_the_root_stays(manager):
    with pytest.raises(StateError, match="root"):
        await manager.archive.store(Path())


async def test_a_path_that_leaves_the_hierarchy_is_refused(manager):
    with pytest.raises(InvalidPath):
        await manager.archive.store("shelf:3")


async def test_a_store_in_memory_has_no_archive(opened):
    manager = await opened()

    assert manager.archive.folder is None
    assert [] == await manager.archive.scopes()
    with pytest.raises(StateError, match="memory"):
        await manager.archive.store(TALK)


async def test_a_store_that_is_only_read_moves_nothing(manager, opened, sqlite_url):
    await manager.archive.store(TALK)
    reader = await opened(sqlite_url, read_only=True)

    with pytest.raises(StoreError, match="reading only"):
        await reader.archive.restore(TALK)
    assert ["one", "two", "four"] == await texts(reader)


async def test_what_is_in_the_archive_comes_back_before_a_store_is_synchronised(manager, sqlite_url):
    await manager.archive.store(TALK)
    await manager.close()

    with pytest.raises(StoreError, match="archive restore"):
        ReplicaLog(sqlite_url)


async def test_a_closed_store_moves_nothing(manager):
    await manager.close()

    with pytest.raises(StoreError, match="closed"):
        await manager.archive.store(TALK)


@pytest.mark.parametrize("durability", ["committed", "buffered"])
async def test_the_archive_may_lie_elsewhere(opened, sqlite_url, tmp_path, durability):
    manager = await opened(sqlite_url, archive=tmp_path / "far" / "away", durability=durability)
    await say(manager, TALK, "one")

    await manager.archive.store(TALK)

    assert tmp_path / "far" / "away" == manager.archive.folder
    assert manager.archive.folder.is_dir()
    with pytest.raises(ScopeArchived):
        await say(manager, TALK, "two")
    await manager.archive.restore(TALK)
    await say(manager, TALK, "two")
    assert ["one", "two"] == await texts(manager)


# Events to what is in the archive


async def test_an_event_is_refused_with_what_to_do(manager):
    await manager.archive.store(TALK)

    with pytest.raises(
        ScopeArchived, match=r"manager\.archive\.restore.*eliza-state archive restore"
    ) as caught:
        await manager.at(TALK).dispatch(Said(user="ada", text="five"))

    assert (TALK.encode(), True) == (caught.value.path, caught.value.restorable)


@pytest.mark.parametrize("path", [TALK, MESSAGE, OTHER])
async def test_so_is_one_to_a_scope_below(manager, path):
    await manager.archive.store(ROOM)

    with pytest.raises(ScopeArchived):
        await manager.dispatch(Said(user="ada", text="five"), to=path)

    assert 5 == await manager.position()


async def test_so_is_one_to_a_scope_below_that_is_new(manager):
    await manager.archive.store(ROOM)

    with pytest.raises(ScopeArchived):
        await manager.dispatch(Said(user="ada", text="five"), to=ROOM.child("conversation", "new"))


async def test_others_of_a_lenient_batch_go_on(manager):
    await manager.archive.store(TALK)
    events = [(Said(user="ada", text="five"), TALK), (Said(user="ada", text="six"), OTHER)]

    refused, change = await manager.dispatch_all(events, return_exceptions=True)

    assert isinstance(refused, ScopeArchived)
    assert 6 == change.position


async def test_a_strict_batch_is_refused_whole(manager):
    await manager.archive.store(TALK)
    events = [(Said(user="ada", text="five"), OTHER), (Said(user="ada", text="six"), TALK)]

    with pytest.raises(ScopeArchived):
        await manager.dispatch_all(events)

    assert 5 == await manager.position()


async def test_an_id_that_is_known_is_answered_with_its_record(opened, sqlite_url):
    manager = await opened(sqlite_url)
    first = await manager.dispatch(Said(user="ada", text="one"), to=TALK, id="m1")
    await manager.archive.store(TALK)

    again = await manager.dispatch(Said(user="ada", text="one"), to=TALK, id="m1")

    assert (True, first.position) == (again.duplicate, again.position)
    with pytest.raises(InvalidEvent):
        await manager.dispatch(Said(user="ada", text="another"), to=TALK, id="m1")


async def test_one_that_has_ended_says_so(manager):
    await manager.dispatch(Closed(), to=TALK)
    await manager.archive.store(TALK)

    with pytest.raises(ScopeArchived, match="has ended"):
        await manager.dispatch(Noted(), to=TALK)


@pytest.mark.parametrize("path", [TALK, MESSAGE])
async def test_a_store_may_bring_scopes_back_for_an_event(manager, opened, sqlite_url, path):
    await manager.archive.store(TALK, OTHER)
    another = await opened(sqlite_url, archived="restore")

    change = await another.at(path).dispatch(Said(user="ada", text="five"))

    assert 6 == change.position
    assert [OTHER] == [scope.path for scope in await another.archive.scopes()]


async def test_it_brings_back_for_a_batch_what_takes_events(manager, opened, sqlite_url):
    await manager.archive.store(TALK, OTHER)
    another = await opened(sqlite_url, archived="restore")
    said = Said(user="ada", text="five")

    await another.dispatch_all([Dispatch(said, TALK, id="m5"), Dispatch(said, OTHER)])

    assert [] == await another.archive.scopes()


async def test_it_does_not_for_an_id_that_is_known(opened, sqlite_url):
    manager = await opened(sqlite_url, archived="restore")
    await manager.dispatch(Said(user="ada", text="one"), to=TALK, id="m1")
    await manager.archive.store(TALK)

    assert (await manager.dispatch(Said(user="ada", text="one"), to=TALK, id="m1")).duplicate
    assert TALK == (await manager.archive.find(TALK)).path


async def test_no_other_word_is_taken(sqlite_url):
    with pytest.raises(StateError, match="'refuse'"):
        await StateManager.open(sqlite_url, archived="whatever")


# Restoring


async def test_what_comes_back_takes_events(manager):
    before = await chat.everything(manager)
    await manager.archive.store(TALK, OTHER)

    outcome = await manager.archive.restore(TALK)

    assert Restored(paths=(TALK,), records=3) == outcome
    assert before == await chat.everything(manager)
    await say(manager, TALK, "five")
    assert ["one", "two", "four", "five"] == await texts(manager)


async def test_a_scope_comes_back_with_what_lies_above_and_below(manager):
    await manager.archive.store(TALK)
    await manager.archive.store(AGENT)

    assert {TALK, AGENT} == set((await manager.archive.restore(ROOM)).paths)
    assert [] == await manager.archive.scopes()


async def test_nothing_comes_back_of_what_is_not_there(manager):
    assert Restored() == await manager.archive.restore(TALK)


async def test_segments_that_nothing_names_are_swept(manager):
    await manager.archive.store(TALK)
    await manager.archive.restore(TALK)

    assert [] == list(manager.archive.folder.glob("*.segment"))


async def test_it_can_go_and_come_again(manager):
    before = await chat.everything(manager)
    for _ in range(3):
        await manager.archive.store(TALK)
        await manager.archive.restore(TALK)

    assert before == await chat.everything(manager)


# Looking


async def test_what_is_there_is_listed(manager):
    await manager.archive.store(TALK, OTHER)
    (record,) = [record for record in await manager.root.records() if record.position == 4]

    first, second = await manager.archive.scopes()

    assert [OTHER, TALK] == [first.path, second.path]
    expected = ArchivedScope(
        path=TALK,
        records=3,
        first_position=1,
        last_position=4,
        version=3,
        last_event="said",
        last_activity=to_datetime(record.recorded_at_us),
        size_bytes=second.size_bytes,
        segments=second.segments,
    )
    assert expected == second


async def test_a_list_may_be_of_a_part(manager):
    await manager.archive.store(TALK, OTHER)

    assert [TALK] == [scope.path for scope in await manager.archive.scopes(after=3)]
    assert [OTHER] == [scope.path for scope in await manager.archive.scopes(limit=1)]
    assert [TALK] == [scope.path for scope in await manager.archive.scopes(TALK)]
    assert [] == await manager.archive.scopes(MESSAGE)


def test_scripts_have_the_same(sqlite_url):
    with SyncStateManager.open(sqlite_url, modules=chat.modules()) as manager:
        manager.dispatch(Said(user="ada", text="one"), to=TALK)

        assert (TALK,) == manager.archive.store(manager.at(TALK)).paths
        assert [TALK] == [scope.path for scope in manager.archive.scopes(ROOM.encode())]
        assert TALK == manager.archive.find(MESSAGE).path
        assert manager.archive.folder is not None
        assert (TALK,) == manager.archive.restore(TALK).paths
