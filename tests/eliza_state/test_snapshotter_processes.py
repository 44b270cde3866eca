"""Snapshots taken by processes that are killed in the middle of it, and by several at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from eliza_modules.conversation import ConversationModule
from eliza_state.manager import StateManager
from tests.eliza_state.chat import TALK
from tests.eliza_state.stored_snapshots import stored
from tests.forking.process import start_program

MODULES = [ConversationModule()]

# Messages are added and old ones edited, so that there are chunks that are written, kept and dropped.
TALKER = """
import asyncio, sys
from eliza_modules.conversation import ConversationModule, MessageEdited, MessageReceived
from eliza_state import snapshotter
from eliza_state.manager import StateManager

snapshotter.MIN_TAIL, snapshotter.TAIL_FRACTION = 50, 1_000_000

async def main(name, url, talk, count):
    async with StateManager.open(url, modules=[ConversationModule()]) as manager:
        scope = manager.at(talk)
        print("open", flush=True)
        for number in range(int(count)):
            said = [MessageReceived(id=f"{name}{number}-{each}", user="ada", text="hi") for each in range(50)]
            await manager.dispatch_all(
                [(event, scope.path)
                 for event in (*said, MessageEdited(id=f"{name}{number // 2}-7", text=f"edited {number}"))]
            )
            print(number, flush=True)
        for problem in manager.problems:
            if problem.kind != "journal":
                print("problem", problem.message, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.contextmanager
def talking(name: str, url: str, *, count: int = 1_000_000) -> Any:
    with start_program(TALKER, name, url, TALK.encode(), count) as child:
        assert child.stdout.readline() == "open\n"
        yield child
        child.kill()


async def state_of(url: str, **options: Any) -> tuple[Mapping[str, Any], list[str]]:
    """Return the state of the conversation, every chunk of it touched, and what was reported."""
    async with StateManager.open(url, modules=MODULES, **options) as manager:
        state = await manager.at(TALK).state()
        repr(state)
        return state, [problem.message for problem in manager.problems if problem.kind != "journal"]


@pytest.mark.parametrize("seed", range(2))
async def test_a_process_killed_while_it_takes_snapshots_leaves_the_state_right(sqlite_url, seed):
    chance = random.Random(seed)
    for attempt in range(3):
        with talking(f"{attempt}-", f"{sqlite_url}?synchronous=NORMAL") as child:
            for _ in range(chance.randint(2, 12)):
                child.stdout.readline()
            await asyncio.sleep(chance.random() * 0.05)  # anywhere between two lines
            child.send_signal(signal.SIGKILL)
            child.wait()
        whole, _ = await state_of(sqlite_url, snapshots=False)

        assert whole == (await state_of(sqlite_url, read_only=True))[0]
        restored, problems = await state_of(sqlite_url)
        assert whole == restored
        assert [] == problems


async def test_two_processes_take_snapshots_of_one_scope_at_once(sqlite_url):
    url = f"{sqlite_url}?synchronous=NORMAL"
    with talking("a", url, count=30) as one, talking("b", url, count=30) as other:
        told = [*one.stdout.read().splitlines(), *other.stdout.read().splitlines()]
        assert [0, 0] == [one.wait(), other.wait()]
    whole, _ = await state_of(sqlite_url, snapshots=False)
    slots, chunks = await stored(sqlite_url)
    restored, problems = await state_of(sqlite_url)

    assert [] == [line for line in told if line.startswith("problem")]
    assert len(whole["conversation"].messages) == 3_000
    assert whole == restored
    assert [] == problems
    assert len(slots) == 2
    assert len(chunks) < 100  # those of two snapshots: nothing piles up
