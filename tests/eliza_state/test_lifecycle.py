"""The life of a scope: the table, and the phases that a manager shows."""

from __future__ import annotations

import itertools

import pytest

from eliza_state.errors import ScopeArchived
from eliza_state.lifecycle import TRANSITIONS, IllegalStep, Phase, Step, advance
from tests.eliza_state.chat import OTHER, ROOM, TALK, Closed, Joined, Noted, Said, Typing

PAIRS = list(itertools.product(Phase, Step))


@pytest.mark.parametrize(("phase", "step"), [pair for pair in PAIRS if pair in TRANSITIONS])
def test_a_step_of_the_table_leads_where_the_table_says(phase, step):
    assert TRANSITIONS[phase, step] is advance(phase, step)


@pytest.mark.parametrize(("phase", "step"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_any_other_step_is_refused_with_what_is_possible(phase, step):
    with pytest.raises(
        IllegalStep, match=f"a scope that is {phase.value} cannot {step.value}; it can"
    ) as caught:
        advance(phase, step)

    assert (phase, step) == (caught.value.phase, caught.value.step)


def test_every_phase_can_be_reached_and_left():
    assert set(Phase) - {Phase.INITIALIZED} <= set(TRANSITIONS.values())
    assert set(Phase) == {phase for phase, _ in TRANSITIONS}


# As seen from a manager


async def test_a_scope_is_active_when_it_is_looked_at(manager):
    assert await manager.at(TALK).phase() is Phase.ACTIVE


async def test_a_receiver_sees_the_scope_persisted_and_later_readers_active(manager):
    scope, seen = manager.at(TALK), []
    await scope.state()
    manager.subscribe(lambda change: seen.append(manager.core.scopes.find(change.path).phase))
    await scope.dispatch(Said(user="ada", text="hello"))

    assert [Phase.PERSISTED] == seen
    assert await scope.phase() is Phase.ACTIVE


async def test_the_last_event_archives(manager):
    await manager.dispatch(Closed(), to=TALK)

    assert await manager.at(TALK).phase() is Phase.ARCHIVED
    assert (await manager.at(TALK).state("talk")).closed


@pytest.mark.parametrize("event", [Said(user="ada", text="x"), Typing(user="ada"), Noted(), Closed()])
async def test_an_archived_scope_takes_no_event(manager, event):
    await manager.dispatch(Closed(), to=TALK)
    before = await manager.state()

    with pytest.raises(ScopeArchived, match="has ended and takes no more events") as caught:
        await manager.dispatch(event, to=TALK)

    assert caught.value.path == TALK.encode()
    assert await manager.state() == before


async def test_a_scope_below_an_archived_one_takes_no_event(manager):
    below = TALK.child("message", "m1")
    await manager.dispatch(Closed(), to=TALK)

    with pytest.raises(ScopeArchived) as caught:
        await manager.dispatch(Said(user="ada", text="x"), to=below)

    assert caught.value.path == TALK.encode()


async def test_scopes_beside_and_above_an_archived_one_go_on(manager):
    await manager.dispatch(Closed(), to=TALK)
    await manager.dispatch(Said(user="ada", text="x"), to=OTHER)
    await manager.dispatch(Joined(user="bob"), to=ROOM)

    assert list((await manager.at(ROOM).state("people")).names) == ["ada", "bob"]


async def test_an_event_behind_the_last_one_of_its_batch_is_refused(manager):
    with pytest.raises(ScopeArchived):
        await manager.dispatch_all([(Closed(), TALK), (Said(user="ada", text="x"), TALK)])

    assert await manager.at(TALK).phase() is Phase.ACTIVE
    assert await manager.at(TALK).version() == 0
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)


async def test_archived_outlives_the_process(opened, sqlite_url):
    first = await opened(sqlite_url)
    await first.dispatch(Closed(), to=TALK)
    await first.close()
    manager = await opened(sqlite_url)

    assert await manager.at(TALK).phase() is Phase.ARCHIVED
    with pytest.raises(ScopeArchived):
        await manager.dispatch(Said(user="ada", text="x"), to=TALK)


async def test_an_end_that_others_wrote_is_taken_in(opened, sqlite_url):
    one, other = await opened(sqlite_url), await opened(sqlite_url)
    await other.at(TALK).state()
    await one.dispatch(Closed(), to=TALK)

    with pytest.raises(ScopeArchived):
        await other.dispatch(Said(user="ada", text="x"), to=TALK)
    assert await other.at(TALK).phase() is Phase.ARCHIVED
