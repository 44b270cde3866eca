"""Snapshots: the very states, their figures, equality."""

from __future__ import annotations

import datetime

import pytest

from eliza_state.debugger import Debugger
from eliza_state.errors import StateError
from eliza_state.manager import StateManager
from eliza_state.path import Path
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Said, TalkModule, Typing
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)


async def test_it_holds_the_very_states(debugger: Debugger, manager: StateManager) -> None:
    snapshot = await debugger.snapshot()

    assert list(snapshot.scopes) == [Path(), AGENT, ROOM, TALK, OTHER]
    assert snapshot.state(TALK, TalkModule) is await manager.at(TALK).state(TalkModule)


async def test_it_says_when_and_of_what_it_is(debugger: Debugger) -> None:
    snapshot = await debugger.snapshot()

    assert snapshot.position == len(HISTORY)
    assert snapshot.recorded_at == START + 7 * SECOND
    assert snapshot.metadata.modules == dict.fromkeys(["totals", "budget", "people", "talk", "presence"], 1)
    assert (snapshot.metadata.scopes, snapshot.metadata.records) == (5, 8)
    assert snapshot.metadata.versions == {Path(): 0, AGENT: 1, ROOM: 1, TALK: 4, OTHER: 2}


async def test_of_a_subtree_and_of_one_scope(debugger: Debugger) -> None:
    assert list((await debugger.snapshot(ROOM)).scopes) == [ROOM, TALK, OTHER]
    assert list((await debugger.snapshot(ROOM.encode(), depth=0)).scopes) == [ROOM]


async def test_of_scopes_that_are_not_in_memory(opened: Open, sqlite_url: str) -> None:
    first = await opened(sqlite_url)
    await first.dispatch(Said(user="ada", text="hello"), to=TALK)
    debugger = Debugger(await opened(sqlite_url, read_only=True))

    assert await debugger.snapshot() == await Debugger(first).snapshot()


async def test_they_are_equal_by_their_states(debugger: Debugger, manager: StateManager) -> None:
    before = await debugger.snapshot()
    await manager.dispatch("noted", {"text": "no effect"}, to=TALK)
    noted = await debugger.snapshot()
    await manager.dispatch(Said(user="ada", text="more"), to=TALK)

    assert before == noted
    assert before.position < noted.position
    assert before != await debugger.snapshot()


async def test_an_empty_store(opened: Open) -> None:
    snapshot = await Debugger(await opened()).snapshot()

    assert (snapshot.position, snapshot.recorded_at, list(snapshot.scopes)) == (0, None, [Path()])


async def test_volatile_state_is_in_the_present(debugger: Debugger, manager: StateManager) -> None:
    await manager.dispatch(Typing(user="bo"), to=TALK)

    assert (await debugger.snapshot()).state(TALK, "presence").typing == ("bo",)


async def test_what_it_does_not_hold_is_an_error(debugger: Debugger) -> None:
    snapshot = await debugger.snapshot()

    with pytest.raises(StateError, match="no scope 'agent:elisa'; it has 'agent:eliza'"):
        snapshot.state("agent:elisa")
    with pytest.raises(StateError, match=r"no slice 'talks' .*; there: talk, presence"):
        snapshot.state(TALK, "talks")


async def test_its_repr_is_short(debugger: Debugger) -> None:
    assert repr(await debugger.snapshot()) == (
        "StateSnapshot(position=8, scopes: '', 'agent:eliza', 'agent:eliza/room:general', … 2 more)"
    )
