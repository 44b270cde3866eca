"""Queries after a restore: the indexes hold what the states hold, loaded or not."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_state import StateManager
from eliza_state.debugger import Debugger
from eliza_state.query import F
from tests.eliza_state.query.forum import ROOM, ForumClosed, ForumModule, PostRemoved, post, talk


async def filled(manager: StateManager) -> int:
    """Posts in ten talks, then more of them; return the position between."""
    for number in range(10):
        await manager.dispatch(post(f"m{number}", author="ada"), to=talk(f"c{number}"))
    position = await manager.position()
    for number in range(10):
        await manager.dispatch(post(f"n{number}", author="bo"), to=talk(f"c{number}"))
    await manager.dispatch(PostRemoved(id="m3"), to=talk("c3"))
    return position


async def keys(manager: StateManager, author: str) -> list[str]:
    return sorted(match.key for match in await manager.query(ForumModule, where=F.author == author))


async def test_what_was_undone_is_not_found_wherever_it_is(open_forum: Any) -> None:
    manager = await open_forum()
    position = await filled(manager)
    before = await keys(manager, "bo")

    await Debugger(manager).restore(position, ROOM)

    assert (10, []) == (len(before), await keys(manager, "bo"))
    assert [f"m{number}" for number in range(10)] == await keys(manager, "ada")
    assert 10 == await manager.queries.count(ForumModule)


@pytest.mark.parametrize("is_asked_before", [False, True])
async def test_another_manager_finds_what_is_there(open_forum: Any, is_asked_before: bool) -> None:
    manager, other = await open_forum(), await open_forum()
    position = await filled(manager)
    await other.refresh()
    if is_asked_before:
        await keys(other, "bo")
    await Debugger(manager).restore(position, ROOM)

    await other.refresh()

    assert [] == await keys(other, "bo")
    assert [f"m{number}" for number in range(10)] == await keys(other, "ada")


async def test_a_file_from_before_is_brought_up_to_it(open_forum: Any) -> None:
    first = await open_forum()
    position = await filled(first)
    await keys(first, "bo")
    await first.close()
    manager = await open_forum()
    await Debugger(manager).restore(position, talk("c3"))
    await manager.close()

    again = await open_forum()

    assert 9 == len(await keys(again, "bo"))
    assert "m3" in await keys(again, "ada")
    reader = await open_forum(read_only=True)
    assert await keys(again, "ada") == await keys(reader, "ada")


@pytest.mark.parametrize("kind", ["file", "memory"])
async def test_scopes_that_go_on_are_active(open_forum: Any, memory: StateManager, kind: str) -> None:
    manager = await open_forum() if kind == "file" else memory
    position = await filled(manager)
    for name in ("c1", "c2"):
        await manager.dispatch(ForumClosed(), to=talk(name))
    ended = [scope.id for scope in await manager.queries.scopes(where=F.phase == "archived")]

    await Debugger(manager).restore(position, talk("c1"))
    await Debugger(manager).restore(0, talk("c2"))

    assert ["c1", "c2"] == ended
    assert [] == list(await manager.queries.scopes(where=F.phase == "archived"))
