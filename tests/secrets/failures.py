"""Everything that goes wrong with a secret at hand: one line of the table each.

A failure gets a fresh store and the secrets, which it hands to what fails, and lets the error out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from eliza_modules.settings import SettingChanged
from eliza_modules.workspace import MemoryStored
from eliza_modules.workspace_memory import WorkspaceMemory, call_memory_tool
from eliza_serializers import JsonSerializer, MsgpackSerializer, Secret
from eliza_state.manager import StateManager
from tests.secrets.planted import AGENT, ROOM, USER, Login, Vault, VaultFilled, VaultModule

Failure = Callable[[StateManager, dict[str, str]], Awaitable[object]]

FAILURES: dict[str, Failure] = {}
"""What can go wrong, by name."""


def failure(name: str) -> Callable[[Failure], Failure]:
    """Add a function to the table."""

    def add(failing: Failure) -> Failure:
        FAILURES[name] = failing
        return failing

    return add


def event(secrets: dict[str, str], **more: Any) -> VaultFilled:
    return VaultFilled(name="ada", field=Secret(secrets["event field"]), **more)


async def give(manager: StateManager, payload: dict[str, Any]) -> object:
    return await manager.dispatch("vault_filled", {"name": "ada", **payload}, to=ROOM)


@failure("a payload with another field of a wrong type")
async def _neighbour(manager: StateManager, secrets: dict[str, str]) -> object:
    return await give(manager, {"field": secrets["event field"], "refuse": "yes"})


@failure("a payload with an unknown field beside it")
async def _unknown_field(manager: StateManager, secrets: dict[str, str]) -> object:
    return await give(manager, {"field": secrets["event field"], "other": 1})


@failure("a payload with a secret of a wrong type")
async def _wrong_type(manager: StateManager, secrets: dict[str, str]) -> object:
    return await give(manager, {"field": [secrets["event field"]]})


@failure("a payload with a secret in an unknown tag")
async def _unknown_tag(manager: StateManager, secrets: dict[str, str]) -> object:
    return await give(manager, {"field": {"_type": "Hidden", "data": secrets["event field"]}})


@failure("a payload with a secret in a malformed tag")
async def _malformed_tag(manager: StateManager, secrets: dict[str, str]) -> object:
    return await give(manager, {"field": {"_type": "Secret", "content": secrets["event field"]}})


@failure("a payload with a secret in the place of sealed text")
async def _forged(manager: StateManager, secrets: dict[str, str]) -> object:
    return await give(manager, {"field": {"_type": "Secret", "sealed": True, "data": secrets["event field"]}})


@failure("a payload with a wrong secret in an object in a field")
async def _deep(manager: StateManager, secrets: dict[str, str]) -> object:
    login = {"user": "ada", "password": {"text": secrets["event in object"]}}
    return await give(manager, {"field": "x", "in_object": login})


@failure("an event with a secret of a wrong type")
async def _wrong_content(manager: StateManager, secrets: dict[str, str]) -> object:
    content: Any = Secret(secrets["event field"].encode())
    return await manager.dispatch(VaultFilled(name="ada", field=content), to=ROOM)


@failure("an event with a secret that cannot be written")
async def _unwritable(manager: StateManager, secrets: dict[str, str]) -> object:
    content = {secrets["event in list"]: object()}
    return await manager.dispatch(event(secrets, in_list=[Secret(content)]), to=ROOM)


@failure("an event with something else that cannot be written")
async def _unwritable_neighbour(manager: StateManager, secrets: dict[str, str]) -> object:
    beside = [Secret(secrets["event in list"]), {"a": Secret(secrets["event in dict"]), "b": object()}]
    return await manager.dispatch(event(secrets, in_list=beside), to=ROOM)


@failure("an event of a wrong type with a secret in it")
async def _no_event(manager: StateManager, secrets: dict[str, str]) -> object:
    return await manager.dispatch(Login("ada", Secret(secrets["event in object"])), to=ROOM)


@failure("an event that goes nowhere")
async def _nowhere(manager: StateManager, secrets: dict[str, str]) -> object:
    return await manager.dispatch(event(secrets), to=AGENT)


@failure("an event with a payload beside it")
async def _both(manager: StateManager, secrets: dict[str, str]) -> object:
    return await manager.dispatch(event(secrets), {"a": Secret(secrets["setting"])}, to=ROOM)


@failure("a rejection that shows the event")
async def _rejected(manager: StateManager, secrets: dict[str, str]) -> object:
    return await manager.dispatch(event(secrets, refuse=True), to=ROOM)


@failure("a reducer that raises the event")
async def _reducer(manager: StateManager, secrets: dict[str, str]) -> object:
    return await manager.dispatch(event(secrets, fail=True), to=ROOM)


@failure("a stale state")
async def _stale(manager: StateManager, secrets: dict[str, str]) -> object:
    return await manager.dispatch(event(secrets), to=ROOM, expected_version=99)


@failure("another event under a known id")
async def _duplicate(manager: StateManager, secrets: dict[str, str]) -> object:
    await manager.dispatch(event(secrets), to=ROOM, id="once")
    other = VaultFilled(name="ada", field=Secret(secrets["setting"]))
    return await manager.dispatch(other, to=ROOM, id="once")


@failure("changing an event")
async def _change_event(manager: StateManager, secrets: dict[str, str]) -> object:
    change = await manager.dispatch(event(secrets), to=ROOM)
    change.event.field.value = secrets["event field"]
    return change


@failure("changing a state")
async def _change_state(manager: StateManager, secrets: dict[str, str]) -> object:
    await manager.dispatch(event(secrets), to=ROOM)
    state: Any = await manager.at(ROOM).state(VaultModule)
    state.by_name["c"] = Secret(secrets["state in Map"])
    return state


@failure("looking for a secret that is not there")
async def _missing_key(manager: StateManager, secrets: dict[str, str]) -> object:
    return Vault().by_secret[Secret(secrets["state as a key of a Map"])]


@failure("taking a secret for text")
async def _as_text(manager: StateManager, secrets: dict[str, str]) -> object:
    secret: Any = Secret(secrets["event field"])
    return "key: " + secret


@failure("a setting whose key is a secret")
async def _setting(manager: StateManager, secrets: dict[str, str]) -> object:
    key: Any = Secret(secrets["setting"])
    return await manager.dispatch(SettingChanged(key=key, value=1), to=AGENT)


@failure("a memory of a wrong type")
async def _memory(manager: StateManager, secrets: dict[str, str]) -> object:
    value = Secret([secrets["workspace memory"]])
    stored = MemoryStored(key="k", value=value, at=datetime.fromisoformat("2024-05-01T12:00:00+00:00"))
    return await manager.dispatch(stored, to=USER)


@failure("a memory under a wrong key")
async def _memory_key(manager: StateManager, secrets: dict[str, str]) -> object:
    return await WorkspaceMemory(manager.at(USER)).set("a\nb", secrets["workspace memory"], secret=True)


@failure("a model's call with a value of a wrong type")
async def _tool(manager: StateManager, secrets: dict[str, str]) -> object:
    arguments = {"key": "k", "value": [secrets["workspace memory"]], "secret": True}
    return await call_memory_tool("memory_set", arguments, WorkspaceMemory(manager.at(USER)))


@failure("a model's call that is no object")
async def _tool_list(manager: StateManager, secrets: dict[str, str]) -> object:
    text = f'["k", "{secrets["workspace memory"]}"]'
    return await call_memory_tool("memory_set", text, WorkspaceMemory(manager.at(USER)))


@failure("a model's call that is no JSON")
async def _tool_text(manager: StateManager, secrets: dict[str, str]) -> object:
    text = f'{{"key": "k", "value": {secrets["workspace memory"]}}}'
    return await call_memory_tool("memory_set", text, WorkspaceMemory(manager.at(USER)))


@failure("a plugin's value that cannot be written")
async def _plugin(manager: StateManager, secrets: dict[str, str]) -> object:
    value = {"a": Secret(secrets["plugin value"]), "b": object()}
    return await manager.plugins["trader"].set("key", value)


@failure("a plugin's secret that cannot be written")
async def _plugin_secret(manager: StateManager, secrets: dict[str, str]) -> object:
    return await manager.plugins["trader"].set("key", Secret([secrets["plugin value"], object()]))


@failure("stored text that is cut off, as JSON")
async def _cut(manager: StateManager, secrets: dict[str, str]) -> object:
    return JsonSerializer().decode(JsonSerializer().encode(Secret(secrets["plugin value"]))[:-2])


@failure("stored bytes that are cut off, as MessagePack")
async def _cut_packed(manager: StateManager, secrets: dict[str, str]) -> object:
    return MsgpackSerializer().decode(MsgpackSerializer().encode([Secret(secrets["plugin value"])])[:-2])


@failure("a stored secret that is not what its type says")
async def _mistyped(manager: StateManager, secrets: dict[str, str]) -> object:
    text = JsonSerializer().encode({"user": "ada", "password": Secret([secrets["event in object"]])})
    return JsonSerializer().decode(text, as_type=Login)
