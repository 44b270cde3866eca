"""One follower: what it hears, what becomes of what it writes, how it keeps its place."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.errors import StateError
from eliza_state.followers import FollowerAdvanced, FollowersModule
from eliza_state.testing import RecordingReceiver
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Drawn, Joined, Noted, Said, Typing


def said(text: object) -> Said:
    return Said(user="ada", text=str(text))


async def say(manager, *texts: object, to=TALK) -> None:
    for text in texts:
        await manager.dispatch(said(text), to=to)


def nothing(told, write) -> None:
    """Derive nothing."""


async def advances(manager) -> list[int]:
    records = await manager.root.records(limit=None)
    return [record.position for record in records if record.event == "follower_advanced"]


async def eventually(condition) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110  # nobody is told of it
            await asyncio.sleep(0.001)  # what is waited for has no event


# What it hears


async def test_it_hears_every_record_from_the_first_on_in_order(manager, followers):
    heard = []
    await say(manager, 1)
    await manager.dispatch(Noted(text="changes nothing"), to=TALK)
    await manager.dispatch(Typing(user="is not recorded"), to=TALK)
    await manager.dispatch(Joined(user="bo"), to=ROOM)
    follower = await followers.follow("f", lambda told, write: heard.append((told.position, told.event)))
    await say(manager, 2)
    await follower.settled()

    assert [said(1), Noted(text="changes nothing"), Joined(user="bo"), said(2)] == [e for _, e in heard]
    assert sorted(heard, key=lambda each: each[0]) == heard


async def test_a_change_wakes_it_at_once(manager, followers):
    heard = asyncio.get_running_loop().create_future()
    follower = await followers.follow("f", lambda told, write: heard.set_result(told.event))
    await follower.settled()
    await say(manager, 1)

    assert said(1) == await asyncio.wait_for(heard, 10)


async def test_records_of_other_processes_are_looked_for(opened, shared_url, following):
    here, there = await opened(shared_url), await opened(shared_url)
    heard = asyncio.get_running_loop().create_future()
    followers = await following(here)
    await followers.follow("f", lambda told, write: heard.set_result(told.event))
    await there.dispatch(Noted(text="changes nothing"), to=TALK)

    assert Noted(text="changes nothing") == await asyncio.wait_for(heard, 10)


async def test_it_hears_the_scopes_and_events_it_asked_for(manager, followers):
    heard = []
    follower = await followers.follow(
        "f", lambda told, write: heard.append(told), below=TALK, events=[Said, "noted"]
    )
    await say(manager, "elsewhere", to=OTHER)
    await manager.dispatch(Joined(user="above"), to=ROOM)
    await manager.dispatch(Closed(), to=OTHER)
    await say(manager, "here")
    await manager.dispatch(Noted(), to=TALK)
    await follower.settled()

    assert [(TALK, "said"), (TALK, "noted")] == [(told.path, told.record.event) for told in heard]


async def test_what_is_told_has_the_records_own_id(manager, followers):
    heard = []
    await manager.dispatch(said(1), to=TALK, id="message-1")
    follower = await followers.follow("f", lambda told, write: heard.append(told.id))
    await follower.settled()

    assert ["message-1"] == heard


# What it writes


async def test_what_it_writes_goes_above_and_below_and_names_its_cause(manager, followers):
    def handler(told, write):
        if isinstance(told.event, Said):
            write(Drawn(amount=1), to=AGENT)
            write("noted", {"text": "here"})
        elif isinstance(told.event, Joined):
            write(said(f"welcome {told.event.user}"), to=TALK.encode())
            write(Noted(), to=manager.at(OTHER))

    await say(manager, 1)
    await manager.dispatch(Joined(user="bo"), to=ROOM)
    follower = await followers.follow("f", handler)
    await follower.settled()
    records = await manager.root.records()
    first, second = records[0], records[1]

    assert [
        ("1", "drawn", AGENT, first.id),
        ("2", "noted", TALK, first.id),
        ("1", "said", TALK, second.id),
        ("2", "noted", OTHER, second.id),
    ] == [
        (r.id.rpartition(":")[2], r.event, r.path, r.cause) for r in records if r.id.startswith("follower:f:")
    ]


async def test_what_it_writes_has_ids_made_of_what_it_heard_wherever_that_stands(opened, following):
    def handler(told, write):
        write("noted", {"text": told.event.text})

    ids = []
    for before in ((), ("first",)):
        manager = await opened()
        await say(manager, *before, to=OTHER)
        await manager.dispatch(said("hello"), to=TALK, id="mail-1")
        follower = await (await following(manager)).follow("f", handler, below=TALK, events=[Said])
        await follower.settled()
        records = await manager.root.records()
        ids.append([record.id for record in records if record.id.startswith("follower:")])

    assert 1 == len(ids[0])
    assert ids[0] == ids[1]


async def test_it_does_not_hear_what_it_wrote_itself(manager, followers):
    def handler(told, write):
        write(Joined(user=f"{told.event.user}'s friend"), to=ROOM)

    follower = await followers.follow("f", handler, events=[Joined])
    await manager.dispatch(Joined(user="ada"), to=ROOM)
    await follower.settled()

    assert {"ada", "ada's friend"} == set((await manager.at(ROOM).state("people")).names)


async def test_another_follower_hears_what_it_wrote(manager, followers):
    heard = []
    await followers.follow("writer", lambda told, write: write(Joined(user="bo"), to=ROOM), events=[Said])
    await followers.follow("reader", lambda told, write: heard.append(told.event), events=[Joined])
    await say(manager, 1)
    await followers.settled()

    assert [Joined(user="bo")] == heard


async def test_the_position_is_written_with_what_was_derived_from_a_batch(manager, followers):
    receiver = RecordingReceiver()
    await say(manager, *range(5))
    follower = await followers.follow(
        "f", lambda told, write: write(Joined(user=told.event.text), to=ROOM), events=[Said], batch=3
    )
    manager.subscribe(receiver)
    await follower.settled()

    assert [
        FollowerAdvanced(name="f", after=0, position=3),
        *(Joined(user=user) for user in "012"),
        FollowerAdvanced(name="f", after=3, position=6),
        *(Joined(user=user) for user in "34"),
    ] == receiver.events


async def test_a_coroutine_sees_what_its_earlier_records_led_to(manager, followers):
    async def greet_once(told, write):
        people = (await manager.at(ROOM).state("people")).names
        if "greeter" not in people:
            write(Joined(user="greeter"), to=ROOM)
            write(Noted(text=told.event.text), to=ROOM)

    await say(manager, *range(5))
    follower = await followers.follow("f", greet_once, events=[Said])
    await follower.settled()
    noted = [record for record in await manager.root.records() if record.event == "noted"]

    assert 1 == len(noted)


async def test_what_is_written_after_the_handlers_end_is_refused(manager, followers):
    kept = []
    follower = await followers.follow("f", lambda told, write: kept.append(write), events=[Said])
    await say(manager, 1)
    await follower.settled()

    with pytest.raises(StateError, match="has returned"):
        kept[0](Noted())


# How it keeps its place


async def test_it_goes_on_where_it_was_when_the_store_is_opened_again(opened, shared_url, following):
    heard = []
    for text in range(3):
        manager = await opened(shared_url)
        followers = await following(manager)
        await say(manager, text)
        follower = await followers.follow(
            "f", lambda told, write: heard.append(told.event.text), events=[Said]
        )
        await follower.settled()
        await followers.close()
        await manager.close()

    assert ["0", "1", "2"] == heard


async def test_records_that_led_to_nothing_do_not_each_cost_a_write(manager, followers):
    follower = await followers.follow("f", nothing)
    await say(manager, *range(50))
    await follower.settled()
    registered = await advances(manager)
    await follower.close()
    await follower.close()

    assert (1, 2) == (len(registered), len(await advances(manager)))
    assert 51 == (await manager.root.state(FollowersModule)).positions["f"]


async def test_after_1000_records_the_position_is_saved_in_any_case(opened, following):
    manager = await opened()
    followers = await following(manager)
    await say(manager, *range(2_500))
    follower = await followers.follow("f", nothing)
    await follower.settled()

    assert {"f": 2_000} == dict((await manager.root.state(FollowersModule)).positions)


async def test_after_a_while_the_position_is_saved_in_any_case(manager, following):
    followers = await following(manager, advance_interval_ms=5)
    await followers.follow("f", nothing)
    await say(manager, 1)

    async def saved():
        return (await manager.root.state(FollowersModule)).positions["f"] >= 2

    await eventually(saved)


async def test_followers_bookkeeping_does_not_keep_them_writing(opened, following):
    manager = await opened()
    followers = await following(manager, advance_interval_ms=0)
    both = [await followers.follow(name, nothing, events=[Closed]) for name in ("a", "b")]
    await say(manager, 1)
    await followers.settled()
    before = await advances(manager)
    for _ in range(200):
        for follower in both:
            follower.wake()
        await asyncio.sleep(0)

    assert before == await advances(manager)


async def test_what_is_at_hand_when_it_is_closed_is_heard_again(manager, followers):
    heard, started = [], asyncio.Event()

    async def handler(told, write):
        heard.append(told.event.text)
        write(Noted(text=told.event.text))
        started.set()
        if len(heard) == 2:
            await asyncio.get_running_loop().create_future()

    follower = await followers.follow("f", handler, events=[Said])
    await say(manager, 1, 2)
    await eventually(lambda: asyncio.sleep(0, len(heard) == 2))
    await follower.close()
    assert not follower.is_running
    again = await followers.follow("f", handler, events=[Said])
    await again.settled()

    assert ["1", "2", "2"] == heard
    assert 2 == len([record for record in await manager.root.records() if record.event == "noted"])
