"""The service over an agent's runs, over restarts and beside other processes."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from eliza_modules.run import RunModule, Runs, UnknownRun
from eliza_serializers import Secret
from eliza_state import StateManager
from eliza_state.errors import InvalidEvent, RegistrationError, Rejected, StateError
from eliza_state.testing import START, ManualClock
from tests.modules.processes import heard, processes, tell


@pytest.fixture
async def manager():
    async with StateManager.open(modules=[RunModule()]) as opened:
        yield opened


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def runs(manager, clock):
    return Runs(manager.agent("eliza"), clock=clock)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'state.db'}"


def reopened(url):
    return StateManager.open(url, modules=[RunModule()])


def ids(found):
    return [run.id for run in found]


async def test_a_run_from_beginning_to_end(runs, clock):
    run = await runs.create({"ask": "tea"})
    statuses = [run.status]
    for step in (runs.investigate, runs.wait_for_approval, runs.start):
        clock.advance(ms=1_000)
        statuses.append((await step(run.id)).status)
    done = await runs.complete(run.id, result="poured")

    assert statuses == ["pending", "investigating", "waiting_for_approval", "active"]
    assert (done.status, done.result, done.input) == ("completed", "poured", {"ask": "tea"})
    assert (done.created_at, done.finished_at) == (START, clock.now)
    assert done == await runs.get(run.id)


async def test_runs_have_ids_of_their_own(runs):
    assert (await runs.create()).id != (await runs.create()).id


async def test_a_run_tells_its_parent(runs):
    parent = await runs.create()

    assert parent.id == (await runs.create(parent=parent.id)).parent


async def test_a_failed_run_tells_its_error(runs):
    run = await runs.create(id="r1")

    assert "no water" == (await runs.fail(run.id, error="no water")).error


async def test_a_cancelled_run_tells_the_reason(runs):
    run = await runs.create(id="r1")

    assert "enough" == (await runs.cancel(run.id, reason="enough")).error


async def test_an_id_is_not_reused(runs):
    await runs.create(id="r1")

    with pytest.raises(Rejected, match="there is a run 'r1' already"):
        await runs.create(id="r1")


async def test_an_illegal_transition_changes_nothing(runs):
    before = await runs.create(id="r1")

    with pytest.raises(Rejected, match="not completed"):
        await runs.complete("r1")
    assert before == await runs.get("r1")


async def test_an_unknown_run_is_an_error(runs):
    with pytest.raises(UnknownRun, match="'agent:eliza' keeps no run 'r9'"):
        await runs.get("r9")
    with pytest.raises(Rejected, match="there is no run 'r9'"):
        await runs.start("r9")
    with pytest.raises(UnknownRun, match="keeps no run 'r9'"):
        await runs.list(before="r9")


async def test_agents_have_runs_of_their_own(manager, runs):
    await runs.create(id="r1")

    assert () == await Runs(manager.agent("alan")).list()


async def test_a_store_without_the_module_is_an_error(runs):
    async with StateManager.open() as manager:
        with pytest.raises(RegistrationError, match="no module 'RunModule'"):
            await Runs(manager.agent("eliza")).list()


async def test_runs_are_listed_newest_first(runs):
    for run in "abc":
        await runs.create(id=run)
    await runs.start("a")

    assert ["c", "b", "a"] == ids(await runs.list())


async def test_runs_are_listed_by_status(runs):
    for run in "abcd":
        await runs.create(id=run)
    for run in "ac":
        await runs.start(run)

    assert ["c", "a"] == ids(await runs.list(status="active"))
    assert () == await runs.list(status="failed")


async def test_pages_follow_one_another_whatever_happens_meanwhile(runs):
    for run in "abcdef":
        await runs.create(id=run)
    first = await runs.list(status="pending", limit=2)
    await runs.start(first[-1].id)
    await runs.create(id="g")
    second = await runs.list(status="pending", limit=3, before=first[-1].id)

    assert (ids(first), ids(second)) == (["f", "e"], ["d", "c", "b"])
    assert ["a"] == ids(await runs.list(status="pending", limit=3, before="b"))


@pytest.mark.parametrize("limit", [0, -1, True, None])
async def test_a_page_holds_at_least_one(runs, limit):
    with pytest.raises(StateError, match="limit counts runs"):
        await runs.list(limit=limit)


async def test_an_unknown_status_is_an_error(runs):
    with pytest.raises(StateError, match=r"one of pending, investigating, .*, got 'lost'"):
        await runs.list(status="lost")


async def test_after_a_restart_the_runs_are_there_and_those_to_resume_are_told(url):
    async with reopened(url) as manager:
        runs = Runs(manager.agent("eliza"))
        for run in ("pending", "investigating", "active", "waiting", "done"):
            await runs.create(id=run)
        await runs.investigate("investigating")
        await runs.start("active")
        await runs.wait_for_approval("waiting")
        await runs.start("done")
        await runs.complete("done", result={"key": Secret("abc"), "sizes": (1, 2)})

    async with reopened(url) as manager:
        runs = Runs(manager.agent("eliza"))
        assert ["pending", "investigating"] == ids(await runs.resumable())
        assert {"key": Secret("abc"), "sizes": (1, 2)} == (await runs.get("done")).result


async def test_a_result_that_cannot_be_written_changes_nothing(url):
    async with reopened(url) as manager:
        runs = Runs(manager.agent("eliza"))
        await runs.create(id="r1")
        before = await runs.start("r1")

        with pytest.raises(InvalidEvent, match="result"):
            await runs.complete("r1", result=asyncio)
        assert before == await runs.get("r1")


WORK = """
import asyncio, sys
from eliza_modules.run import RunModule, Runs
from eliza_state import StateManager

async def main():
    async with StateManager.open(sys.argv[1], modules=[RunModule()]) as manager:
        runs = Runs(manager.agent("eliza"))
        print("ready", flush=True)
        while True:
            run = await runs.create()
            print(run.id, run.status, flush=True)
            for step in (runs.investigate, runs.start, runs.wait_for_approval, runs.start, runs.complete):
                run = await step(run.id)
                print(run.id, run.status, flush=True)

asyncio.run(main())
"""
ORDER = ["pending", "investigating", "active", "waiting_for_approval", "active", "completed"]


@pytest.mark.parametrize("lines", random.Random(4).sample(range(1, 40), 4))
async def test_killed_in_the_middle_of_a_run_nothing_that_was_said_is_lost(url, lines):
    with processes(WORK, url) as (process,):
        said = [heard(process).split() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        said += [line.split() for line in process.stdout]
    steps = {run: [status for each, status in said if each == run] for run, _ in said}

    async with reopened(url) as manager:
        runs = Runs(manager.agent("eliza"))
        for run, statuses in steps.items():
            reached = len(statuses) - 1
            assert (await runs.get(run)).status in ORDER[reached : reached + 2]
        assert len(await runs.list(limit=100)) - len(steps) in (0, 1)
        pending = [run for run in await runs.list(limit=100) if run.status in ("pending", "investigating")]
        assert ids(pending) == ids(await runs.resumable())


START_ALL = """
import asyncio, sys
from eliza_modules.run import RunModule, Runs
from eliza_state import Rejected, StateManager

async def main():
    async with StateManager.open(sys.argv[1], modules=[RunModule()]) as manager:
        runs = Runs(manager.agent("eliza"))
        waiting = await runs.resumable()
        print("ready", flush=True)
        sys.stdin.readline()
        won = []
        for run in waiting:
            try:
                won.append((await runs.start(run.id)).id)
            except Rejected:
                pass
        print(*won, flush=True)

asyncio.run(main())
"""


async def test_of_two_processes_that_start_a_run_one_does(url):
    async with reopened(url) as manager:
        runs = Runs(manager.agent("eliza"))
        made = [(await runs.create(id=f"r{number}")).id for number in range(20)]

    with processes(START_ALL, url, count=2) as both:
        for process in both:
            tell(process, "go")
        won = [run for process in both for run in heard(process).split()]

    assert sorted(made) == sorted(won)
