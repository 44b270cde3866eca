"""Queries over scopes themselves."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from eliza_state import StateManager
from eliza_state.query import F, InvalidQuery, ScopeMatch
from eliza_state.testing import ManualClock
from tests.eliza_state.query.forum import ROOM, ForumClosed, ForumModule, post, talk


async def filled(manager: StateManager) -> None:
    for number in range(4):
        await manager.dispatch(post("m1"), to=talk(f"c{number}"))
    await manager.dispatch(post("m2"), to=talk("c1"))
    await manager.dispatch(ForumClosed(), to=talk("c2"))


def paths(answer: Any) -> list[str]:
    return [scope.id for scope in answer]


@pytest.fixture(params=["memory", "file", "read only"])
async def store(request, open_forum, memory) -> Any:
    if request.param == "memory":
        await filled(memory)
        return memory
    manager = await open_forum()
    await filled(manager)
    return manager if request.param == "file" else await open_forum(read_only=True)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (F.level == "conversation", ["c0", "c1", "c2", "c3"]),
        ((F.level == "conversation") & (F.phase == "active"), ["c0", "c1", "c3"]),
        (F.phase == "archived", ["c2"]),
        (F.version >= 2, ["c1", "c2"]),
        (F.path.startswith("agent:eliza/room:general/"), ["c0", "c1", "c2", "c3"]),
        (F.id.in_(["general", "c3"]), ["general", "c3"]),
        (F.last_activity < "2020-01-01", []),
        ((F.position > 4) & (F.level == "conversation"), ["c1", "c2"]),
    ],
)
async def test_scopes_are_found_by_what_is_known_of_them(store, condition, found):
    answer = await store.queries.scopes(where=condition)

    assert paths(answer) == found
    assert answer.position == 6


async def test_a_match_says_what_the_scope_says(store):
    for match in await store.queries.scopes(below=ROOM):
        scope = store.at(match.path)

        assert match == ScopeMatch(
            path=match.path,
            level=scope.level,
            id=match.path.id,
            version=await scope.version(),
            position=match.position,
            last_activity=await scope.last_activity(),
            phase=(await scope.phase()).value,
        )


async def test_scopes_have_an_order_pages_and_a_place(store):
    first = await store.queries.scopes(below=ROOM, order_by="-position", limit=3)
    second = await store.queries.scopes(below=ROOM, order_by="-position", limit=3, after=first.cursor)

    assert (paths(first), paths(second)) == (["general", "c2", "c1"], ["c3", "c0"])


@pytest.mark.parametrize("order", [(), "path", "last_activity", "-last_activity", ("level", "path")])
@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_pages_in_any_order_are_the_whole(store, order, limit):
    where = (F.level == "conversation") & (F.version > 0)
    whole = await store.queries.scopes(where=where, order_by=order)
    paged, cursor = [], None
    while not paged or cursor is not None:
        page = await store.queries.scopes(where=where, order_by=order, limit=limit, after=cursor)
        paged += page
        cursor = page.cursor

    assert list(whole) == paged


async def test_idle_scopes_are_found_as_a_cleaner_asks(tmp_path):
    clock = ManualClock()
    url = f"sqlite:///{tmp_path}/state.db"
    async with StateManager.open(url, modules=[ForumModule()], clock=clock) as manager:
        await manager.dispatch(post("m1"), to=talk("old"))
        clock.advance(ms=7 * 24 * 3_600_000)
        await manager.dispatch(post("m1"), to=talk("new"))
        week_ago = (await manager.at(talk("new")).last_activity()) - datetime.timedelta(days=6)
        answer = await manager.queries.scopes(
            where=(F.level == "conversation") & (F.last_activity < week_ago), below="agent:eliza"
        )

        assert paths(answer) == ["old"]


async def test_the_table_is_brought_up_to_date(open_forum):
    manager, other = await open_forum(), await open_forum()
    await filled(manager)
    await manager.queries.scopes()
    await other.dispatch(post("m9"), to=talk("c9"))
    await other.dispatch(ForumClosed(), to=talk("c0"))
    await other.queries.scopes()

    assert paths(await manager.queries.scopes(where=F.version > 0)) == ["c0", "c1", "c2", "c3", "c9"]
    assert paths(await manager.queries.scopes(where=F.phase == "archived")) == ["c0", "c2"]


async def test_the_table_can_be_brought_up_to_date_in_slices(open_forum):
    manager = await open_forum()
    await filled(manager)
    steps = [await manager.queries.catch_up(records=2) for _ in range(4)]

    assert steps == [True, True, False, False]
    assert paths(await manager.queries.scopes(where=F.version > 0)) == ["c0", "c1", "c2", "c3"]


async def test_a_table_that_is_ahead_stays_there(open_forum):
    """One process never takes back what another, which has read further, has written."""
    manager, other = await open_forum(), await open_forum()
    await filled(manager)
    await manager.queries.scopes()
    await other.queries.catch_up(records=1)
    await other.refresh()

    assert len(await other.queries.scopes(where=F.level == "conversation")) == 4
    assert not await other.queries.catch_up(records=1)


async def test_a_store_that_has_no_table_has_nothing_to_catch_up_with(memory):
    await filled(memory)

    assert not await memory.queries.catch_up(records=1)


async def test_an_unknown_field_is_an_error(memory):
    with pytest.raises(InvalidQuery, match="no field 'last_active'; did you mean 'last_activity'"):
        await memory.queries.scopes(where=F.last_active < "2026-01-01")
