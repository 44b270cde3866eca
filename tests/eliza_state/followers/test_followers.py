"""Followers are registered by name, start where they are told, and end together."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.errors import RegistrationError, StateError, StoreError
from eliza_state.event import event
from eliza_state.followers import Followers, FollowersModule
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.path import Hierarchy
from tests.eliza_state import chat
from tests.eliza_state.chat import ROOM, TALK, Closed, Joined, Said


async def say(manager, *texts: object) -> None:
    for text in texts:
        await manager.dispatch(Said(user="ada", text=str(text)), to=TALK)


def nothing(told, write) -> None:
    """Derive nothing."""


class Listening:
    """Remembers the texts it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, told, write) -> None:
        self.heard.append(told.event.text)


async def positions(manager) -> dict[str, int]:
    return dict((await manager.root.state("followers")).positions)


# Starting


async def test_a_new_one_that_starts_now_hears_what_comes(manager, followers):
    listening = Listening()
    await say(manager, 1, 2)
    follower = await followers.follow("f", listening, events=[Said], start="now")
    await say(manager, 3)
    await follower.settled()

    assert ["3"] == listening.heard


async def test_now_is_durable_when_follow_returns(opened, sqlite_url, following):
    manager = await opened(sqlite_url)
    await say(manager, 1)
    await (await following(manager)).follow("f", nothing, start="now")
    other, listening = await opened(sqlite_url), Listening()
    await say(other, 2)
    follower = await (await following(other)).follow("f", listening, events=[Said], start=0)
    await follower.settled()

    assert "1" not in listening.heard


async def test_a_new_one_starts_after_a_position(manager, followers):
    listening = Listening()
    await say(manager, 1, 2, 3)
    follower = await followers.follow("f", listening, events=[Said], start=1)
    await follower.settled()

    assert ["2", "3"] == listening.heard


async def test_one_that_is_known_goes_on_whatever_start_says(manager, followers):
    listening = Listening()
    await say(manager, 1)
    first = await followers.follow("f", listening, events=[Said])
    await first.settled()
    await first.close()
    await say(manager, 2)
    second = await followers.follow("f", listening, events=[Said], start="now")
    await second.settled()

    assert ["1", "2"] == listening.heard


@pytest.mark.parametrize("start", [-1, 3])
async def test_there_is_no_start_outside_of_what_there_is(manager, followers, start):
    await say(manager, 1)

    with pytest.raises(StateError, match="from 0 to 1"):
        await followers.follow("f", nothing, start=start)
    await followers.follow("f", nothing)


@pytest.mark.parametrize("name", ["", "Words", "a b", "x" * 65, None])
async def test_a_name_is_a_lower_case_word(followers, name):
    with pytest.raises(RegistrationError, match="name"):
        await followers.follow(name, nothing)


@pytest.mark.parametrize("options", [{"batch": 0}, {"retries": -1}, {"on_error": "cry"}])
async def test_options_that_make_no_sense_are_refused(followers, options):
    with pytest.raises(RegistrationError):
        await followers.follow("f", nothing, **options)


@pytest.mark.parametrize("timing", [{"poll_interval_ms": 0}, {"advance_interval_ms": -1}])
async def test_intervals_that_make_no_sense_are_refused(manager, timing):
    with pytest.raises(RegistrationError):
        Followers(manager, **timing)


async def test_an_event_that_no_module_handles_is_refused(followers):
    @event("unheard_of")
    class UnheardOf:
        pass

    with pytest.raises(RegistrationError, match="'unheard_of'"):
        await followers.follow("f", nothing, events=[UnheardOf])


async def test_names_are_unique_here(followers):
    await followers.follow("f", nothing)

    with pytest.raises(RegistrationError, match="unique"):
        await followers.follow("f", nothing)


async def test_two_calls_at_once_make_one_follower(followers):
    outcomes = await asyncio.gather(
        followers.follow("f", nothing), followers.follow("f", nothing), return_exceptions=True
    )

    assert [False, True] == [isinstance(outcome, RegistrationError) for outcome in outcomes]


async def test_a_store_that_is_only_read_has_no_new_followers(opened, sqlite_url, following):
    await opened(sqlite_url)
    reader = await opened(sqlite_url, read_only=True)

    with pytest.raises(StoreError, match="reading only"):
        await (await following(reader)).follow("f", nothing)


async def test_the_module_may_be_registered_like_any_other(opened, following):
    manager = await opened(modules=[*chat.modules(), FollowersModule()])
    await (await following(manager)).follow("f", nothing)

    assert {"f": 0} == await positions(manager)


@event("ordered")
class Ordered:
    """Something was ordered."""


class Orders(StateModule[int]):
    """Count orders in a shop's hierarchy."""

    name = "orders"
    level = "order"

    def initial_state(self) -> int:
        return 0

    @reduces(Ordered)
    def count(self, state: int, event: Ordered) -> int:
        return state + 1


async def test_any_hierarchy_has_a_root_for_the_positions(opened, following):
    manager = await opened(modules=[Orders()], hierarchy=Hierarchy({"shop": {"order": {}}}))
    followers = await following(manager)
    await manager.dispatch(Ordered(), to="order:1")
    await followers.follow("f", lambda told, write: write(Ordered(), to="order:2"), events=[Ordered])
    await followers.settled()

    assert 1 == await manager.at("order:2").state(Orders)


# Stores without them


async def test_a_store_opens_without_the_followers_it_had(opened, sqlite_url, following):
    manager = await opened(sqlite_url)
    followers = await following(manager)
    await followers.follow("f", lambda told, write: write(Joined(user="bo"), to=ROOM), events=[Said])
    await say(manager, 1)
    await followers.settled()
    before = await manager.at(ROOM).state()
    await manager.close()
    without = await opened(sqlite_url)

    assert before == await without.at(ROOM).state()
    assert [] == list(without.problems)


async def test_a_buffered_store_has_followers_too(opened, sqlite_url, following):
    manager = await opened(sqlite_url, durability="buffered")
    followers = await following(manager)
    await followers.follow("f", lambda told, write: write(Joined(user="bo"), to=ROOM), events=[Said])
    await say(manager, *range(20))
    await followers.settled()
    await followers.close()
    await manager.close()
    again = await opened(sqlite_url)

    assert 20 == len([each for each in await again.root.records(limit=None) if each.event == "joined"])


# Ending


async def test_close_leaves_no_task_and_saves_the_positions(opened, url):
    manager = await opened(url, feed=False)
    before = asyncio.all_tasks()
    followers = Followers(manager)
    await followers.follow("a", nothing)
    await followers.follow("b", nothing, events=[Closed])
    await say(manager, 1)
    await followers.settled()
    reached = await manager.position()
    await followers.close()
    await followers.close()

    assert before == asyncio.all_tasks()
    assert reached <= min((await positions(manager)).values())
    with pytest.raises(StateError, match="closed"):
        await followers.follow("c", nothing)


@pytest.mark.parametrize("closing", ["follower", "followers"])
async def test_a_handler_cannot_close_its_own_follower(manager, followers, closing):
    async def handler(told, write):
        await (follower if closing == "follower" else followers).close()

    follower = await followers.follow("f", handler, events=[Said], retries=0)
    await say(manager, 1)

    with pytest.raises(StateError, match="own follower"):
        await followers.settled()


def test_the_end_of_the_event_loop_ends_them_quietly(sqlite_url, caplog):
    async def main():
        manager = await StateManager.open(sqlite_url, modules=chat.modules())
        hanging = asyncio.Event()

        async def handler(told, write):
            hanging.set()
            await asyncio.get_running_loop().create_future()

        followers = Followers(manager)
        await followers.follow("hanging", handler)
        await followers.follow("idle", nothing)
        await say(manager, 1)
        await hanging.wait()
        await manager.close()

    asyncio.run(main())

    assert [] == [record for record in caplog.records if record.name == "asyncio"]
