"""The intake: pauses, room, and ids on their way."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.dispatcher import Dispatch
from eliza_state.errors import StaleState
from eliza_state.limits import Limits
from eliza_state.testing import RecordingReceiver
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Joined, PeopleModule, Said


class Held:
    """A function that waits for a go before it runs, in the event loop's thread or another."""

    def __init__(self, function):
        self.function = function
        self.called = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, *args, **options):
        self.called.set()
        await self.go.wait()
        return await self.function(*args, **options)


async def test_dispatches_wait_for_a_registration(opened, url, monkeypatch):
    manager = await opened(url, modules=chat.modules()[:2])
    await manager.dispatch(Joined(user="ada"), to=ROOM)
    held = Held(manager.core.scopes.reload_slices)
    monkeypatch.setattr(manager.core.scopes, "reload_slices", held)
    registering = asyncio.ensure_future(manager.register_module(PeopleModule()))
    await held.called.wait()
    calls = [
        asyncio.ensure_future(manager.dispatch(Joined(user="bob"), to=ROOM)),
        asyncio.ensure_future(manager.dispatch_all([(Joined(user="cy"), ROOM)])),
        asyncio.ensure_future(manager.execute(ROOM, lambda _: [Joined(user="dan")])),
    ]
    for _ in range(20):
        await asyncio.sleep(0)

    assert not any(call.done() for call in calls)
    held.go.set()
    await asyncio.gather(registering, *calls)
    assert sorted((await manager.at(ROOM).state("people")).names) == ["ada", "bob", "cy", "dan"]


async def test_a_dispatch_whose_scope_is_being_read_waits_for_a_refresh_too(opened, sqlite_url, monkeypatch):
    """What it would reduce between the reading and the following of others' records would count twice."""
    writer, manager = await opened(sqlite_url), await opened(sqlite_url)
    await writer.dispatch(Joined(user="ada"), to=ROOM)
    await manager.refresh()
    loading, reading = Held(manager.core.scopes._recover), Held(manager.core.reading.records)
    monkeypatch.setattr(manager.core.scopes, "_recover", loading)
    single = asyncio.ensure_future(manager.dispatch(Joined(user="bob"), to=ROOM))
    batch = asyncio.ensure_future(manager.dispatch_all([(Joined(user="cy"), ROOM)]))
    await loading.called.wait()
    monkeypatch.setattr(manager.core.reading, "records", reading)
    await writer.dispatch(Joined(user="dan"), to=ROOM)
    refreshing = asyncio.ensure_future(manager.refresh())
    await reading.called.wait()
    loading.go.set()
    for _ in range(50):
        await asyncio.sleep(0)
    assert not single.done()
    assert not batch.done()
    reading.go.set()
    await asyncio.gather(refreshing, single, batch)

    assert await manager.at(ROOM).state("people") == await manager.at(ROOM).state("people", at=4)
    assert (await manager.root.state("totals")).events == 4


async def test_registrations_at_the_same_time_follow_each_other(opened, url):
    class More(PeopleModule):
        name = "more"

    class Most(PeopleModule):
        name = "most"

    manager = await opened(url)
    await manager.dispatch(Joined(user="ada"), to=ROOM)
    await asyncio.gather(manager.register_module(More()), manager.register_module(Most()), manager.refresh())

    assert {"people", "more", "most"} == set(await manager.at(ROOM).state())


@pytest.mark.parametrize("width", [1, 3])
async def test_an_id_can_be_used_again_once_its_first_use_failed_on_the_way(opened, sqlite_url, width):
    one, other = await opened(sqlite_url), await opened(sqlite_url)
    await other.at(TALK).state()
    await one.dispatch(Said(user="ada", text="x"), to=TALK)
    requests = [Dispatch(Said(user="ada", text="y"), TALK, id=str(number)) for number in range(width)]
    stale = [Dispatch(Said(user="ada", text="z"), TALK, expected_version=0, id="first"), *requests]

    with pytest.raises(StaleState):
        await other.dispatch_all(stale)

    assert [False] * width == [change.duplicate for change in await other.dispatch_all(requests)]


async def test_decisions_on_a_scope_that_is_not_in_memory(opened, url):
    manager = await opened(url, limits=Limits(max_scopes=2))
    await asyncio.gather(
        *(
            manager.execute(path, lambda _: [Said(user="ada", text="x")])
            for path in (TALK, OTHER, ROOM, AGENT)
        )
    )

    assert (await manager.root.state("totals")).said == 4


async def test_events_of_one_turn_keep_the_order_of_their_calls(manager):
    receiver = RecordingReceiver()
    await manager.at(TALK).state()
    manager.subscribe(receiver)
    calls = [manager.dispatch(Said(user="ada", text=str(number)), to=TALK) for number in range(30)]
    await asyncio.gather(*calls)

    assert [str(number) for number in range(30)] == [event.text for event in receiver.events]
