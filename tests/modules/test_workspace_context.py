"""What agents, tools and hooks are handed."""

from __future__ import annotations

import pytest

from eliza_modules.workspace import WorkspaceModule
from eliza_modules.workspace_context import AgentState
from eliza_modules.workspace_service import Workspace
from eliza_state import StateManager
from eliza_state.errors import StateError
from eliza_state.plugins import Plugins
from eliza_state.storage import MemoryStorage


@pytest.fixture(params=["plugin", "storage", "database"])
async def keys(request, tmp_path):
    """Whatever agent-wide keys may lie in."""
    if request.param == "storage":
        async with MemoryStorage() as storage:
            yield storage
        return
    url = "memory://" if request.param == "plugin" else f"sqlite:///{tmp_path / 'keys.db'}"
    async with Plugins.in_database(url) as plugins:
        yield plugins["eliza"]


@pytest.fixture
def state(keys):
    return AgentState(keys)


async def test_texts_are_set_read_and_deleted(state):
    assert await state.get("note:ada") is None
    await state.set("note:ada", "tea at five")
    assert "tea at five" == await state.get("note:ada")
    await state.delete("note:ada")
    await state.delete("note:ada")

    assert await state.get("note:ada") is None


@pytest.mark.parametrize("value", [0, "", None, [1, {"a": "ü"}], 1.5])
async def test_json_values_come_back(state, value):
    assert await state.get_json("visits") is None
    await state.set_json("visits", value)

    assert value == await state.get_json("visits")
    assert isinstance(await state.get("visits"), str)


async def test_values_are_texts(state):
    with pytest.raises(TypeError, match="values are texts, got 1; use set_json"):
        await state.set("visits", 1)


async def test_what_json_has_no_words_for_is_an_error(state):
    with pytest.raises(TypeError):
        await state.set_json("visits", {1, 2})
    with pytest.raises(ValueError, match="JSON"):
        await state.set_json("visits", float("nan"))

    assert await state.get("visits") is None


async def test_a_text_that_is_no_json_is_an_error(state):
    await state.set("note", "tea at five")

    with pytest.raises(StateError, match="'note' holds no JSON"):
        await state.get_json("note")


async def test_what_others_put_there_is_an_error(state, keys):
    await keys.set("visits", 1)

    with pytest.raises(StateError, match="'visits' holds no text but 1"):
        await state.get("visits")


async def test_a_context_has_the_users_id_memory_and_run(keys):
    async with StateManager.open(modules=[WorkspaceModule()]) as manager:
        ada = Workspace(manager.agent("eliza").user("ada"), manager=manager, keys=keys)
        assert ada.context().run is None
        await ada.receive("hello")
        run = await ada.claim("r1", holder="p1")
        context = run.context
        told = await context.call_tool("memory_set", {"key": "city", "value": "London"})

        assert ("ada", "r1", "Remembered 'city'.") == (context.user_id, context.run.id, told)
        assert "London" == (await ada.state()).memory["city"].value


async def test_users_share_the_agents_keys_and_a_reset_leaves_them(keys):
    async with StateManager.open(modules=[WorkspaceModule()]) as manager:
        ada, bo = (
            Workspace(manager.agent("eliza").user(name), manager=manager, keys=keys) for name in ("ada", "bo")
        )
        await ada.context().state.set("motto", "be kind")
        await ada.reset()

        assert "be kind" == await bo.context().state.get("motto")
