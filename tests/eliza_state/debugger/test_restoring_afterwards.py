"""What others make of a restore: copies, erasures, followers, and the rest of the debugger."""

from __future__ import annotations

import sqlite3
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.debugger import Debugger
from eliza_state.event import ScopeErased, ScopeRestored
from eliza_state.followers import RecordedEvent
from eliza_state.lifecycle import Phase
from eliza_state.manager import StateManager
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Noted, Said, TalkModule
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY
from tests.eliza_state.debugger.test_restoring_stores import say, texts

END = len(HISTORY)


# Copies


@pytest.mark.parametrize("path", ["", TALK.encode(), ROOM.encode()])
async def test_a_fork_comes_to_the_same(manager: StateManager, debugger: Debugger, path: str) -> None:
    await debugger.restore(3, ROOM)
    await say(manager, "on")
    await debugger.restore(END + 1, OTHER)

    async with debugger.fork("memory://", path=path) as fork:
        for place in (TALK,) if path == TALK.encode() else (ROOM, TALK, OTHER):
            assert await manager.at(place).state() == await fork.at(place).state()
        assert [] == list(fork.problems)


async def test_a_part_of_a_restored_scope_is_restored_as_far_as_it_goes(
    manager: StateManager, debugger: Debugger
) -> None:
    await debugger.restore(5, ROOM, below=False)

    async with debugger.fork("memory://", path=TALK) as fork:
        assert {"ada", "bo"} == set((await fork.at(ROOM).state("people")).names)
        assert [] == list(fork.problems)


async def test_a_session_takes_restores_along(
    manager: StateManager, debugger: Debugger, opened: Open, tmp_path: FilePath
) -> None:
    await debugger.restore(3, ROOM)
    await say(manager, "on")
    await debugger.export_session(tmp_path / "session", ROOM)
    target = await opened()
    await say(target, "of its own", to=OTHER)
    place = AGENT.child("room", "elsewhere")

    await Debugger(target).import_session(tmp_path / "session", to=place)

    assert ["hello", "Hello yourself", "on"] == await texts(target, place.child("conversation", "c1"))
    assert [] == await texts(target, place.child("conversation", "c2"))


async def test_what_leads_to_what_is_not_there_is_left_out_and_told(
    manager: StateManager, debugger: Debugger, opened: Open, tmp_path: FilePath
) -> None:
    await debugger.restore(3, TALK)
    await debugger.export_session(tmp_path / "session", TALK, first=6)
    target = await opened()

    await Debugger(target).import_session(tmp_path / "session")

    assert ["bye"] == await texts(target)
    assert {"record"} == {problem.kind for problem in target.problems}


# Erasing, following, looking


async def test_what_was_erased_does_not_come_back(manager: StateManager, debugger: Debugger) -> None:
    await manager.erase(TALK, where=lambda event: getattr(event, "text", "") == "hello")

    await debugger.restore(3, TALK)

    assert ["Hello yourself"] == await texts(manager)


async def test_what_a_restore_led_to_can_be_erased(manager: StateManager, debugger: Debugger) -> None:
    await debugger.restore(3, TALK)

    erased = await manager.erase(TALK)

    assert [] == await texts(manager)
    restores = [record for record in await manager.root.records() if record.event == "scope_restored"]
    assert not any(record.is_erased for record in restores)
    assert 4 == erased.records


async def test_an_erasure_leaves_a_scope_open_that_a_restore_opened(
    manager: StateManager, debugger: Debugger
) -> None:
    await debugger.restore(7, OTHER)
    await manager.erase(OTHER)

    assert not manager.root.access.reading.recover_here(OTHER, await manager.position()).ended
    assert Phase.ACTIVE is await manager.at(OTHER).phase()


async def test_followers_hear_of_it_when_they_name_it(manager: StateManager, debugger: Debugger) -> None:
    heard: dict[str, list[str]] = {"all": [], "named": []}

    def hear(name: str) -> Any:
        return lambda told, _write: heard[name].append(type(told.event).__name__)

    await manager.follow("all", hear("all"), start="now")
    await manager.follow("named", hear("named"), start="now", events=[ScopeRestored, ScopeErased])
    await debugger.restore(3, TALK)
    await manager.followers.settled()

    assert {"all": [], "named": ["ScopeRestored"]} == heard


async def test_followers_keep_their_place(manager: StateManager, debugger: Debugger) -> None:
    heard: list[int] = []

    def hear(told: RecordedEvent, write: Any) -> None:
        heard.append(told.record.position)
        write(Noted(text="heard"))

    await manager.follow("hearing", hear, below=TALK, events=[Said])
    await manager.followers.settled()
    before = list(heard)

    await debugger.restore(3)
    await say(manager, "on")
    await manager.followers.settled()

    assert [*before, max(heard)] == heard
    past = await debugger.at(await manager.position())
    assert await past.state("", "followers") == await manager.root.state("followers")


async def test_blame_names_the_restore(manager: StateManager, debugger: Debugger) -> None:
    restored = await debugger.restore(3, TALK)

    blame = await debugger.blame(TALK, TalkModule, "counts[ada]")

    assert (restored.position, 1) == (blame.entry and blame.entry.position, blame.value)
    assert [restored.position, 7, 2] == [entry.position async for entry in blame.history()]


@pytest.mark.parametrize("linear", [False, True])
async def test_bisect_goes_through_it(manager: StateManager, debugger: Debugger, linear: bool) -> None:
    restored = await debugger.restore(5, OTHER)
    found = await debugger.bisect(
        lambda talk: not talk.closed, path=OTHER, module=TalkModule, low=END, linear=linear
    )

    assert found is not None
    assert (restored.position, "scope_restored") == (found.position, found.record and found.record.event)


async def test_a_replay_without_it_goes_on_from_what_was(manager: StateManager, debugger: Debugger) -> None:
    restored = await debugger.restore(3, TALK)
    await say(manager, "on")

    replay = await debugger.replay(TALK, skip=restored.position)

    assert ["hello", "Hello yourself", "bye", "on"] == list(replay.would_be.state(TALK, TalkModule).texts)


async def test_a_replay_restores_what_would_have_been(manager: StateManager, debugger: Debugger) -> None:
    await debugger.restore(3, TALK)

    replay = await debugger.replay(TALK, edit={2: {"text": "good day"}})

    assert ["good day", "Hello yourself"] == list(replay.would_be.state(TALK, TalkModule).texts)


async def test_a_damaged_one_is_left_out(opened: Open, sqlite_url: str) -> None:

    first = await opened(sqlite_url)
    await say(first, "one", "two")
    await Debugger(first).restore(1, TALK)
    await first.close()
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE record SET checksum = checksum + 1 WHERE position = 3")

    manager = await opened(sqlite_url, snapshots=False)

    assert ["one", "two"] == await texts(manager)
    assert await manager.at(TALK).state() == await (await Debugger(manager).at(3)).state(TALK)
    assert {"record"} == {problem.kind for problem in manager.problems}
