"""A workspace between processes: one claims, one is killed, one comes back late."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from eliza_modules import ConversationModule, MessageReceived
from eliza_modules.workspace import WorkspaceModule
from eliza_modules.workspace_claim import RunLost
from eliza_modules.workspace_follower import workspace_follower
from eliza_modules.workspace_service import Workspace
from eliza_state import StateManager
from eliza_state.followers import Followers
from eliza_state.storage import MemoryStorage
from tests.modules.processes import heard, processes, tell

LEASE_MS = 500


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'state.db'}"


def opened(url):
    return StateManager.open(url, modules=[ConversationModule(), WorkspaceModule()])


def workspace(manager):
    return Workspace(manager.agent("eliza").user("ada"), manager=manager, keys=MemoryStorage())


async def filled(url, count):
    async with opened(url) as manager:
        for number in range(count):
            await workspace(manager).receive(f"text {number}", id=f"m{number}")


async def claimed(ada, holder):
    """Claim once the lease of a dead holder is over."""
    async with asyncio.timeout(20):
        # nobody tells that time has passed
        while (run := await ada.claim(holder=holder, lease_ms=LEASE_MS)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return run


START = """
import asyncio, os, sys
from eliza_modules import ConversationModule, MessageReceived
from eliza_modules.workspace import WorkspaceModule
from eliza_modules.workspace_claim import RunLost
from eliza_modules.workspace_follower import workspace_follower
from eliza_modules.workspace_service import Workspace
from eliza_state import StateManager
from eliza_state.followers import Followers
from eliza_state.storage import MemoryStorage

async def main(work):
    modules = [ConversationModule(), WorkspaceModule()]
    async with StateManager.open(sys.argv[1], modules=modules) as manager:
        scope = manager.agent("eliza").user("ada")
        await work(Workspace(scope, manager=manager, keys=MemoryStorage()), manager)
"""

CLAIM_ALL = (
    START
    + """
async def work(ada, manager):
    print("ready", flush=True)
    sys.stdin.readline()
    won = []
    while (await ada.state()).queue or (await ada.state()).active_run:
        run = await ada.claim(holder=str(os.getpid()), lease_ms=60_000)
        if run is None:
            await asyncio.sleep(0.001)
            continue
        won.append(f"{run.token}:{run.message.id}")
        await run.complete(run.message.id)
    print(*won, flush=True)

asyncio.run(main(work))
"""
)


async def test_two_processes_that_claim_share_the_messages_in_order(url):
    await filled(url, 25)
    with processes(CLAIM_ALL, url, count=2) as both:
        for process in both:
            tell(process, "go")
        won = [entry.split(":") for process in both for entry in heard(process).split()]
    won.sort(key=lambda entry: int(entry[0]))

    assert won == [[str(number + 1), f"m{number}"] for number in range(25)]
    async with opened(url) as manager:
        answers = [each.content for each in (await workspace(manager).state()).messages if not each.id]
        assert answers == [f"m{number}" for number in range(25)]


HOLD = (
    START
    + """
async def work(ada, manager):
    print("ready", flush=True)
    run = await ada.claim("held", holder="other", lease_ms=int(sys.argv[2]))
    await run.say("half an answer")
    await run.context.memory.set("city", "Paris")
    print(run.token, flush=True)
    sys.stdin.readline()
    try:
        await run.complete("late")
    except RunLost:
        print("refused", flush=True)
    else:
        print("completed", flush=True)

asyncio.run(main(work))
"""
)


async def test_a_killed_holder_is_superseded_after_its_lease(url):
    await filled(url, 2)
    with processes(HOLD, url, LEASE_MS) as (holder,):
        token = int(heard(holder))
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()

    async with opened(url) as manager:
        ada = workspace(manager)
        assert "half an answer" == (await ada.state()).messages[-1].content
        run = await claimed(ada, "heir")
        state = await ada.state()
        assert (run.token, run.message.id, run.message.attempts) == (token + 1, "m0", 2)
        assert (["text 0"], {}) == ([each.content for each in state.messages], dict(state.memory))


async def test_a_stopped_holder_that_comes_back_is_refused(url):
    await filled(url, 1)
    with processes(HOLD, url, LEASE_MS) as (holder,):
        heard(holder)
        os.kill(holder.pid, signal.SIGSTOP)
        async with opened(url) as manager:
            run = await claimed(workspace(manager), "heir")
            await run.complete("in time")
            os.kill(holder.pid, signal.SIGCONT)
            tell(holder, "go on")

            assert "refused" == heard(holder)
            await manager.refresh()
            messages = (await workspace(manager).state()).messages
            assert ["text 0", "in time"] == [each.content for each in messages]


async def test_a_run_is_stopped_by_another_process(url):
    await filled(url, 1)
    interrupt = (
        START
        + """
async def work(ada, manager):
    print("ready", flush=True)
    sys.stdin.readline()
    await ada.receive("stop", id="stop", policy="interrupt")
    print("done", flush=True)

asyncio.run(main(work))
"""
    )
    with processes(interrupt, url) as (other,):
        async with opened(url) as manager:
            ada = workspace(manager)

            async def work():
                async with asyncio.timeout(20), ada.run(holder="p1", lease_ms=LEASE_MS):
                    tell(other, "go")
                    await asyncio.Event().wait()

            with pytest.raises(RunLost):
                await work()
            assert ["stop"] == [message.id for message in (await ada.state()).queue]


DRAIN = (
    START
    + """
async def answer(run):
    print("begun", run.message.source, flush=True)
    await run.say("working")
    await run.context.memory.set(run.message.source, "seen")
    return run.message.source

async def work(ada, manager):
    talk = manager.agent("eliza").room("general").conversation("c1")
    async with Followers(manager) as followers:
        await followers.follow("workspaces", workspace_follower(), events=[MessageReceived])
        print("ready", flush=True)
        number = 0
        while True:
            await talk.dispatch(MessageReceived(id=f"m{number}", user="ada", text="hello"))
            print("said", f"m{number}", flush=True)
            number += 1
            if number % 3 == 0:
                await followers.settled()
                await ada.drain(answer, holder="worker", lease_ms=int(sys.argv[2]))

asyncio.run(main(work))
"""
)


@pytest.mark.parametrize("lines", random.Random(7).sample(range(1, 40), 4))
async def test_killed_anywhere_every_message_is_answered_once_and_in_order(url, lines):
    with processes(DRAIN, url, LEASE_MS) as (worker,):
        told = [heard(worker).split() for _ in range(lines)]
        os.kill(worker.pid, signal.SIGKILL)
        told += [line.split() for line in worker.stdout]
    said = [name for what, name in told if what == "said"]

    async with opened(url) as manager, Followers(manager) as followers:
        await followers.follow("workspaces", workspace_follower(), events=[MessageReceived])
        await followers.settled()
        ada = workspace(manager)

        async def answer(run):
            return run.message.source

        async with asyncio.timeout(20):
            while (state := await ada.state()).queue or state.active_run:
                await ada.drain(answer, holder="heir")
                await asyncio.sleep(0.02)

        talk = manager.agent("eliza").room("general").conversation("c1")
        stored = list((await talk.state(ConversationModule)).messages.ids())
        records = await ada.scope.records(limit=None)
        completed = [record.payload for record in records if record.event == "workspace_run_completed"]
        assert said == stored[: len(said)]
        assert len(completed) == len(stored)
        answers = [
            each.content for each in state.messages if each.role == "assistant" and each.content[0] == "m"
        ]
        assert answers == stored[-len(answers) :]
