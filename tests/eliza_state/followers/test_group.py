"""Those who share a follower: each record is handled by one, in order within a conversation."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

import pytest

from eliza_state.errors import InvalidPath, RegistrationError, StateError
from eliza_state.followers.sharing import Division
from eliza_state.path import Path
from tests.eliza_state import chat
from tests.eliza_state.chat import ROOM, TALK, Joined, Said

TALKS = [ROOM.child("conversation", f"c{number}") for number in range(8)]
DIVISION = Division("conversation", 3, 4)


class Worker:
    """Remembers what it was told, by conversation."""

    def __init__(self, *, failing: str = "") -> None:
        self.heard: defaultdict[Path, list[str]] = defaultdict(list)
        self._failing = failing

    def __call__(self, told: Any, write: Any) -> None:
        if told.event.text == self._failing:
            raise ValueError(self._failing)
        self.heard[told.path].append(told.event.text)
        write(Joined(user=told.event.text), to=ROOM)


@pytest.fixture
def join(following):
    """Let managers join as workers that look soon who is there."""

    async def join_one(manager, handler, **options):
        followers = await following(manager, poll_interval_ms=20, advance_interval_ms=0)
        options = {"partitions": 4, "events": [Said], **options}
        return await followers.join("greeter", handler, **options)

    return join_one


async def say(manager, *texts: object) -> None:
    for text in texts:
        for talk in TALKS:
            await manager.dispatch(Said(user="ada", text=f"{talk.steps[-1][1]} {text}"), to=talk)


async def eventually(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def texts(*numbers: int) -> dict[Path, list[str]]:
    return {talk: [f"{talk.steps[-1][1]} {number}" for number in numbers] for talk in TALKS}


# Dividing


def test_a_conversation_and_what_is_below_it_stay_together():
    assert DIVISION.number(TALK) == DIVISION.number(TALK.child("message", "m1"))


def test_conversations_are_spread():
    numbers = {DIVISION.number(ROOM.child("conversation", str(number))) for number in range(100)}

    assert {0, 1, 2, 3} == numbers


def test_what_is_above_the_level_goes_by_its_own_path():
    rooms = [Path().child("agent", "eliza").child("room", str(number)) for number in range(100)]

    assert {0, 1, 2, 3} == {DIVISION.number(room) for room in rooms}


# Working


async def test_one_alone_hears_everything_in_order(manager, join):
    worker = Worker()
    group = await join(manager, worker)
    await say(manager, 0, 1)
    await manager.refresh()
    await group.settled()

    assert {0, 1, 2, 3} == set(group.partitions)
    assert texts(0, 1) == worker.heard


async def test_a_second_one_takes_its_due(opened, shared_url, join):
    managers = [await opened(shared_url) for _ in range(2)]
    workers = [Worker(), Worker()]
    groups = [await join(*each) for each in zip(managers, workers, strict=True)]
    await eventually(lambda: [2, 2] == [len(group.partitions) for group in groups])
    await say(managers[0], 0)
    await settled(managers, groups)

    assert texts(0) == {**workers[0].heard, **workers[1].heard}
    assert set() == set(workers[0].heard) & set(workers[1].heard)


async def test_more_than_there_are_partitions_wait(opened, shared_url, join):
    managers = [await opened(shared_url) for _ in range(3)]
    groups = [await join(manager, Worker(), partitions=2) for manager in managers]
    await eventually(lambda: [1, 1, 0] == [len(group.partitions) for group in groups])
    await groups[0].close()
    await eventually(lambda: [0, 1, 1] == [len(group.partitions) for group in groups])

    assert not groups[0].is_open


async def test_who_leaves_leaves_it_to_the_others(opened, shared_url, join):
    managers = [await opened(shared_url) for _ in range(2)]
    workers = [Worker(), Worker()]
    groups = [await join(*each) for each in zip(managers, workers, strict=True)]
    await eventually(lambda: [2, 2] == [len(group.partitions) for group in groups])
    await say(managers[0], 0)
    await settled(managers, groups)
    await groups[0].close()
    await eventually(lambda: 4 == len(groups[1].partitions))
    await say(managers[0], 1)
    await settled(managers[1:], groups[1:])

    assert texts(0, 1) == {talk: workers[0].heard[talk] + workers[1].heard[talk] for talk in TALKS}


async def settled(managers, groups) -> None:
    for manager, group in zip(managers, groups, strict=True):
        await manager.refresh()
        await group.settled()


async def test_what_is_written_is_there_once(opened, shared_url, join):
    managers = [await opened(shared_url) for _ in range(3)]
    groups = [await join(manager, Worker()) for manager in managers]
    await say(managers[0], *range(3))
    await eventually(lambda: 4 == sum(len(group.partitions) for group in groups))
    await settled(managers, groups)
    await managers[0].refresh()
    joined = [each.payload for each in await managers[0].root.records(limit=None) if each.event == "joined"]

    assert 24 == len(joined) == len(set(joined))


async def test_a_place_is_kept_for_each_partition(opened, shared_url, join):
    manager = await opened(shared_url)
    worker = Worker()
    group = await join(manager, worker)
    await say(manager, 0)
    await group.settled()
    await group.close()
    await say(manager, 1)
    again = Worker()
    await (await join(manager, again)).settled()

    assert (texts(0), texts(1)) == (worker.heard, again.heard)
    assert {f"greeter#conversation#{number}" for number in range(4)} == set(
        (await manager.root.state("followers")).positions
    )


async def test_a_record_that_fails_stops_its_partition_alone(manager, join):
    worker = Worker(failing="c0 0")
    group = await join(manager, worker, retries=1)
    await say(manager, 0)
    failed = DIVISION.number(TALKS[0])
    await eventually(lambda: not group.partitions[failed].is_running)
    others = [follower for number, follower in group.partitions.items() if number != failed]
    for follower in others:
        await follower.settled()

    assert {talk for talk in TALKS if DIVISION.number(talk) != failed} <= set(worker.heard)
    assert TALKS[0] not in worker.heard
    with pytest.raises(StateError, match=f"'greeter#conversation#{failed}' stopped at"):
        await group.settled()


async def test_a_record_that_fails_is_skipped(manager, join):
    worker = Worker(failing="c0 0")
    group = await join(manager, worker, retries=1, on_error="skip")
    await say(manager, 0, 1)
    await group.settled()

    assert {**texts(0, 1), TALKS[0]: ["c0 1"]} == worker.heard
    assert "follower" in {problem.kind for problem in manager.problems}


async def test_a_partition_changes_hands_between_two_records(opened, shared_url, join):
    managers = [await opened(shared_url) for _ in range(2)]
    at_hand, go_on = asyncio.Event(), asyncio.Event()
    heard: list[str] = []

    async def slow(told, write):
        heard.append(told.event.text)
        at_hand.set()
        await go_on.wait()

    def quick(told, write):
        heard.append(told.event.text)

    await say(managers[0], 0)
    await join(managers[0], slow, partitions=2, batch=1)
    await at_hand.wait()
    other = asyncio.create_task(join(managers[1], quick, partitions=2))
    group = await other
    go_on.set()
    await eventually(lambda: 1 == len(group.partitions))
    await eventually(lambda: 8 == len(heard))

    assert sorted(heard) == sorted(text for each in texts(0).values() for text in each)


# Joining


async def test_all_divide_alike(opened, shared_url, join):
    await join(await opened(shared_url), Worker())
    with pytest.raises(RegistrationError, match="not in 3 partitions as greeter#conversation#0"):
        await join(await opened(shared_url), Worker(), partitions=3)


async def test_what_is_shared_is_not_followed_alone(manager, following, join):
    await join(manager, Worker())
    with pytest.raises(RegistrationError, match="'greeter' is shared"):
        await (await following(manager)).follow("greeter", Worker())


@pytest.mark.parametrize(
    ("options", "error"), [({"partitions": 0}, RegistrationError), ({"by": "planet"}, InvalidPath)]
)
async def test_what_cannot_be_divided_is_refused(manager, join, options, error):
    with pytest.raises(error):
        await join(manager, Worker(), **options)


async def test_a_name_is_joined_once(manager, following):
    followers = await following(manager)
    await followers.join("greeter", Worker(), partitions=2)
    with pytest.raises(RegistrationError, match="being followed here already"):
        await followers.join("greeter", Worker(), partitions=2)


async def test_what_is_forgotten_begins_anew(manager, following):
    followers = await following(manager)
    await say(manager, 0)
    group = await followers.join("greeter", Worker(), partitions=2, start="now")
    with pytest.raises(StateError, match="is being followed here"):
        await followers.forget("greeter")
    await group.close()
    await followers.forget("greeter")
    worker = Worker()
    async with await followers.join("greeter", worker, partitions=3, events=[Said]) as again:
        await again.settled()

    assert texts(0) == worker.heard


async def test_a_handler_cannot_leave_its_group(manager, join):
    found: list[BaseException] = []

    async def leave(told, write):
        with contextlib.suppress(AssertionError):
            try:
                await group.close()
            except StateError as error:
                found.append(error)

    group = await join(manager, leave)
    await manager.dispatch(chat.Said(user="ada", text="hello"), to=TALK)
    await eventually(lambda: bool(found))

    assert "cannot close" in str(found[0])
