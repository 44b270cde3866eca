"""Several events as one, and events that are decided on the state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.dispatcher import Dispatch
from eliza_state.errors import (
    InvalidEvent,
    ReducerError,
    Rejected,
    StaleState,
    StateError,
    UnknownTransition,
)
from tests.eliza_state import chat
from tests.eliza_state.chat import (
    AGENT,
    OTHER,
    ROOM,
    TALK,
    Drawn,
    Exploded,
    Joined,
    Noted,
    Said,
    TalkModule,
    Typing,
    everything,
)

HELLO = Said(user="ada", text="hello")


# Several at once


async def test_a_batch_takes_place_as_one(manager):
    batch = [(HELLO, TALK), (Joined(user="bob"), ROOM), (Drawn(amount=3), AGENT.encode()), (HELLO, TALK)]
    changes = await manager.dispatch_all(batch)

    assert [(1, 1), (2, 1), (3, 1), (4, 2)] == [(change.position, change.version) for change in changes]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ((Drawn(amount=99), AGENT), Rejected),
        ((Exploded(level="global"), TALK), ReducerError),
        ((Noted(), AGENT), UnknownTransition),
        (Dispatch("said", TALK, payload={"user": 1}), InvalidEvent),
        (Dispatch(HELLO, TALK, expected_version=7), StaleState),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 3])
async def test_one_refusal_takes_back_the_batch(manager, bad, error, place):
    await manager.dispatch(HELLO, to=TALK)
    before = await everything(manager)
    batch: list[Any] = [(HELLO, TALK), Dispatch(HELLO, OTHER, id="x"), (Typing(user="ada"), TALK)]
    batch.insert(place, bad)

    with pytest.raises(error):
        await manager.dispatch_all(batch)

    assert before == await everything(manager)
    assert not (await manager.dispatch(HELLO, to=OTHER, id="x")).duplicate


async def test_a_lenient_batch_leaves_out_what_is_refused(manager):
    outcomes = await manager.dispatch_all(
        [
            (Drawn(amount=6), AGENT),
            (Drawn(amount=6), AGENT),
            Dispatch("said", TALK, payload={"user": 1}),
            (Exploded(level="agent"), TALK),
            (Drawn(amount=4), AGENT),
            (Noted(), AGENT),
        ],
        return_exceptions=True,
    )

    assert [None, Rejected, InvalidEvent, ReducerError, None, UnknownTransition] == [
        type(outcome) if isinstance(outcome, StateError) else None for outcome in outcomes
    ]
    assert (await manager.at(AGENT).state("budget")).left == 0
    assert [1, 2] == [record.position for record in await manager.root.records()]


async def test_an_empty_batch_does_nothing(manager):
    assert await manager.dispatch_all([]) == []
    assert await manager.position() == 0


async def test_a_batch_of_volatile_events_alone_is_not_journaled(manager):
    await manager.dispatch_all([(Typing(user="ada"), TALK), (Typing(user="bob"), TALK)])

    assert (await manager.at(TALK).state("presence")).typing == ("ada", "bob")
    assert await manager.position() == 0


# Deciding on the state


async def test_a_decision_sees_the_slice_and_its_events_follow(manager):
    changes = await manager.execute(AGENT, lambda budget: [Drawn(amount=budget.left)] * 1, module="budget")

    assert [1] == [change.position for change in changes]
    assert (await manager.at(AGENT).state("budget")).left == 0


async def test_a_decision_may_see_all_slices_and_do_nothing(manager):
    seen = []

    def decide(slices):
        seen.append(slices)
        return []

    assert await manager.execute(TALK, decide) == []
    assert [{"talk": chat.Talk(), "presence": chat.Presence()}] == seen


async def test_deciding_concurrently_loses_no_update(manager):
    def decide(talk):
        return [Said(user="ada", text=str(len(talk.texts)))]

    await asyncio.gather(*(manager.execute(TALK, decide, module=TalkModule) for _ in range(40)))

    assert [str(number) for number in range(40)] == list((await manager.at(TALK).state("talk")).texts)


async def test_deciding_in_two_managers_loses_no_update(opened, sqlite_url):
    managers = await opened(sqlite_url), await opened(sqlite_url)

    def decide(talk):
        return [Said(user="ada", text=str(len(talk.texts)))]

    await asyncio.gather(*(managers[n % 2].execute(TALK, decide, module="talk") for n in range(40)))
    for manager in managers:
        await manager.refresh()

        assert [str(n) for n in range(40)] == list((await manager.at(TALK).state("talk")).texts)


async def test_what_a_decision_raises_comes_back(manager):
    def decide(slices):
        raise LookupError("undecided")

    with pytest.raises(LookupError, match="undecided"):
        await manager.execute(TALK, decide)


async def test_a_decision_that_is_refused_changes_nothing(manager):
    before = await everything(manager)

    with pytest.raises(Rejected):
        await manager.execute(TALK, lambda _: [HELLO, Said(user="ada")])

    assert before == await everything(manager)
