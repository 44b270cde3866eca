"""Which changes start effects, and what they may do."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.effects import Effects
from eliza_state.errors import RegistrationError
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Drawn, Joined, Said, TalkModule


@pytest.fixture
async def effects(manager):
    async with Effects(manager) as effects:
        yield effects


def said(text: object) -> Said:
    return Said(user="ada", text=str(text))


async def nothing(change, context) -> None:
    """Do nothing."""


def problems(manager) -> list[tuple[str, object]]:
    return [(problem.kind, problem.path) for problem in manager.problems]


async def test_an_effect_runs_after_its_change_is_committed(manager, effects):
    seen = []

    async def effect(change, context):
        seen.append((change, (await context.state(TalkModule)).texts))

    effects.on(Said, effect)
    change = await manager.dispatch(said("hello"), to=TALK)
    await effects.settled()

    assert [(change, ("hello",))] == seen


async def test_other_events_and_other_scopes_start_nothing(manager, effects):
    seen = []

    async def effect(change, context):
        seen.append((change.record.event, change.path))

    effects.on("said", effect, below=TALK)
    await manager.dispatch(said("elsewhere"), to=OTHER)
    await manager.dispatch(Joined(user="ada"), to=ROOM)
    await manager.dispatch(said("here"), to=TALK)
    await effects.settled()

    assert [("said", TALK)] == seen


async def test_no_event_named_stands_for_all(manager, effects):
    seen = []

    async def effect(change, context):
        seen.append(change.record.event)

    effects.on(None, effect)
    await manager.dispatch(said("hello"), to=TALK)
    await manager.dispatch(Joined(user="bo"), to=ROOM)
    await effects.settled()

    assert ["said", "joined"] == seen


async def test_another_managers_changes_start_nothing_here(opened, sqlite_url):
    here, there = await opened(sqlite_url), await opened(sqlite_url)
    seen = []

    async def effect(change, context):
        seen.append(change.event.text)

    async with Effects(here) as effects:
        effects.on(Said, effect)
        await there.dispatch(said("there"), to=TALK)
        await here.refresh()
        await here.dispatch(said("here"), to=TALK)
        await effects.settled()

    assert ["here"] == seen


async def test_a_dispatch_goes_to_the_changes_scope_and_names_its_cause(manager, effects):
    async def effect(change, context):
        await context.dispatch("noted", {"text": change.event.text})
        await context.dispatch(Drawn(amount=1), to=AGENT, id="one-draw")

    effects.on(Said, effect)
    change = await manager.dispatch(said("hello"), to=TALK)
    await effects.settled()
    records = await manager.root.records(after=change.position)

    assert [("noted", TALK, change.record.id), ("drawn", AGENT, change.record.id)] == [
        (record.event, record.path, record.cause) for record in records
    ]
    assert "one-draw" == records[1].id


async def test_the_root_is_reached_by_its_empty_path(manager, effects):
    seen = []

    async def effect(change, context):
        seen.append((await context.state("totals", of="")).said)

    effects.on(Said, effect)
    await manager.dispatch(said("hello"), to=TALK)
    await effects.settled()

    assert [1] == seen


async def test_what_an_effect_raises_is_reported_and_stops_nobody(manager, effects):
    seen = []

    async def broken(change, context):
        raise ValueError("effect")

    async def sound(change, context):
        seen.append(change.event.text)

    effects.on(Said, broken)
    effects.on(Said, sound)
    await manager.dispatch(said(1), to=TALK)
    await manager.dispatch(said(2), to=TALK)
    await effects.settled()

    assert ["1", "2"] == seen
    assert [("effect", TALK)] * 2 == problems(manager)
    assert all("broken" in problem.message and "said" in problem.message for problem in manager.problems)


async def test_the_cancellation_of_what_an_effect_awaits_is_its_failure(manager, effects):
    async def effect(change, context):
        awaited = asyncio.get_running_loop().create_future()
        awaited.cancel()
        await awaited

    effects.on(Said, effect)
    await manager.dispatch(said("hello"), to=TALK)
    await effects.settled()

    assert [("effect", TALK)] == problems(manager)


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "sometimes"},
        {"max_running": 0},
        {"policy": "latest", "debounce_ms": -1},
        {"key": lambda change: None},
    ],
)
async def test_options_that_make_no_sense_are_refused(effects, options):
    with pytest.raises(RegistrationError):
        effects.on(Said, nothing, **options)


async def test_a_plain_function_is_refused(effects):
    with pytest.raises(RegistrationError, match="coroutine function"):
        effects.on(Said, lambda change, context: None)
