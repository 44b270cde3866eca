"""Handles on scopes: ways down, reading now and back then, trees."""

from __future__ import annotations

import pytest

from eliza_state.errors import InvalidPath, RegistrationError, StateError
from eliza_state.testing import ManualClock
from tests.eliza_state import chat
from tests.eliza_state.chat import (
    AGENT,
    OTHER,
    ROOM,
    TALK,
    BudgetModule,
    Joined,
    Noted,
    Said,
    TalkModule,
    Typing,
)


async def three(manager) -> None:
    await manager.dispatch(Said(user="ada", text="one"), to=TALK)
    await manager.dispatch(Joined(user="bob"), to=ROOM)
    await manager.dispatch(Said(user="cy", text="two"), to=TALK)


async def test_ways_down_give_the_handles(opened):
    manager = await opened()
    room = manager.agent("eliza").room("general")

    assert room.conversation("c1").path == TALK
    assert manager.agent("eliza").child("room", "general").path == ROOM
    assert room.conversation("c1").message("m").path == TALK.child("message", "m")
    assert manager.agent("eliza").user("ada").path == AGENT.child("user", "ada")
    assert ("global", "room") == (manager.root.level, room.level)


async def test_a_level_that_is_not_below_is_refused(opened):
    manager = await opened()

    with pytest.raises(InvalidPath, match="leaves the hierarchy"):
        manager.agent("eliza").conversation("c1")


async def test_a_state_goes_by_class_name_or_all_together(manager):
    await three(manager)
    scope = manager.at(TALK)

    assert await scope.state(TalkModule) is await scope.state("talk") is (await scope.state())["talk"]


@pytest.mark.parametrize("module", ["totals", "tolk", BudgetModule])
async def test_a_module_that_is_not_at_this_level_is_refused(manager, module):
    with pytest.raises(RegistrationError, match="registered there: talk, presence"):
        await manager.at(TALK).state(module)


async def test_what_is_read_is_the_readers_own(manager):
    await three(manager)
    (await manager.at(TALK).state()).clear()

    assert set(await manager.at(TALK).state()) == {"talk", "presence"}


async def test_the_state_at_an_earlier_position(manager):
    await three(manager)
    texts = [list((await manager.at(TALK).state("talk", at=at)).texts) for at in range(4)]
    names = [list((await manager.at(ROOM).state("people", at=at)).names) for at in range(4)]

    assert [[], ["one"], ["one"], ["one", "two"]] == texts
    assert [[], ["ada"], ["ada", "bob"], ["ada", "bob", "cy"]] == names


@pytest.mark.parametrize("at", [-1, 4, 1_000])
async def test_a_position_that_is_not_there_is_refused(manager, at):
    await three(manager)

    with pytest.raises(StateError, match="a position from 0 to 3"):
        await manager.at(TALK).state(at=at)


async def test_the_past_of_an_unknown_scope_is_initial(manager):
    await three(manager)

    assert await manager.at(OTHER).state("talk", at=2) == chat.Talk()


async def test_children_are_those_with_records_oldest_first(manager):
    await manager.dispatch(Noted(), to=ROOM.child("conversation", "z"))
    await three(manager)
    await manager.at(OTHER).state()
    await manager.dispatch(Joined(user="x"), to=AGENT.child("room", "another"))

    assert [ROOM.child("conversation", "z"), TALK] == [
        child.path for child in await manager.at(ROOM).children()
    ]
    assert [ROOM, AGENT.child("room", "another")] == [
        child.path for child in await manager.at(AGENT).children()
    ]
    assert await manager.at(OTHER).children() == []


async def test_children_are_known_before_they_are_written(opened, sqlite_url):
    manager = await opened(sqlite_url, durability="buffered")
    await three(manager)

    assert [TALK] == [child.path for child in await manager.at(ROOM).children()]


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        ({}, [1, 2, 3, 4]),
        ({"after": 2}, [3, 4]),
        ({"until": 3}, [1, 2, 3]),
        ({"until": 99}, [1, 2, 3, 4]),
        ({"after": 1, "until": 3}, [2, 3]),
        ({"limit": 2}, [1, 2]),
        ({"limit": None}, [1, 2, 3, 4]),
        ({"newest_first": True, "limit": 2}, [4, 3]),
        ({"newest_first": True, "until": 2}, [2, 1]),
        ({"limit": 0}, []),
        ({"after": 9}, []),
    ],
)
async def test_records_come_in_pages(manager, options, positions):
    await three(manager)
    await manager.dispatch(Noted(), to=TALK)

    assert positions == [record.position for record in await manager.root.records(**options)]


async def test_records_are_those_at_or_below_the_scope(manager):
    await three(manager)
    await manager.dispatch(Joined(user="x"), to=AGENT.child("room", "general2"))

    assert [1, 2, 3] == [record.position for record in await manager.at(ROOM).records()]
    assert [1, 3] == [record.position for record in await manager.at(TALK).records()]


async def test_the_last_activity_counts_what_happens_below(opened, url):
    clock = ManualClock()
    manager = await opened(url, clock=clock)
    await manager.dispatch(Joined(user="ada"), to=ROOM)
    clock.advance(ms=5)
    await manager.dispatch(Noted(), to=TALK)

    assert clock.now == await manager.at(ROOM).last_activity() == await manager.at(TALK).last_activity()


async def test_a_tree_goes_as_deep_as_wanted(manager):
    await three(manager)
    flat = await manager.at(AGENT).tree(depth=0)
    deeper = await manager.at(AGENT).tree(depth=1)

    assert flat.children == ()
    assert [ROOM] == [child.path for child in deeper.children]
    assert deeper.children[0].children == ()


async def test_a_tree_of_the_past_is_one_cut(manager):
    await three(manager)
    await manager.dispatch(Said(user="dan", text="x"), to=OTHER)
    tree = await manager.root.tree(at=2)
    ((room,),) = (agent.children for agent in tree.children)

    assert [TALK] == [child.path for child in room.children]
    assert (2, 1) == (room.position, room.version)
    assert tree.slices["totals"].events == 2


async def test_a_tree_is_the_same_from_memory_and_from_the_store(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await three(manager)
    tree = await manager.state()
    await manager.close()
    manager = await opened(sqlite_url)

    assert tree == await manager.state()
    assert tree == await manager.root.tree(at=3)


async def test_a_volatile_slice_has_no_past(manager):
    await three(manager)
    await manager.dispatch(Typing(user="ada"), to=TALK)

    assert (await manager.at(TALK).state("presence")).typing == ("ada",)
    assert (await manager.at(TALK).state("presence", at=3)).typing == ()
