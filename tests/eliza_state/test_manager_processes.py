"""Eight processes that write to one store: to a room, to conversations of their own, and to one of all."""

from __future__ import annotations

import json
import statistics
import subprocess
from typing import Any

import pytest

from tests.eliza_state import chat
from tests.forking.process import Process, start_program

PROCESSES = 8
ROUNDS = 6

WRITE = """
import asyncio, json, sys
from eliza_state.journal.contract import Conflict
from eliza_state.manager import StateManager
from tests.eliza_state import chat


async def main(url, number, rounds):
    async with StateManager.open(url, modules=chat.modules(), feed=False) as manager:
        overtaken = 0
        append = manager.journal.append

        def counting(drafts, **options):
            nonlocal overtaken
            try:
                return append(drafts, **options)
            except Conflict:
                overtaken += 1
                raise

        manager.journal.append = counting
        room = manager.at(chat.ROOM)
        print("ready", flush=True)
        sys.stdin.readline()
        retries = []
        for turn in range(rounds):
            before = overtaken
            await room.conversation("hot").dispatch(chat.Said(user=f"u{number}", text=f"{number}-{turn}"))
            retries.append(overtaken - before)
            await room.conversation(f"c{number}").dispatch(chat.Said(user="me", text=str(turn)))
            await room.dispatch(chat.Joined(user=f"{number}-{turn}"))
        print(json.dumps(retries), flush=True)
        sys.stdin.readline()
        await manager.refresh()
        print(json.dumps(repr(await manager.state())), flush=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def start(url: str, number: int) -> Process:
    return start_program(
        WRITE,
        url,
        number,
        ROUNDS,
        stderr=subprocess.DEVNULL,  # an SQLite that is not safe to share is warned of
    )


def line(process: Process) -> str:
    return process.stdout.readline().strip()


def tell(processes: list[Process]) -> None:
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


@pytest.mark.parametrize("store", ["postgres_store", "sqlite_url"])
async def test_all_come_to_the_same_state_and_lose_nothing(
    request: pytest.FixtureRequest, opened: Any, store: str
) -> None:
    url = request.getfixturevalue(store)
    processes = [start(url, number) for number in range(PROCESSES)]
    try:
        assert ["ready"] * PROCESSES == [line(process) for process in processes]
        tell(processes)
        retries = [retry for process in processes for retry in json.loads(line(process))]
        tell(processes)
        states = {json.loads(line(process)) for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    manager = await opened(url, snapshots=False)
    assert {repr(await manager.state())} == states
    hot: Any = await manager.at(chat.ROOM.child("conversation", "hot")).state("talk")
    wanted = {f"{number}-{turn}" for number in range(PROCESSES) for turn in range(ROUNDS)}
    assert (len(wanted), wanted) == (len(hot.texts), set(hot.texts))
    records = await manager.root.records(limit=None)
    assert list(range(1, 3 * len(wanted) + 1)) == [record.position for record in records]
    assert statistics.median(retries) <= 3
