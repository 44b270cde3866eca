"""The service over a workspace: receiving, claiming, running, draining, stopping."""

from __future__ import annotations

import asyncio

import pytest

from eliza_modules.workspace import WorkspaceMessageReceived, WorkspaceModule, WorkspaceRunRenewed
from eliza_modules.workspace_claim import RunLost
from eliza_modules.workspace_service import Workspace, WorkspaceBusy, waiting_users
from eliza_state import StateManager
from eliza_state.debugger import Debugger
from eliza_state.errors import Rejected
from eliza_state.plugins import Plugins
from eliza_state.testing import ManualClock


@pytest.fixture
async def manager():
    async with StateManager.open(modules=[WorkspaceModule()]) as opened:
        yield opened


@pytest.fixture
async def keys():
    async with Plugins.in_database("memory://") as plugins:
        yield plugins["eliza"]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def ada(manager, keys, clock):
    return Workspace(manager.agent("eliza").user("ada"), manager=manager, keys=keys, clock=clock)


async def run_block(ada, block, run_id=None):
    async with ada.run(run_id, holder="p1") as run:
        await block(run)


def said(state):
    return [(each.role, each.content) for each in state.messages]


async def test_a_message_runs_and_is_answered(ada):
    await ada.receive("hello", id="m1")
    async with ada.run("r1", holder="p1") as run:
        await run.say("42", role="tool")
        await run.complete(f"you said {run.message.text}")
    state = await ada.state()

    assert said(state) == [("user", "hello"), ("tool", "42"), ("assistant", "you said hello")]
    assert (run.id, run.token, run.message.attempts, state.active_run) == ("r1", 1, 1, None)


async def test_a_block_that_ends_completes_the_run(ada):
    await ada.receive("hello")
    async with ada.run(holder="p1"):
        pass

    assert (await ada.state()).active_run is None
    assert await ada.claim(holder="p1") is None


async def test_without_a_message_there_is_no_run(ada):
    async with ada.run(holder="p1") as run:
        assert run is None


async def test_while_a_run_goes_on_there_is_no_other(ada):
    await ada.receive("one")
    await ada.receive("two")
    first = await ada.claim(holder="p1")
    assert await ada.claim(holder="p2") is None
    await first.complete()

    assert "two" == (await ada.claim(holder="p2")).message.text


async def test_runs_have_ids_of_their_own(ada):
    await ada.receive("one")
    await ada.receive("two")
    first = await ada.claim(holder="p1")
    await first.complete()

    assert first.id != (await ada.claim(holder="p1")).id


async def test_of_many_that_claim_at_once_one_is_given_the_run(ada):
    await ada.receive("hello")
    claimed = await asyncio.gather(*(ada.claim(holder=f"p{number}") for number in range(20)))

    assert 1 == sum(run is not None for run in claimed)


async def test_a_malformed_claim_is_refused(ada):
    await ada.receive("hello")

    with pytest.raises(Rejected, match="a lease lasts"):
        await ada.claim(holder="p1", lease_ms=0)


async def test_a_message_comes_twice_and_is_taken_once(ada):
    assert await ada.receive("hello", id="m1")
    assert not await ada.receive("hello", id="m1")


async def test_during_a_run_a_message_may_be_refused(ada, clock):
    await ada.receive("one")
    await ada.claim(holder="p1", lease_ms=1_000)
    with pytest.raises(WorkspaceBusy, match="a run is going on at 'agent:eliza/user:ada'"):
        await ada.receive("two", policy="reject")
    clock.advance(ms=1_000)

    assert await ada.receive("three", policy="reject")


async def test_a_dead_holder_is_superseded_and_refused_when_it_comes_back(ada, clock):
    await ada.receive("hello")
    dead = await ada.claim("r1", holder="p1", lease_ms=1_000)
    await dead.say("half an answer")
    clock.advance(ms=999)
    assert await ada.claim(holder="p2") is None
    clock.advance(ms=1)
    heir = await ada.claim("r2", holder="p2")

    assert (heir.token, heir.message.attempts) == (2, 2)
    for late in (dead.say("more"), dead.complete("late"), dead.renew(), dead.release()):
        with pytest.raises(RunLost, match="token 1 does not hold"):
            await late
    with pytest.raises(RunLost):
        await dead.context.memory.set("city", "Paris")
    assert [("user", "hello")] == said(await ada.state())


async def test_a_renewed_lease_keeps_others_away(ada, clock):
    await ada.receive("hello")
    run = await ada.claim(holder="p1", lease_ms=1_000)
    clock.advance(ms=900)
    await run.renew()
    clock.advance(ms=900)

    assert await ada.claim(holder="p2") is None


async def test_a_block_renews_its_lease_by_itself(ada, manager, clock):
    await ada.receive("hello")
    renewed = asyncio.Event()
    with manager.subscribe(lambda _: renewed.set(), event=WorkspaceRunRenewed):
        async with ada.run(holder="p1", lease_ms=30):
            clock.advance(ms=1)  # a lease that stays as it is would be no change
            await renewed.wait()

    assert (await ada.state()).active_run is None


async def test_a_block_that_raises_gives_the_run_back(ada):
    async def divide(run):
        await run.say("I divide")
        raise ZeroDivisionError

    await ada.receive("hello")
    with pytest.raises(ZeroDivisionError):
        await run_block(ada, divide)
    state = await ada.state()

    assert (said(state), state.active_run) == ([], None)
    assert ["hello"] == [message.text for message in state.queue]


async def test_a_block_that_is_cancelled_gives_the_run_back(ada):
    await ada.receive("hello")
    begun = asyncio.Event()

    async def work():
        async with ada.run(holder="p1"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await ada.state()).active_run is None
    assert 1 == len((await ada.state()).queue)


@pytest.mark.parametrize(
    ("policy", "left"),
    [("interrupt", [("user", "one"), ("assistant", "half")]), ("rollback", [])],
)
async def test_an_interrupting_message_stops_the_block(ada, policy, left):
    async def work(run):
        await run.say("half")
        await ada.receive("two", policy=policy)
        await asyncio.Event().wait()

    await ada.receive("one")
    with pytest.raises(RunLost, match="token 1 does not hold the workspace 'agent:eliza/user:ada'"):
        await run_block(ada, work)

    assert left == said(await ada.state())
    assert "two" == (await ada.claim(holder="p1")).message.text


async def test_a_block_that_ends_as_it_is_stopped_is_lost_too(ada):
    await ada.receive("one")
    with pytest.raises(RunLost):
        await run_block(ada, lambda _: ada.receive("two", policy="interrupt"))

    assert 0 == asyncio.current_task().cancelling()


async def test_a_reset_stops_the_block(ada):
    async def work(run):
        await ada.reset()
        await asyncio.Event().wait()

    await ada.receive("one")
    with pytest.raises(RunLost):
        await run_block(ada, work)

    assert ((), ()) == ((await ada.state()).messages, (await ada.state()).queue)


async def test_another_cancellation_counts_for_more_than_a_stop(ada):
    await ada.receive("one")
    begun = asyncio.Event()

    async def work():
        async with ada.run(holder="p1"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await ada.receive("two", policy="interrupt")

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_draining_runs_what_waits_and_what_comes_in_order(ada):
    heard = []

    async def handle(run):
        heard.append(run.message.text)
        if run.message.text == "one":
            await ada.receive("four")
        return run.message.text.upper()

    for text in ("one", "two", "three"):
        await ada.receive(text)
    count = await ada.drain(handle, holder="p1")

    assert (count, heard) == (4, ["one", "two", "three", "four"])
    assert ["ONE", "TWO", "THREE", "FOUR"] == [
        text for role, text in said(await ada.state()) if role != "user"
    ]


async def test_draining_goes_on_with_the_message_that_interrupts(ada):
    heard = []

    async def handle(run):
        heard.append(run.message.text)
        if run.message.text == "one":
            await ada.receive("two", policy="rollback")
            await asyncio.Event().wait()

    await ada.receive("one")

    assert 1 == await ada.drain(handle, holder="p1")
    assert (heard, said(await ada.state())) == (["one", "two"], [("user", "two")])


async def test_a_loss_elsewhere_is_an_error_like_any_other(ada, manager, keys, clock):
    bo = Workspace(manager.agent("eliza").user("bo"), manager=manager, keys=keys, clock=clock)
    for workspace in (ada, bo):
        await workspace.receive("hello")
    lost = await bo.claim(holder="p1")
    await bo.reset()

    with pytest.raises(RunLost, match="user:bo"):
        await ada.drain(lambda _: lost.say("late"), holder="p1")
    assert 1 == len((await ada.state()).queue)


async def test_the_hook_gets_the_context_and_the_response(ada):
    told = []

    async def hook(context, response):
        runs = await context.state.get_json(f"runs:{context.user_id}") or 0
        await context.state.set_json(f"runs:{context.user_id}", runs + 1)
        told.append((context.user_id, context.run.message.text, response))

    ada.on_run_complete = hook
    for text in ("one", "two"):
        await ada.receive(text)

    async def answer(run):
        return f"re: {run.message.text}"

    await ada.drain(answer, holder="p1")

    assert told == [("ada", "one", "re: one"), ("ada", "two", "re: two")]
    assert "2" == await ada.context().state.get("runs:ada")


async def test_what_the_hook_raises_leaves_the_run_completed(ada):
    async def hook(context, response):
        raise ZeroDivisionError

    ada.on_run_complete = hook
    await ada.receive("one")
    with pytest.raises(ZeroDivisionError):
        async with ada.run(holder="p1"):
            pass

    assert ((), None) == ((await ada.state()).queue, (await ada.state()).active_run)


async def test_users_with_something_to_run_are_told(ada, manager, clock):
    agent = manager.agent("eliza")
    await ada.receive("hello")
    await ada.context().memory.set("city", "London")
    await agent.user("bo").dispatch(WorkspaceMessageReceived(id="m1", text="hi", at=clock.now))
    run = await ada.claim(holder="p1", lease_ms=1_000)
    assert ["bo"] == [user.path.steps[-1][1] for user in await waiting_users(agent, clock=clock)]
    clock.advance(ms=1_000)
    assert 2 == len(await waiting_users(agent, clock=clock))
    await run.complete()

    assert 1 == len(await waiting_users(agent, clock=clock))


async def test_tool_servers_and_debug_mode(ada):
    await ada.install_tool_server("search", {"url": "https://example.org"})
    await ada.install_tool_server("mail", {"url": "https://example.org/mail"})
    await ada.remove_tool_server("mail")
    await ada.switch_debug(on=True)
    state = await ada.state()

    assert (["search"], True) == (list(state.tool_servers), state.debug)


async def test_a_restore_gives_no_token_a_second_time(ada, manager):
    await ada.receive("hello", id="m1")
    before = await manager.position()
    late = await ada.claim("r1", holder="p1")
    await Debugger(manager).restore(before, ada.scope.path)
    await late.release()
    fresh = await ada.claim("r2", holder="p2")

    assert fresh.token > late.token
    with pytest.raises(RunLost):
        await late.say("too late")
