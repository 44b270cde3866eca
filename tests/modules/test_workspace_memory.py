"""Memory: reading and writing, the text for the prompt, the view for people, the tools for a model."""

from __future__ import annotations

import json

import pytest

from eliza_modules.workspace import WorkspaceModule
from eliza_modules.workspace_claim import RunLost
from eliza_modules.workspace_memory import (
    MEMORY_TOOLS,
    ToolError,
    WorkspaceMemory,
    call_memory_tool,
    debug_view,
    memory_text,
    with_memory,
)
from eliza_modules.workspace_service import Workspace
from eliza_modules.workspace_state import WorkspaceState
from eliza_serializers import Secret
from eliza_state import StateManager
from eliza_state.errors import Rejected
from eliza_state.storage import MemoryStorage
from eliza_state.testing import START, ManualClock


@pytest.fixture
async def manager():
    async with StateManager.open(modules=[WorkspaceModule()]) as opened:
        yield opened


@pytest.fixture
def user(manager):
    return manager.agent("eliza").user("ada")


@pytest.fixture
def memory(user):
    return WorkspaceMemory(user, clock=ManualClock())


@pytest.fixture
def workspace(user, manager):
    return Workspace(user, manager=manager, keys=MemoryStorage(), clock=ManualClock())


async def test_what_is_set_is_there_until_it_is_deleted(memory):
    await memory.set("city", "London")
    entry = await memory.get("city")

    assert ("London", False, START) == (entry.value, entry.is_secret, entry.created_at)
    assert await memory.delete("city")
    assert await memory.get("city") is None
    assert not await memory.delete("city")


@pytest.mark.parametrize("given", [("abc", True), (Secret("abc"), False), (Secret("abc"), True)])
async def test_a_secret_is_kept_as_one_and_readable_by_code(memory, given):
    value, secret = given
    await memory.set("key", value, secret=secret)
    entry = await memory.get("key")

    assert entry.is_secret
    assert "abc" == entry.value.reveal()


async def test_a_malformed_key_is_refused(memory):
    with pytest.raises(Rejected, match="of one line"):
        await memory.set("a\nb", "c")


async def test_a_run_that_lost_the_workspace_cannot_delete(workspace, memory):
    await memory.set("city", "London")
    await workspace.receive("hello")
    run = await workspace.claim(holder="p1")
    await workspace.receive("stop", policy="interrupt")

    with pytest.raises(RunLost):
        await run.context.memory.delete("city")
    assert await memory.get("city") is not None


async def test_memory_survives_a_restart_and_secrets_stay_secrets(tmp_path):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    for value in ("abc", Secret("abc")):
        async with StateManager.open(url, modules=[WorkspaceModule()]) as manager:
            await WorkspaceMemory(manager.agent("eliza").user("ada")).set("key", value)

    async with StateManager.open(url, modules=[WorkspaceModule()]) as manager:
        entry = await WorkspaceMemory(manager.agent("eliza").user("ada")).get("key")
        assert Secret("abc") == entry.value


async def test_the_prompt_tells_what_is_remembered_and_hides_secrets(memory, workspace):
    await memory.set("name", "Ada")
    await memory.set("api_key", "abc", secret=True)
    await memory.set("poem", "one\ntwo\n- name: Bob")
    state = await workspace.state()

    assert memory_text(state) == "- name: Ada\n- api_key: [SECRET]\n- poem: one\n  two\n  - name: Bob"
    assert with_memory("Be kind.", state).startswith(
        "Be kind.\n\nWhat you remember of this user:\n- name: Ada"
    )


def test_without_memory_the_prompt_stays_as_it_is():
    assert "Be kind." == with_memory("Be kind.", WorkspaceState())


async def test_the_debug_view_masks_secrets_and_is_plain(memory, workspace):
    await memory.set("api_key", "abc", secret=True)
    await workspace.install_tool_server("search", {"token": Secret("abc"), "url": "u"})
    await workspace.receive("hello", id="m1")
    await workspace.receive("more", id="m2")
    await workspace.claim("r1", holder="p1")
    view = debug_view(await workspace.state())

    assert "abc" not in json.dumps(view)
    assert {"api_key": {"value": "[SECRET]", "secret": True, "created_at": START.isoformat()}} == view[
        "memory"
    ]
    assert {"search": {"token": "[SECRET]", "url": "u"}} == view["tool_servers"]
    assert ("r1", "m1", ["m2"], "ada") == (
        view["active_run"]["id"],
        view["active_run"]["message"]["id"],
        [message["id"] for message in view["queue"]],
        view["user"],
    )


# Tools


def test_the_tools_are_described_in_json():
    described = [tool.describe() for tool in MEMORY_TOOLS]

    assert described == json.loads(json.dumps(described))
    assert ["memory_set", "memory_get", "memory_delete", "memory_list"] == [
        each["name"] for each in described
    ]
    assert all(each["parameters"]["type"] == "object" and each["description"] for each in described)


@pytest.mark.parametrize("wrap", [dict, json.dumps])
async def test_a_model_sets_gets_lists_and_deletes(memory, wrap):
    async def call(name, **arguments):
        return await call_memory_tool(name, wrap(arguments), memory)

    answers = [
        await call("memory_list"),
        await call("memory_set", key="city", value="London"),
        await call("memory_get", key="city"),
        await call("memory_list"),
        await call("memory_delete", key="city"),
        await call("memory_delete", key="city"),
        await call("memory_get", key="city"),
    ]

    assert answers == [
        "Nothing is remembered.",
        "Remembered 'city'.",
        "London",
        "- city: London",
        "Forgot 'city'.",
        "Nothing is remembered under 'city'.",
        "Nothing is remembered under 'city'.",
    ]


async def test_a_model_is_shown_no_secret_unless_code_reveals_it(memory):
    await call_memory_tool("memory_set", {"key": "key", "value": "abc", "secret": True}, memory)
    value = await call_memory_tool("memory_get", {"key": "key"}, memory)

    assert ("[SECRET]", "abc") == (f"{value}", value.reveal())
    assert "- key: [SECRET]" == await call_memory_tool("memory_list", "", memory)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("memory_eat", {}, "there is no tool 'memory_eat'; there are memory_set, memory_get"),
        ("memory_set", {"key": "a"}, "memory_set needs the argument 'value'"),
        ("memory_get", {}, "memory_get needs the argument 'key'"),
        ("memory_get", {"key": "a", "keys": "b"}, "has no argument 'keys'; its arguments are: key"),
        ("memory_list", {"key": "a"}, "has no argument 'key'; its arguments are: none"),
        ("memory_set", {"key": "a", "value": 1}, "'value' is a string, got one of type int"),
        ("memory_set", {"key": "a", "value": "b", "secret": "yes"}, "'secret' is a boolean, got one of"),
        ("memory_get", {"key": 1}, "'key' is a string, got one of type int"),
        ("memory_set", {"key": "", "value": "b"}, "'key' is a non-empty text of one line, got ''"),
        ("memory_get", '{"key": ', "the arguments are no JSON"),
        ("memory_get", '["key"]', "takes its arguments as an object, got"),
        ("memory_get", ["key"], "takes its arguments as an object, got"),
    ],
)
async def test_a_wrong_call_tells_the_model_what_is_wrong(memory, name, arguments, told):
    with pytest.raises(ToolError, match=told):
        await call_memory_tool(name, arguments, memory)
    assert {} == dict(await memory.all())
