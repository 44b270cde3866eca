"""Several managers on one store, of which one moves scopes into the archive and back."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.errors import ScopeArchived
from tests.eliza_state.archive.conftest import say, texts
from tests.eliza_state.chat import OTHER, ROOM, TALK, Joined, Said


@pytest.fixture
async def another(manager, opened, sqlite_url):
    """Another manager that has all scopes in memory."""
    another = await opened(sqlite_url)
    await another.state()
    return another


async def test_one_that_does_not_know_is_refused_by_the_journal(manager, another):
    await manager.archive.store(TALK)

    with pytest.raises(ScopeArchived) as caught:
        await say(another, TALK, "five")

    assert caught.value.restorable
    assert ["one", "two", "four"] == await texts(another)


async def test_what_is_dispatched_beside_it_goes_on(manager, another):
    await manager.archive.store(TALK)

    outcomes = await asyncio.gather(
        another.dispatch(Said(user="ada", text="five"), to=TALK),
        another.dispatch(Said(user="ada", text="six"), to=OTHER),
        another.dispatch(Said(user="ada", text="seven"), to=TALK),
        another.dispatch(Joined(user="cy"), to=ROOM),
        return_exceptions=True,
    )

    assert [True, False, True, False] == [isinstance(outcome, ScopeArchived) for outcome in outcomes]
    assert ["three", "six"] == await texts(another, OTHER)
    assert ["one", "two", "four"] == await texts(another)


async def test_one_that_does_not_know_brings_it_back(manager, opened, sqlite_url):
    another = await opened(sqlite_url, archived="restore")
    await another.state()
    await manager.archive.store(TALK)

    await another.dispatch(Said(user="ada", text="five"), to=TALK)
    await manager.archive.store(TALK)
    await say(another, TALK, "six")

    await manager.refresh()
    assert ["one", "two", "four", "five", "six"] == await texts(manager)


async def test_what_another_has_brought_back_takes_events_here(manager, another):
    await manager.archive.store(TALK)
    await another.archive.restore(TALK)

    await say(manager, TALK, "five")

    assert ["one", "two", "four", "five"] == await texts(manager)


async def test_what_was_written_and_archived_meanwhile_is_part_of_what_lies_above(manager, another):
    await say(another, TALK, "five")
    await another.archive.store(TALK)
    await say(another, OTHER, "six")

    await say(manager, OTHER, "seven")

    assert await another.refresh() == await manager.position()
    assert await another.root.state() == await manager.root.state()
    assert ["one", "two", "four", "five"] == await texts(manager)


async def test_two_may_archive_at_once(manager, another):
    before = await manager.state()

    outcomes = await asyncio.gather(*(each.archive.store(TALK, OTHER) for each in (manager, another)))

    assert {TALK, OTHER} == {path for outcome in outcomes for path in outcome.paths}
    assert 4 == sum(outcome.records for outcome in outcomes)
    assert before == await manager.state() == await another.state()


async def test_scopes_may_come_and_go_while_everything_is_read(manager, another):
    await say(manager, OTHER, *map(str, range(300)))
    await another.refresh()
    records = await manager.root.records(limit=None)

    async def read() -> None:
        while not moving.done():
            assert records == await another.root.records(limit=None)

    async def move() -> None:
        for _ in range(3):
            await manager.archive.store(TALK, OTHER)
            await manager.archive.restore(ROOM)

    moving = asyncio.create_task(move())
    await asyncio.gather(moving, read())
