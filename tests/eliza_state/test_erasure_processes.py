"""Several managers on one store learn of an erasure, and whoever is killed in one leaves nothing by half."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.change import Change
from eliza_state.event import ScopeErased
from eliza_state.manager import StateManager
from eliza_state.path import Path
from tests.eliza_state import chat
from tests.eliza_state.chat import OTHER, ROOM, TALK, Said, Totals
from tests.forking.process import start_program

WORD = "planted"


async def say(manager: StateManager, *texts: str, user: str = "ada", to: Path = TALK) -> list[Change]:
    return await manager.dispatch_all([(Said(user=user, text=text), to) for text in texts])


async def texts(manager: StateManager, of: Path = TALK) -> list[str]:
    return list((await manager.at(of).state(chat.TalkModule)).texts)


@pytest.fixture
async def two(opened: Any, sqlite_url: str) -> tuple[StateManager, StateManager]:
    """Two managers like two processes; the second has heard of all there is."""
    one, other = await opened(sqlite_url), await opened(sqlite_url)
    await say(one, "one", "two")
    await say(one, "three", user="bo")
    await other.refresh()
    for path in (TALK, OTHER):
        await other.at(path).state()
    return one, other


async def test_another_manager_hears_of_it_in_order(two):
    one, other = two
    heard: list[Change] = []
    other.subscribe(heard.append)
    await one.root.erase(where=lambda event: event.user == "ada")
    await say(one, "four")

    await other.refresh()

    erased, said = heard
    assert (ScopeErased, "remote", TALK) == (type(erased.event), erased.origin, erased.path)
    assert [["one", "two", "three"], ["three"]] == [
        list(states["talk"].texts) for states in (erased.before, erased.after)
    ]
    assert [["three"], ["three", "four"]] == [
        list(states["talk"].texts) for states in (said.before, said.after)
    ]
    assert await one.state() == await other.state()


async def test_it_hears_of_it_when_it_writes_to_the_same_scope(two):
    one, other = two
    await one.root.erase(where=lambda event: event.user == "ada")

    (change,) = await say(other, "four", user="bo")

    assert ["three"] == list(change.before["talk"].texts)
    assert (5, 5) == (change.position, change.version)
    assert ["three", "four"] == await texts(other)


async def test_it_hears_of_it_when_it_writes_beside_it(two):
    one, other = two
    await one.root.erase(where=lambda event: event.user == "ada")

    (change,) = await say(other, "four", user="bo", to=OTHER)

    totals = next(each for each in change.slices if each.module == "totals")
    assert (Totals(events=1, said=1), Totals(events=2, said=2)) == (totals.before, totals.after)
    assert ["three"] == await texts(other)
    await one.refresh()
    assert await one.state() == await other.state()


async def test_scopes_that_it_has_not_loaded_are_as_if_it_had(two):
    one, other = two
    await say(one, "four", to=OTHER)
    await one.at(ROOM).erase()

    await other.refresh()

    assert [] == await texts(other, OTHER)
    assert await one.state() == await other.state()


async def test_managers_that_write_and_erase_at_once_agree(opened, sqlite_url):
    managers = [await opened(sqlite_url) for _ in range(3)]

    async def work(manager: StateManager, number: int) -> None:
        for turn in range(12):
            await say(manager, f"{turn}", user=f"user {number}", to=(TALK, OTHER)[turn % 2])
            if turn % 4 == 3:
                await manager.at((ROOM, TALK, OTHER)[number]).erase(where=lambda event: event.text < "9")

    await asyncio.gather(*(work(manager, number) for number, manager in enumerate(managers)))

    for manager in managers:
        await manager.refresh()
    states = [await manager.state() for manager in (*managers, await opened(sqlite_url, snapshots=False))]
    assert states[:-1] == states[1:]
    assert {"journal"} >= {problem.kind for manager in managers for problem in manager.problems}


async def test_a_cache_in_front_does_not_bring_it_back(opened, sqlite_url, redis_url, tmp_path):
    layers = [redis_url, f"sqlite:///{tmp_path}/home.db"]
    one = await opened(sqlite_url, snapshots=layers)
    await say(one, *(f"{number}" for number in range(100)))
    await one.close()
    one, other = [await opened(sqlite_url, snapshots=layers) for _ in range(2)]
    before = await texts(other)
    await one.at(TALK).erase()

    third = await opened(sqlite_url, snapshots=layers)

    assert 100 == len(before)
    assert [] == await texts(third)
    assert () == (await third.at(TALK).erase()).remains


# Killed

ERASE = """
import asyncio, sys
from eliza_state import erasure, snapshotter
from eliza_state.manager import StateManager
from tests.eliza_state import chat

erasure._BATCH_RECORDS, snapshotter.MIN_TAIL = 20, 50

async def main(url):
    async with StateManager.open(url, modules=chat.modules()) as manager:
        print("open", flush=True)
        sys.stdin.readline()
        erased = await manager.root.erase(where=lambda event: event.user == "ada")
        print("erased", flush=True)
        sys.stdin.readline()

asyncio.run(main(sys.argv[1]))
"""


def kill_within(url: str, seconds: float) -> None:
    """Have another process erase, and kill it after a while, or once it is done."""
    with start_program(ERASE, url) as child:
        assert child.stdout.readline() == "open\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        try:
            child.wait(seconds)  # anywhere between the first transaction and the end
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)


def files_with(folder: FilePath) -> set[str]:
    return {file.name for file in folder.iterdir() if file.is_file() and WORD.encode() in file.read_bytes()}


async def states_of(opened: Any, url: str, **options: Any) -> Any:
    manager = await opened(url, **options)
    state = await manager.state()
    problems = [problem for problem in manager.problems if problem.kind != "journal"]
    await manager.close()

    assert [] == problems
    return state


@pytest.mark.parametrize("seed", range(4))
async def test_who_is_killed_leaves_nothing_by_half_and_the_next_one_finishes(
    opened, sqlite_url, tmp_path, seed
):
    chance = random.Random(seed)
    manager = await opened(sqlite_url)
    for number in range(300):
        await say(manager, f"{WORD} {number}", to=chance.choice([TALK, OTHER]))
        await say(manager, "stays", user="bo", to=chance.choice([TALK, OTHER]))
    await manager.close()

    await asyncio.to_thread(kill_within, sqlite_url, chance.random() * 0.25)

    folded = await states_of(opened, sqlite_url, snapshots=False, read_only=True)
    assert folded == await states_of(opened, sqlite_url)
    again = await opened(sqlite_url)
    erased = await again.root.erase(where=lambda event: event.user == "ada")
    assert () == erased.remains
    assert 300 == (await again.root.state(chat.TotalsModule)).said
    assert [] == again.journal.unsettled_erasures()
    assert set() == files_with(tmp_path)
