"""Followers of one name in several processes, some of them killed: what they write is there once."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state.codec import decode
from eliza_state.event import event_type
from eliza_state.followers import FollowerAdvanced
from eliza_state.manager import StateManager
from tests.eliza_state import chat
from tests.eliza_state.chat import ROOM, TALK, Joined, Noted, Said
from tests.forking.process import Process, start_module


@pytest.fixture
def start() -> Iterator[Callable[[], Process]]:
    """Start processes that fork followers; see `program`."""
    started: list[Process] = []

    def start_one() -> Process:
        process = start_module("tests.eliza_state.followers.program")
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def send(process: Process, url: str, handler: str, ticks: int) -> None:
    process.stdin.write(f"{url} {handler} {ticks}\n")
    process.stdin.flush()


def heard(process: Process) -> int:
    return int(process.stdout.readline())


async def say(manager: StateManager, *texts: object) -> None:
    for text in texts:
        await manager.dispatch(Said(user="ada", text=str(text)), to=TALK)


async def check(url: str, texts: list[str]) -> None:
    """Check that each text led to what it leads to once, and that the position went step by step."""
    async with StateManager.open(f"{url}?synchronous=NORMAL", modules=chat.modules()) as manager:
        records = await manager.root.records(limit=None)
        people = set((await manager.at(ROOM).state("people")).names)
        problems = list(manager.problems)
    joined = [payload(record, Joined).user for record in records if record.event == "joined"]
    noted = [payload(record, Noted).text for record in records if record.event == "noted"]
    steps = [payload(record, FollowerAdvanced) for record in records if record.event == "follower_advanced"]

    assert sorted(texts) == sorted(joined) == sorted(noted)
    assert {"ada", *texts} == people
    assert [None, *(step.position for step in steps[:-1])] == [step.after for step in steps]
    assert [] == problems


def payload(record, cls):
    return decode(event_type(cls), record.content, schema_version=1)


@pytest.mark.parametrize(("handler", "first"), [("plain", 1), ("coroutine", 2)])
async def test_killed_at_any_point_what_a_follower_writes_is_there_once(start, tmp_path, handler, first):
    texts = [str(number) for number in range(5)]
    before = tmp_path / "before.db"
    async with StateManager.open(f"sqlite:///{before}", modules=chat.modules()) as manager:
        await say(manager, *texts)
    process, codes = start(), []

    while 0 not in codes:
        file = tmp_path / f"{len(codes)}.db"
        shutil.copy(before, file)
        send(process, f"sqlite:///{file}", handler, first + 2 * len(codes))
        codes.append(await asyncio.to_thread(heard, process))
        send(process, f"sqlite:///{file}", handler, 0)
        assert 0 == await asyncio.to_thread(heard, process)
        await check(f"sqlite:///{file}", texts)

    assert {-signal.SIGKILL, 0} == set(codes)
    assert 7 < len(codes)


async def kill(process: Process, follower: int) -> None:
    os.kill(follower, signal.SIGKILL)
    assert -signal.SIGKILL == await asyncio.to_thread(heard, process)


async def test_two_processes_follow_as_one_and_each_takes_over_when_the_other_is_killed(start, sqlite_url):
    processes = [start(), start()]
    async with StateManager.open(f"{sqlite_url}?synchronous=NORMAL", modules=chat.modules()) as manager:
        await say(manager, "0")
        for process in processes:
            send(process, sqlite_url, "plain", -1)
        followers = [await asyncio.to_thread(heard, process) for process in processes]

        async def grown(first: int, last: int) -> None:
            await say(manager, *range(first, last))
            async with asyncio.timeout(30):
                while len((await manager.at(ROOM).state("people")).names) < last + 1:
                    await manager.refresh()

        await grown(1, 100)
        await kill(processes[0], followers[0])
        await grown(100, 150)
        send(processes[0], sqlite_url, "coroutine", -1)
        again = await asyncio.to_thread(heard, processes[0])
        await kill(processes[1], followers[1])
        await grown(150, 200)
        await kill(processes[0], again)

    await check(sqlite_url, [str(number) for number in range(200)])


# The same race, one step at a time


class Held:
    """A handler that can be held, and derives what it is told to."""

    def __init__(self, name: str = "") -> None:
        self.heard: list[str] = []
        self.reached, self.gate = asyncio.Event(), asyncio.Event()
        self._name = name

    async def __call__(self, told, write) -> None:
        self.heard.append(told.event.text)
        self.reached.set()
        await self.gate.wait()
        write(Joined(user=f"{self._name}{told.event.text}"), to=ROOM)


@pytest.mark.parametrize("names", [("", ""), ("one ", "other ")], ids=["same", "differing"])
async def test_who_is_slower_goes_on_from_where_the_other_has_come(opened, sqlite_url, following, names):
    one, other = await opened(sqlite_url), await opened(sqlite_url)
    slow, quick = map(Held, names)
    quick.gate.set()
    follower = await (await following(one)).follow("f", slow, events=[Said])
    await say(one, "a", "b")
    await slow.reached.wait()
    overtaking = await (await following(other)).follow("f", quick, events=[Said])
    await overtaking.settled()
    await overtaking.close()
    slow.gate.set()
    await follower.settled()
    await say(one, "c")
    await follower.settled()

    assert (["a", "c"], ["a", "b"]) == (slow.heard, quick.heard)
    assert {"ada", f"{names[1]}a", f"{names[1]}b", f"{names[0]}c"} == set(
        (await one.at(ROOM).state("people")).names
    )
    assert "follower" not in {problem.kind for problem in (*one.problems, *other.problems)}


async def test_what_another_process_has_done_with_is_not_handled_again(opened, sqlite_url, following):
    one, other = await opened(sqlite_url, feed=False), await opened(sqlite_url)
    idle, busy = Held(), Held()
    busy.gate.set()
    follower = await (await following(one, poll_interval_ms=3_600_000)).follow("f", idle, events=[Said])
    leader = await (await following(other)).follow("f", busy, events=[Said])
    await say(other, *"abc")
    await leader.settled()
    await one.refresh()
    await follower.settled()

    assert ([], [*"abc"]) == (idle.heard, busy.heard)


async def test_who_was_overtaken_leaves_the_lead_to_the_other(opened, sqlite_url, following):
    one, other = await opened(sqlite_url), await opened(sqlite_url)
    quick, second = Held(), Held()
    quick.gate.set()
    second.gate.set()
    leader = await (await following(other)).follow("f", quick, events=[Said])
    await say(other, "a")
    await leader.settled()
    await (await following(one, poll_interval_ms=3_600_000)).follow("f", second, events=[Said])
    for text in "bcd":
        await say(other, text)
        await leader.settled()
        await one.refresh()

    assert [*"abcd"] == quick.heard
    assert [] == second.heard[1:]


async def test_followers_that_begin_at_once_agree_where(opened, sqlite_url, following):
    managers = [await opened(sqlite_url) for _ in range(3)]
    await say(managers[0], *"ab")
    everybody = [await following(manager) for manager in managers]
    await asyncio.gather(
        *(each.follow("f", Held(), events=[Joined], start=start) for start, each in enumerate(everybody))
    )
    steps = [each for each in await managers[0].root.records() if each.event == "follower_advanced"]

    assert [None] == [payload(step, FollowerAdvanced).after for step in steps]


async def test_a_store_copied_while_it_is_followed_goes_on_alone(start, sqlite_url, tmp_path):
    async with StateManager.open(sqlite_url, modules=chat.modules()) as manager:
        await say(manager, *"abc")
    process = start()
    send(process, sqlite_url, "plain", 0)
    assert 0 == await asyncio.to_thread(heard, process)
    copy = FilePath(shutil.copy(tmp_path / "state.db", tmp_path / "copy.db"))
    async with StateManager.open(f"sqlite:///{copy}", modules=chat.modules()) as manager:
        await say(manager, "d")
    send(process, f"sqlite:///{copy}", "plain", 0)
    assert 0 == await asyncio.to_thread(heard, process)

    await check(f"sqlite:///{copy}", [*"abcd"])
