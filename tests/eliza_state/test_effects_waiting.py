"""What a running effect may wait for: later events, and what becomes of the state."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.effects import Effects
from tests.eliza_state.chat import OTHER, ROOM, TALK, Joined, Noted, Said, TalkModule


@pytest.fixture
async def effects(manager):
    async with Effects(manager) as effects:
        yield effects


def said(text: object) -> Said:
    return Said(user="ada", text=str(text))


def started(effects: Effects, use) -> asyncio.Future:
    """Start an effect on what is said in the first talk; the future gives what `use(context)` returns."""
    outcome = asyncio.get_running_loop().create_future()

    async def effect(change, context):
        listener.cancel()
        try:
            outcome.set_result(await use(context))
        except Exception as error:  # noqa: BLE001  # whatever it is, the test looks at it
            outcome.set_exception(error)

    listener = effects.on(Said, effect, below=TALK)
    return outcome


async def test_take_gives_the_next_change_by_the_event(manager, effects):
    waiting = asyncio.Event()

    async def use(context):
        taken = context.take(Joined)
        waiting.set()
        return await taken

    outcome = started(effects, use)
    await manager.dispatch(said("hello"), to=TALK)
    await waiting.wait()
    await manager.dispatch(said("other"), to=OTHER)
    change = await manager.dispatch(Joined(user="bo"), to=ROOM)
    await manager.dispatch(Joined(user="cy"), to=ROOM)

    assert change == await outcome


async def test_take_gives_none_when_the_time_has_passed(manager, effects):
    outcome = started(effects, lambda context: context.take(Joined, timeout_s=0.01))
    await manager.dispatch(said("hello"), to=TALK)

    assert None is await outcome


async def test_take_listens_before_it_is_awaited(manager, effects):
    async def use(context):
        answer = context.take(Joined, timeout_s=10)
        await context.dispatch(Joined(user="bo"), to=ROOM)
        return await answer

    outcome = started(effects, use)
    await manager.dispatch(said("hello"), to=TALK)

    assert "bo" == (await outcome).event.user


async def test_take_asks_for_a_place_and_for_more(manager, effects):
    async def use(context):
        answer = context.take(Said, below=OTHER, where=lambda change: change.event.text == "yes")
        for text, to in [("yes", TALK), ("no", OTHER), ("yes", OTHER)]:
            await context.dispatch(said(text), to=to)
        return await answer

    outcome = started(effects, use)
    await manager.dispatch(said("hello"), to=TALK)
    change = await outcome

    assert ("yes", OTHER) == (change.event.text, change.path)


async def test_what_where_raises_is_raised_to_the_effect(manager, effects):
    async def use(context):
        answer = context.take(Joined, where=lambda change: 1 // 0)
        await context.dispatch(Joined(user="bo"), to=ROOM)
        return await answer

    outcome = started(effects, use)
    await manager.dispatch(said("hello"), to=TALK)

    with pytest.raises(ZeroDivisionError):
        await outcome
    assert [] == list(manager.problems)


async def test_what_was_taken_and_never_awaited_ends_with_the_effect(manager, effects):
    asked = []

    async def use(context):
        context.take(Joined, where=asked.append)
        context.take(Joined, where=lambda change: 1 // 0)
        await context.dispatch(Joined(user="bo"), to=ROOM)

    outcome = started(effects, use)
    await manager.dispatch(said("hello"), to=TALK)
    await outcome
    await effects.settled()
    await manager.dispatch(Joined(user="cy"), to=ROOM)

    assert ["bo"] == [change.event.user for change in asked]


async def test_take_hears_other_processes(opened, sqlite_url):
    here, there = await opened(sqlite_url), await opened(sqlite_url)
    async with Effects(here) as effects:
        waiting = asyncio.Event()

        async def use(context):
            taken = context.take(Joined)
            waiting.set()
            return await taken

        outcome = started(effects, use)
        await here.dispatch(said("hello"), to=TALK)
        await waiting.wait()
        await there.dispatch(Joined(user="bo"), to=ROOM)
        await here.refresh()

        assert "remote" == (await outcome).origin


async def test_a_condition_that_holds_is_not_waited_for(manager, effects):
    outcome = started(
        effects, lambda context: context.condition(lambda talk: talk.texts == ("hello",), module=TalkModule)
    )
    await manager.dispatch(said("hello"), to=TALK)

    assert await outcome


async def test_a_condition_is_waited_for(manager, effects):
    looked = asyncio.Event()

    def three(talk) -> bool:
        looked.set()
        return len(talk.texts) == 3

    outcome = started(effects, lambda context: context.condition(three, module=TalkModule, of=OTHER))
    await manager.dispatch(said("hello"), to=TALK)
    await looked.wait()
    for text in range(3):
        assert not outcome.done()
        await manager.dispatch(said(text), to=OTHER)

    assert await outcome


async def test_a_condition_gives_up_when_the_time_has_passed(manager, effects):
    outcome = started(effects, lambda context: context.condition(lambda slices: not slices, timeout_s=0.01))
    await manager.dispatch(said("hello"), to=TALK)

    assert not await outcome


async def test_a_predicates_own_timeout_is_its_failure(manager, effects):
    def late(slices) -> bool:
        raise TimeoutError("the predicate's own")

    outcome = started(effects, lambda context: context.condition(late, timeout_s=10))
    await manager.dispatch(said("hello"), to=TALK)

    with pytest.raises(TimeoutError, match="own"):
        await outcome


async def test_a_volatile_or_unchanging_event_has_a_cause_too(manager, effects):
    outcome = started(effects, lambda context: context.dispatch(Noted()))
    change = await manager.dispatch(said("hello"), to=TALK)

    assert change.record.id == (await outcome).record.cause
