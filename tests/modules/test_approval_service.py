"""Asking, answering and waiting for answers, over restarts and between processes."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta

import pytest

from eliza_modules.approval import ApprovalModule, Approvals, UnknownApproval
from eliza_state import StateManager
from eliza_state.errors import Rejected, StateError, StoreError
from eliza_state.testing import START, ManualClock
from tests.modules.processes import heard, processes, tell

PATIENCE_S = 30
SOON = START + timedelta(minutes=5)


@pytest.fixture
async def manager():
    async with StateManager.open(modules=[ApprovalModule()]) as opened:
        yield opened


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def approvals(manager, clock):
    return of(manager, clock)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'state.db'}"


def of(manager, clock):
    return Approvals(manager.agent("eliza"), manager=manager, clock=clock, refresh_interval_ms=10)


def reopened(url):
    return StateManager.open(url, modules=[ApprovalModule()])


def ids(found):
    return [approval.id for approval in found]


async def waiting(approvals, identifier):
    """A task that waits for a decision, and has begun to."""
    task = asyncio.create_task(approvals.decision(identifier, PATIENCE_S))
    await asyncio.sleep(0)
    return task


async def test_what_is_asked_waits_until_somebody_answers(approvals, clock):
    asked = await approvals.request({"tool": "mail"}, by="eliza")
    pending = await approvals.pending()
    clock.advance(ms=1_000)
    answered = await approvals.approve(asked.id, by="ada", reason="fine")

    assert (asked,) == pending
    assert ("approved", "ada", "fine") == (answered.status, answered.answer.by, answered.answer.reason)
    assert (asked.requested_at, answered.answer.at) == (START, clock.now)
    assert answered == await approvals.get(asked.id)


async def test_each_way_to_answer(approvals):
    for identifier in "abc":
        await approvals.request("?", id=identifier)
    await approvals.deny("a", by="ada")
    await approvals.cancel("b", reason="no need")

    assert [("b", "cancelled"), ("a", "denied")] == [(a.id, a.status) for a in await approvals.history()]
    assert ["b"] == ids(await approvals.history(limit=1))
    assert ["c"] == ids(await approvals.pending())


async def test_approving_twice_is_refused(approvals):
    await approvals.request("?", id="a1")
    await approvals.approve("a1", by="ada")

    with pytest.raises(Rejected, match="approval 'a1' is approved by 'ada'"):
        await approvals.approve("a1", by="bo")


async def test_of_answers_at_once_one_is_taken(approvals):
    await approvals.request("?", id="a1")
    answers = [approvals.approve("a1", by=str(number)) for number in range(5)]
    came = await asyncio.gather(*answers, approvals.deny("a1", by="bo"), return_exceptions=True)

    assert 5 == sum(isinstance(answer, Rejected) for answer in came)


async def test_an_unknown_approval_is_an_error(approvals):
    with pytest.raises(UnknownApproval, match="'agent:eliza' keeps no approval 'a9'"):
        await approvals.get("a9")
    with pytest.raises(UnknownApproval, match="'agent:eliza' keeps no approval 'a9'"):
        await approvals.decision("a9")
    with pytest.raises(Rejected, match="there is no approval 'a9'"):
        await approvals.approve("a9", by="ada")


@pytest.mark.parametrize("limit", [0, True, None])
async def test_a_history_shows_at_least_one(approvals, limit):
    with pytest.raises(StateError, match="limit counts approvals"):
        await approvals.history(limit=limit)


async def test_a_deadline_in_the_past_is_refused(approvals):
    with pytest.raises(Rejected, match="a deadline lies ahead"):
        await approvals.request("?", deadline=START - timedelta(seconds=1))


async def test_a_naive_deadline_is_refused(approvals):
    with pytest.raises(Rejected, match="a time with a time zone is wanted"):
        await approvals.request("?", deadline=SOON.replace(tzinfo=None))


async def test_what_is_due_expires_as_one_step(manager, approvals, clock):
    for identifier in "abc":
        await approvals.request("?", id=identifier, deadline=SOON)
    await approvals.request("?", id="later", deadline=SOON + timedelta(seconds=1))
    early = await approvals.expire_due()
    clock.set(SOON)
    before = await manager.position()
    expired = await approvals.expire_due()

    assert () == early
    assert [(name, "expired") for name in "abc"] == [(each.id, each.status) for each in expired]
    assert ["later"] == ids(await approvals.pending())
    assert before + 3 == await manager.position()
    assert () == await approvals.expire_due()


async def test_what_is_due_is_told_however_short_the_history(clock):
    async with StateManager.open(modules=[ApprovalModule(history_limit=1)]) as manager:
        approvals = of(manager, clock)
        for identifier in "abc":
            await approvals.request("?", id=identifier, deadline=SOON)

        assert ["a", "b", "c"] == ids(await approvals.expire_due(SOON))


async def test_a_naive_now_is_an_error(approvals):
    with pytest.raises(StateError, match="a time with a time zone is wanted"):
        await approvals.expire_due(SOON.replace(tzinfo=None))


async def test_a_decision_that_was_made_is_there_at_once(approvals):
    await approvals.request("?", id="a1")
    answered = await approvals.deny("a1", by="ada")

    assert answered == await approvals.decision("a1", PATIENCE_S)


async def test_whoever_waits_is_told(approvals):
    await approvals.request("?", id="a1")
    tasks = [await waiting(approvals, "a1") for _ in range(3)]
    answered = await approvals.approve("a1", by="ada")

    assert [answered] * 3 == await asyncio.gather(*tasks)


async def test_whoever_waits_is_told_at_once_not_at_the_next_look(manager, clock):
    hourly = Approvals(manager.agent("eliza"), manager=manager, clock=clock, refresh_interval_ms=3_600_000)
    await hourly.request("?", id="a1")
    task = await waiting(hourly, "a1")
    answered = await hourly.approve("a1", by="ada")

    assert answered == await task


async def test_whoever_waits_is_told_however_short_the_history(clock):
    async with StateManager.open(modules=[ApprovalModule(history_limit=1)]) as manager:
        approvals = of(manager, clock)
        for identifier in "ab":
            await approvals.request("?", id=identifier)
        task = await waiting(approvals, "a")
        await asyncio.gather(approvals.deny("a", by="ada"), approvals.approve("b", by="ada"))

        assert "denied" == (await task).status


async def test_the_answer_to_another_question_wakes_nobody(approvals):
    for identifier in "ab":
        await approvals.request("?", id=identifier)
    task = await waiting(approvals, "a")
    await approvals.approve("b", by="ada")
    await asyncio.sleep(0)
    still_waits = not task.done()
    await approvals.deny("a", by="ada")

    assert still_waits
    assert "denied" == (await task).status


async def test_waiting_ends_after_a_while(approvals):
    await approvals.request("?", id="a1")

    with pytest.raises(TimeoutError):
        await approvals.decision("a1", timeout=0.02)
    assert ["a1"] == ids(await approvals.pending())


async def test_whoever_waits_expires_it_at_its_deadline(approvals, clock):
    await approvals.request("?", id="a1", deadline=SOON)
    task = await waiting(approvals, "a1")
    clock.set(SOON)

    assert ("expired", SOON) == ((await task).status, (await task).answer.at)


async def test_a_deadline_is_met_between_two_looks(manager, clock):
    hourly = Approvals(manager.agent("eliza"), manager=manager, clock=clock, refresh_interval_ms=3_600_000)
    deadline = START + timedelta(milliseconds=10)
    await hourly.request("?", id="a1", deadline=deadline)
    task = await waiting(hourly, "a1")
    clock.set(deadline)

    assert "expired" == (await task).status


async def test_waiting_leaves_no_subscription_behind(manager, approvals):
    await approvals.request("?", id="a1")
    task = await waiting(approvals, "a1")
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert not manager.core.signals.is_heard


async def test_a_closed_store_ends_the_waiting(url, clock):
    async with reopened(url) as manager:
        approvals = of(manager, clock)
        await approvals.request("?", id="a1")
        task = await waiting(approvals, "a1")

    with pytest.raises(StoreError, match="closed"):
        await task


async def test_a_question_survives_a_restart(url, clock):
    async with reopened(url) as manager:
        asked = await of(manager, clock).request({"tool": "mail"}, deadline=SOON)

    async with reopened(url) as manager:
        approvals = of(manager, clock)
        task = await waiting(approvals, asked.id)
        answered = await approvals.approve(asked.id, by="ada")
        assert answered == await task


async def test_what_another_manager_asked_can_be_answered(url, clock):
    async with reopened(url) as manager, reopened(url) as other:
        approvals = of(manager, clock)
        before = await approvals.pending()
        await of(other, clock).request("?", id="a1")

        assert () == before
        assert "approved" == (await approvals.approve("a1", by="ada")).status


async def test_the_deadlines_of_another_manager_are_kept(url, clock):
    async with reopened(url) as manager, reopened(url) as other:
        approvals = of(manager, clock)
        await approvals.pending()
        await of(other, clock).request("?", id="a1", deadline=SOON)

        assert ["a1"] == ids(await approvals.expire_due(SOON))


async def test_the_answer_of_another_manager_is_found(url, clock):
    async with reopened(url) as manager, reopened(url) as other:
        approvals = of(manager, clock)
        await approvals.request("?", id="a1")
        task = await waiting(approvals, "a1")
        answered = await of(other, clock).approve("a1", by="ada")

        assert answered == await task


WAIT = """
import asyncio, sys
from eliza_modules.approval import ApprovalModule, Approvals
from eliza_state import StateManager

async def main():
    async with StateManager.open(sys.argv[1], modules=[ApprovalModule()]) as manager:
        approvals = Approvals(manager.agent("eliza"), manager=manager, refresh_interval_ms=20)
        await manager.agent("eliza").state()
        print("ready", flush=True)
        answered = await approvals.decision("a1")
        print(answered.status, answered.answer.by, flush=True)

asyncio.run(main())
"""


async def test_a_process_that_waits_hears_of_the_answer_also_after_it_was_killed(url, clock):
    async with reopened(url) as manager:
        approvals = of(manager, clock)
        await approvals.request("?", id="a1")
        with processes(WAIT, url) as (killed,):
            os.kill(killed.pid, signal.SIGKILL)
            assert "" == heard(killed)
        with processes(WAIT, url) as (waits,):
            await approvals.approve("a1", by="ada")

            assert "approved ada" == await asyncio.to_thread(heard, waits)


ANSWER = """
import asyncio, os, sys
from eliza_modules.approval import ApprovalModule, Approvals
from eliza_state import Rejected, StateManager

async def main():
    async with StateManager.open(sys.argv[1], modules=[ApprovalModule()]) as manager:
        approvals = Approvals(manager.agent("eliza"), manager=manager)
        pending = await approvals.pending()
        print("ready", flush=True)
        sys.stdin.readline()
        won = []
        for approval in pending:
            try:
                won.append((await approvals.approve(approval.id, by=str(os.getpid()))).id)
            except Rejected:
                pass
        print(*won, flush=True)

asyncio.run(main())
"""


async def test_of_two_processes_that_answer_at_once_one_wins(url, clock):
    async with reopened(url) as manager:
        approvals = of(manager, clock)
        asked = [await approvals.request("?", id=f"a{number}") for number in range(20)]

    with processes(ANSWER, url, count=2) as both:
        for process in both:
            tell(process, "go")
        won = [(str(process.pid), name) for process in both for name in heard(process).split()]

    assert sorted(ids(asked)) == sorted(name for _, name in won)
    async with reopened(url) as manager:
        given = [(answered.answer.by, answered.id) for answered in await of(manager, clock).history()]
    assert sorted(won) == sorted(given)
