"""What becomes of a record that cannot be handled, and of a store that cannot be written."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from eliza_state.errors import StateError
from eliza_state.event import event
from eliza_state.followers import Followers
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.problems import Problem
from tests.eliza_state.chat import AGENT, ROOM, TALK, Drawn, Joined, Said


async def say(manager, *texts: object) -> None:
    for text in texts:
        await manager.dispatch(Said(user="ada", text=str(text)), to=TALK)


async def joined(manager) -> set[str]:
    return set((await manager.at(ROOM).state("people")).names) - {"ada"}


class Greeter:
    """Lets people named like the texts join; fails on some texts as often as it is told."""

    def __init__(self, **failures: float) -> None:
        self.failures = failures
        self.heard: list[str] = []

    def __call__(self, told, write) -> None:
        text = told.event.text
        self.heard.append(text)
        write(Joined(user=text), to=ROOM)
        if self.failures.get(text, 0) > 0:
            self.failures[text] -= 1
            raise ValueError(text)


class SlowGreeter(Greeter):
    async def __call__(self, told, write) -> None:
        await asyncio.sleep(0)
        super().__call__(told, write)


@pytest.fixture(params=[Greeter, SlowGreeter], ids=["plain", "coroutine"])
def make(request):
    return request.param


async def test_a_handler_that_fails_for_a_while_is_tried_again(manager, followers, make):
    greeter = make(b=3)
    await say(manager, *"abc")
    follower = await followers.follow("f", greeter, events=[Said], retries=4)
    await follower.settled()

    assert {"a", "b", "c"} == await joined(manager)
    assert [] == list(manager.problems)


async def test_a_handler_that_fails_for_good_stops_the_follower_in_front_of_the_record(
    manager, followers, make
):
    await say(manager, *"abc")
    follower = await followers.follow("f", make(b=9), events=[Said], retries=2)
    with pytest.raises(StateError, match="'f' stopped at 1"):
        await followers.settled()
    (problem,) = manager.problems

    assert ({"a"}, 1, False) == (await joined(manager), follower.position, follower.is_running)
    assert ("follower", TALK, follower.error) == (problem.kind, problem.path, problem.error)
    assert "stopped at said at position 2" in problem.message


async def test_the_others_go_on(manager, followers):
    await followers.follow("broken", Greeter(a=9), events=[Said], retries=0)
    sound = await followers.follow("sound", Greeter(), events=[Said])
    await say(manager, *"abc")
    await sound.settled()

    assert {"a", "b", "c"} == await joined(manager)


async def test_one_that_stopped_begins_with_the_record_when_it_is_followed_again(manager, followers, make):
    await say(manager, *"abc")
    await followers.follow("f", make(b=9), events=[Said], retries=0)
    with pytest.raises(StateError, match="stopped"):
        await followers.settled()
    mended = make()
    follower = await followers.follow("f", mended, events=[Said])
    await follower.settled()

    assert (["b", "c"], {"a", "b", "c"}) == (mended.heard, await joined(manager))


async def test_skipped_the_record_is_reported_and_the_others_are_handled(manager, followers, make):
    await say(manager, *"abc")
    follower = await followers.follow("f", make(b=9), events=[Said], retries=1, on_error="skip")
    await follower.settled()
    (problem,) = manager.problems

    assert {"a", "c"} == await joined(manager)
    assert ("follower", TALK, ValueError) == (problem.kind, problem.path, type(problem.error))
    assert "skipped said at position 2" in problem.message


async def test_a_refused_event_is_the_failure_of_its_record_alone(manager, followers):
    def handler(told, write):
        write(Joined(user=told.event.text), to=ROOM)
        write(Drawn(amount=int(told.event.text)), to=AGENT)

    await say(manager, 4, 9, 6)
    follower = await followers.follow("f", handler, events=[Said], retries=0, on_error="skip")
    await follower.settled()
    (problem,) = manager.problems

    assert {"4", "6"} == await joined(manager)
    assert "Rejected" in problem.message


async def test_a_handler_that_returns_something_has_failed(manager, followers):
    await say(manager, 1)
    await followers.follow("f", lambda told, write: [Joined(user="bo")], events=[Said], retries=0)
    with pytest.raises(StateError, match="returns nothing"):
        await followers.settled()


async def test_the_cancellation_of_what_a_handler_awaits_is_a_failure(manager, followers):
    async def handler(told, write):
        awaited = asyncio.get_running_loop().create_future()
        awaited.cancel()
        await awaited

    await say(manager, 1)
    await followers.follow("f", handler, events=[Said], retries=1)
    with pytest.raises(StateError, match="awaited was cancelled"):
        await followers.settled()


async def test_an_address_that_leaves_the_hierarchy_is_a_failure(manager, followers):
    await say(manager, 1)
    await followers.follow(
        "f", lambda told, write: write(Joined(user="bo"), to="room:nowhere"), events=[Said], retries=0
    )
    with pytest.raises(StateError, match="InvalidPath"):
        await followers.settled()


@event("said", version=2, upcasters={1: lambda old: old})
class SaidLater:
    user: str
    text: str = ""


class Later(StateModule[tuple]):
    """The same event as tomorrow's code writes it."""

    name = "later"
    level = "conversation"

    def initial_state(self) -> tuple:
        return ()

    @reduces(SaidLater)
    def say(self, state: tuple, event: SaidLater) -> tuple:
        return (*state, event.text)


async def test_a_record_that_todays_code_cannot_read_is_not_passed_over(opened, sqlite_url, following):
    async with StateManager.open(sqlite_url, modules=[Later()]) as newer:
        await newer.dispatch(SaidLater(user="ada", text="hello"), to=TALK)
    manager = await opened(sqlite_url)
    followers = await following(manager)
    await followers.follow("f", Greeter(), retries=0)

    with pytest.raises(StateError, match="newer code"):
        await followers.settled()


async def test_a_record_that_no_module_knows_is_passed_over(opened, sqlite_url, following):
    manager = await opened(sqlite_url)
    await say(manager, 1)
    await manager.close()
    async with StateManager.open(sqlite_url) as stranger:
        followers = await following(stranger)
        greeter = Greeter()
        await (await followers.follow("f", greeter)).settled()
        await followers.close()

    assert [] == greeter.heard


async def test_a_store_that_cannot_be_written_is_waited_for_and_reported_once(
    opened, sqlite_url, following, tmp_path
):
    manager = await opened(sqlite_url, limits=Limits(busy_timeout_ms=10))
    followers = await following(manager)
    waiting: asyncio.Queue[Problem] = asyncio.Queue()
    manager.problems.listen(waiting.put_nowait)
    await say(manager, 1)
    with sqlite3.connect(tmp_path / "state.db", isolation_level=None) as other:

        async def lock(told, write):
            other.execute("BEGIN IMMEDIATE")
            write(Joined(user="bo"), to=ROOM)

        follower = await followers.follow("f", lock, events=[Said])
        while (await waiting.get()).kind != "follower":
            pass
        other.execute("ROLLBACK")
    other.close()
    await follower.settled()

    assert {"bo"} == await joined(manager)
    assert 1 == [problem.kind for problem in manager.problems].count("follower")


async def test_a_closed_manager_leaves_no_task_behind(opened, sqlite_url):
    manager = await opened(sqlite_url)
    before = asyncio.all_tasks()
    followers = Followers(manager, poll_interval_ms=1)
    await followers.follow("f", Greeter(), events=[Said])
    await manager.close()
    await followers.close()

    assert before >= asyncio.all_tasks()
