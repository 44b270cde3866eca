"""What an agent remembers of a user: reading and writing it, the text for the prompt, a model's tools."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

import attrs

from eliza_modules.moment import moment
from eliza_modules.workspace import MemoryDeleted, MemoryStored, WorkspaceModule
from eliza_modules.workspace_claim import dispatch
from eliza_modules.workspace_state import ActiveRun, MemoryEntry, WorkspaceState
from eliza_serializers import Secret
from eliza_state.clock import Clock, now_us
from eliza_state.codec import SERIALIZER
from eliza_state.errors import StateError
from eliza_state.scope import Scope


class ToolError(StateError):
    """A tool was called wrongly; the text says how to do better, and is meant for the model."""


@attrs.frozen
class WorkspaceMemory:
    """Read and write what is remembered of one user.

    `scope` is the handle on the user, `clock` gives the times of events. With the `token` of a run, writing
    raises `RunLost` once the run does not hold the workspace any more.
    """

    scope: Scope
    token: int | None = attrs.field(default=None, kw_only=True)
    clock: Clock = attrs.field(default=now_us, kw_only=True)

    async def set(self, key: str, value: str | Secret[str], *, secret: bool = False) -> None:
        """Remember a value under a key, of one line; as a `Secret` if it is one or is to be one.

        Raises `Rejected` for a key that is empty or has several lines, and a value that is no text.
        """
        kept = Secret(value) if secret and not isinstance(value, Secret) else value
        at = moment(None, self.clock)
        await dispatch(self.scope, MemoryStored(key=key, value=kept, at=at, token=self.token))

    async def get(self, key: str) -> MemoryEntry | None:
        """Return what is remembered under a key; the value of a secret one by `entry.value.reveal()`."""
        return (await self.all()).get(key)

    async def delete(self, key: str) -> bool:
        """Forget what is under a key, and tell whether there was anything."""
        event = MemoryDeleted(key=key, token=self.token)

        def decide(state: WorkspaceState) -> list[MemoryDeleted]:
            return [event] if key in state.memory else []

        return bool(await dispatch(self.scope, event, decide))

    async def all(self) -> Mapping[str, MemoryEntry]:
        """Return all that is remembered, by key, the oldest key first."""
        return (await self.scope.state(WorkspaceModule)).memory


def memory_text(workspace: WorkspaceState) -> str:
    """Return what is remembered as lines for a prompt, secrets as `[SECRET]`; empty if nothing is.

    Further lines of a value are indented, so that none of them passes for another memory.
    """
    lines = (f"- {key}: {_indented(entry.value)}" for key, entry in workspace.memory.items())
    return "\n".join(lines)


def with_memory(prompt: str, workspace: WorkspaceState) -> str:
    """Return a system prompt with what is remembered of the user behind it; itself if nothing is."""
    text = memory_text(workspace)
    return f"{prompt}\n\nWhat you remember of this user:\n{text}" if text else prompt


def debug_view(workspace: WorkspaceState) -> dict[str, Any]:
    """Return the workspace as plain JSON data for people: secrets as `[SECRET]`, times in ISO 8601.

    What JSON lacks stands under the serializer's tags. A secret that somebody wrote into a message stays.
    """
    view = attrs.asdict(workspace, recurse=False)
    view["memory"] = {
        key: {"value": entry.value, "secret": entry.is_secret, "created_at": entry.created_at.isoformat()}
        for key, entry in workspace.memory.items()
    }
    view["tool_servers"] = dict(workspace.tool_servers)
    view["messages"] = [_plain_fields(message) for message in workspace.messages]
    view["queue"] = [_plain_fields(message) for message in workspace.queue]
    view["active_run"] = None if workspace.active_run is None else _active_view(workspace.active_run)
    plain: dict[str, Any] = json.loads(SERIALIZER.encode(view, mask_secrets=True))
    return plain


def _active_view(run: ActiveRun) -> dict[str, Any]:
    view = {name: field for name, field in _plain_fields(run).items() if name != "before"}
    return {**view, "message": _plain_fields(run.message)}


def _plain_fields(value: Any) -> dict[str, Any]:
    fields = attrs.asdict(value, recurse=False)
    return {
        name: field.isoformat() if isinstance(field, datetime) else field for name, field in fields.items()
    }


def _indented(value: str | Secret[str]) -> str:
    return "\n  ".join(f"{value}".splitlines())


@attrs.frozen
class Tool:
    """What a model is told of a tool: `parameters` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return name, description and parameters as plain data."""
        return {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}


def _parameters(*required: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_KEY: Final = {"type": "string", "description": "What it is about, one line, such as 'name' or 'city'."}

MEMORY_TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        "memory_set",
        "Remember something about the user, also in later conversations. Replaces what was under the key.",
        _parameters(
            "key",
            "value",
            key=_KEY,
            value={"type": "string", "description": "What to remember."},
            secret={
                "type": "boolean",
                "description": "True for what must not be shown, such as a password or an API key.",
            },
        ),
    ),
    Tool("memory_get", "Look up what is remembered under a key.", _parameters("key", key=_KEY)),
    Tool("memory_delete", "Forget what is remembered under a key.", _parameters("key", key=_KEY)),
    Tool("memory_list", "List all that is remembered of the user.", _parameters()),
)
"""The tools that a model may call; `call_memory_tool` carries them out."""


async def call_memory_tool(
    name: str, arguments: Mapping[str, Any] | str, memory: WorkspaceMemory
) -> str | Secret[str]:
    """Carry out a model's call, its arguments as a mapping or JSON text, and return what to tell the model.

    The value of a secret memory comes as a `Secret`, which as a text is `[SECRET]`: the caller decides
    whether the model is to see it. Raises `ToolError`, for the model, for an unknown tool or arguments that
    do not fit, and `RunLost` where the memory does.
    """
    tool = next((each for each in MEMORY_TOOLS if each.name == name), None)
    if tool is None:
        known = ", ".join(each.name for each in MEMORY_TOOLS)
        raise ToolError(f"there is no tool {name!r}; there are {known}")
    return await _CALLS[name](memory, **_checked(tool, arguments))


_JSON_TYPES: Final[Mapping[str, type]] = {"string": str, "boolean": bool}


def _checked(tool: Tool, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    given = _mapping(tool, arguments)
    properties = tool.parameters["properties"]
    for name in tool.parameters["required"]:
        if name not in given:
            raise ToolError(f"{tool.name} needs the argument {name!r}")
    for name, value in given.items():
        if name not in properties:
            known = ", ".join(properties) or "none"
            raise ToolError(f"{tool.name} has no argument {name!r}; its arguments are: {known}")
        wanted = properties[name]["type"]
        if not isinstance(value, _JSON_TYPES[wanted]):
            # Not the value itself: it may be what is to be kept secret.
            raise ToolError(f"{tool.name}: {name!r} is a {wanted}, got one of type {type(value).__name__}")
    key = given.get("key", "key")
    if not key or not key.isprintable():
        raise ToolError(f"{tool.name}: 'key' is a non-empty text of one line, got {key!r:.80}")
    return given


def _mapping(tool: Tool, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    given = _parsed(tool, arguments or "{}") if isinstance(arguments, str) else arguments
    if not isinstance(given, Mapping):
        raise ToolError(
            f"{tool.name} takes its arguments as an object, got one of type {type(given).__name__}"
        )
    return dict(given)


def _parsed(tool: Tool, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        reason = str(error)
    # Outside of the block: the parser's error holds the whole text, in which there may be secrets.
    raise ToolError(f"{tool.name}: the arguments are no JSON: {reason}")


async def _set(memory: WorkspaceMemory, key: str, value: str, secret: bool = False) -> str:
    await memory.set(key, value, secret=secret)
    return f"Remembered {key!r}."


async def _get(memory: WorkspaceMemory, key: str) -> str | Secret[str]:
    entry = await memory.get(key)
    return f"Nothing is remembered under {key!r}." if entry is None else entry.value


async def _delete(memory: WorkspaceMemory, key: str) -> str:
    if await memory.delete(key):
        return f"Forgot {key!r}."
    return f"Nothing is remembered under {key!r}."


async def _list(memory: WorkspaceMemory) -> str:
    state = await memory.scope.state(WorkspaceModule)
    return memory_text(state) or "Nothing is remembered."


_Call: TypeAlias = Callable[..., Awaitable[str | Secret[str]]]

_CALLS: Final[Mapping[str, _Call]] = {
    "memory_set": _set,
    "memory_get": _get,
    "memory_delete": _delete,
    "memory_list": _list,
}
