"""Records with ids of their own: the same one again changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.dispatcher import Dispatch
from eliza_state.errors import (
    InvalidEvent,
    Rejected,
)
from tests.eliza_state.chat import OTHER, TALK, Noted, Said, everything

HELLO = Said(user="ada", text="hello")


async def test_the_same_id_again_changes_nothing(manager):
    await manager.dispatch(HELLO, to=OTHER)
    first = await manager.dispatch(HELLO, to=TALK, id="once")
    before = await everything(manager)
    again = await manager.dispatch(HELLO, to=TALK, id="once")

    assert (first.position, first.version, True, ()) == (
        again.position,
        again.version,
        again.duplicate,
        again.slices,
    )
    assert before == await everything(manager)


async def test_the_same_id_by_name_and_payload_is_the_same_event(manager):
    await manager.dispatch(HELLO, to=TALK, id="once")

    assert (await manager.dispatch("said", {"user": "ada", "text": "hello"}, to=TALK, id="once")).duplicate


async def test_the_same_id_outlives_the_process(opened, sqlite_url):
    manager = await opened(sqlite_url)
    first = await manager.dispatch(HELLO, to=TALK, id="once")
    await manager.close()
    manager = await opened(sqlite_url)
    again = await manager.dispatch(HELLO, to=TALK, id="once")

    assert (first.position, first.version, True) == (again.position, again.version, again.duplicate)


@pytest.mark.parametrize("event", [Said(user="ada", text="bye"), Noted()])
async def test_the_same_id_with_another_event_is_refused(manager, event):
    await manager.dispatch(HELLO, to=TALK, id="once")
    before = await everything(manager)

    with pytest.raises(InvalidEvent, match="belongs to another event"):
        await manager.dispatch(event, to=TALK, id="once")

    assert before == await everything(manager)


async def test_the_same_id_on_another_path_is_another_record(manager):
    await manager.dispatch(HELLO, to=TALK, id="once")

    assert not (await manager.dispatch(HELLO, to=OTHER, id="once")).duplicate


async def test_the_same_id_on_its_way_is_one_record(manager):
    changes = await asyncio.gather(*(manager.dispatch(HELLO, to=TALK, id="once") for _ in range(20)))

    assert {(1, 1)} == {(change.position, change.version) for change in changes}
    assert [False] + [True] * 19 == sorted(change.duplicate for change in changes)
    assert await manager.at(TALK).version() == 1


async def test_the_same_id_on_its_way_with_another_event_is_refused(manager):
    outcomes = await asyncio.gather(
        manager.dispatch(HELLO, to=TALK, id="once"),
        manager.dispatch(Said(user="ada", text="bye"), to=TALK, id="once"),
        return_exceptions=True,
    )

    assert [False, InvalidEvent] == [getattr(outcomes[0], "duplicate", None), type(outcomes[1])]


async def test_an_id_that_was_refused_is_free(manager):
    with pytest.raises(Rejected):
        await manager.dispatch(Said(user="ada"), to=TALK, id="once")

    assert not (await manager.dispatch(HELLO, to=TALK, id="once")).duplicate


async def test_the_same_id_twice_in_one_batch_is_one_record(manager):
    twice = [Dispatch(HELLO, TALK, id="once")] * 2
    changes = await manager.dispatch_all(twice)

    assert [(1, False), (1, True)] == [(change.position, change.duplicate) for change in changes]
    assert await manager.at(TALK).version() == 1
