"""An agent's state by the keys that readers of old know."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from eliza_modules.approval import ApprovalModule, Approvals
from eliza_modules.observer import ObserverModule, Observers
from eliza_modules.run import RunModule, Runs
from eliza_modules.user import UserModule, UserUpdated
from eliza_modules.well_known import WellKnownKeys
from eliza_modules.workspace import WorkspaceModule
from eliza_modules.workspace_service import Workspace
from eliza_serializers import Secret
from eliza_state import StateManager, compose
from eliza_state.storage import MemoryStorage
from eliza_state.testing import START, ManualClock

FIXED = ["run:index", "approvals:pending", "approvals:history", "observer:lastRun"]
AT = "2024-01-01T00:00:00+00:00"


@pytest.fixture
async def manager():
    modules = [RunModule(), ApprovalModule(), ObserverModule()]
    async with StateManager.open(modules=modules) as opened:
        yield opened


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def runs(manager, clock):
    return Runs(manager.agent("eliza"), clock=clock)


@pytest.fixture
def approvals(manager, clock):
    return Approvals(manager.agent("eliza"), manager=manager, clock=clock)


@pytest.fixture
def keys(manager):
    return WellKnownKeys(manager.agent("eliza"))


async def test_an_agent_that_did_nothing_has_empty_values(keys):
    assert FIXED == await keys.keys()
    assert [[], [], [], {}] == [await keys.get(key) for key in FIXED]


async def test_the_index_lists_the_runs(runs, keys):
    await runs.create(id="b")
    await runs.create(id="a")

    assert ["b", "a"] == await keys.get("run:index")
    assert [*FIXED, "run:b", "run:a"] == await keys.keys()


async def test_a_run_is_plain_data(runs, keys):
    await runs.create({"ask": "tea"}, id="r1", parent="r0")
    await runs.start("r1")
    await runs.complete("r1", result=[1, None])

    assert {
        "id": "r1",
        "status": "completed",
        "input": {"ask": "tea"},
        "result": [1, None],
        "error": None,
        "parent": "r0",
        "created_at": AT,
        "updated_at": AT,
        "finished_at": AT,
    } == await keys.get("run:r1")


async def test_what_json_lacks_is_plain_data_too(runs, keys):
    await runs.create({"at": START, "sizes": (1, {2}), 3: b"x"}, id="r1")
    value = await keys.get("run:r1")

    assert value == json.loads(json.dumps(value))


async def test_approvals_are_plain_data(approvals, keys):
    await approvals.request({"tool": "mail"}, id="a1", by="eliza", deadline=START + timedelta(minutes=1))
    (pending,) = await keys.get("approvals:pending")
    await approvals.approve("a1", by="ada", reason="fine")
    (answered,) = await keys.get("approvals:history")

    assert {
        "id": "a1",
        "subject": {"tool": "mail"},
        "requested_at": AT,
        "requested_by": "eliza",
        "deadline": "2024-01-01T00:01:00+00:00",
        "status": "pending",
        "answer": None,
    } == pending
    assert answered == {
        **pending,
        "status": "approved",
        "answer": {"at": AT, "by": "ada", "reason": "fine"},
    }
    assert [] == await keys.get("approvals:pending")


async def test_last_runs_are_milliseconds_of_those_that_ran(manager, clock, keys):
    observers = Observers(manager.agent("eliza"), clock=clock)
    for name in ("disk", "mail"):
        await observers.schedule(name, interval_ms=1_000)
    await observers.claim("disk")

    assert {"disk": 1_704_067_200_000} == await keys.get("observer:lastRun")


async def test_secrets_are_masked(runs, approvals, keys):
    await runs.create({"key": Secret("abc")}, id="r1")
    await approvals.request([Secret("abc")], id="a1")
    await approvals.request(Secret("abc"), id="a2")
    await approvals.deny("a2", by="ada")
    shown = [await keys.get(key) for key in ("run:r1", "approvals:pending", "approvals:history")]

    assert "abc" not in repr(shown)
    assert ["[SECRET]"] == shown[1][0]["subject"]


async def test_a_value_is_a_copy(runs, keys):
    await runs.create({"ask": "tea"}, id="r1")
    (await keys.get("run:r1"))["input"]["ask"] = "milk"

    assert {"ask": "tea"} == (await keys.get("run:r1"))["input"]


@pytest.mark.parametrize("key", ["run:r9", "run:", "run", "approvals:", "r1", "", "observer:lastrun"])
async def test_a_key_that_is_not_there_gives_the_default(runs, keys, key):
    await runs.create(id="r1")

    assert (None, "none", False) == (await keys.get(key), await keys.get(key, "none"), await keys.has(key))


async def test_keys_that_are_there_are_had(runs, keys):
    await runs.create(id="r1")

    assert all([await keys.has(key) for key in await keys.keys()])


async def test_the_keys_of_a_module_that_is_not_registered_are_not_there():
    async with StateManager.open(modules=[ObserverModule()]) as manager:
        keys = WellKnownKeys(manager.agent("eliza"))

        assert ["observer:lastRun"] == await keys.keys()
        assert (None, False, False) == (
            await keys.get("run:index"),
            await keys.has("run:index"),
            await keys.has("run:r1"),
        )


async def test_modules_of_a_composition_are_found():
    async with StateManager.open(modules=[compose("work", RunModule(), ApprovalModule())]) as manager:
        scope = manager.agent("eliza")
        await Runs(scope).create(id="r1")
        await Approvals(scope, manager=manager).request("?", id="a1")

        assert ["r1"] == await WellKnownKeys(scope).get("run:index")
        assert 1 == len(await WellKnownKeys(scope).get("approvals:pending"))


async def test_the_workspace_of_a_user_has_a_key(clock):
    async with StateManager.open(modules=[UserModule(), WorkspaceModule()]) as manager:
        eliza = manager.agent("eliza")
        ada = Workspace(eliza.user("ada"), manager=manager, keys=MemoryStorage(), clock=clock)
        await ada.receive("hello", id="m1")
        await ada.context().memory.set("token", "k-1", secret=True)
        await eliza.user("bo").dispatch(UserUpdated(name="Bo"))
        keys = WellKnownKeys(eliza)

        value = await keys.get("agent:workspace:ada")
        assert ("ada", "hello", AT) == (value["user"], value["queue"][0]["text"], value["queue"][0]["at"])
        assert "[SECRET]" == value["memory"]["token"]["value"]
        assert ["agent:workspace:ada"] == await keys.keys()
        assert await keys.has("agent:workspace:ada")


@pytest.mark.parametrize("user", ["nobody", "", "x" * 600])
async def test_a_workspace_that_is_not_there_has_none(keys, user):
    assert "no" == await keys.get(f"agent:workspace:{user}", "no")
    assert not await keys.has(f"agent:workspace:{user}")
