"""What agents, tools and hooks are handed: the user, the agent's own keys, the memory, the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from eliza_modules.workspace_memory import WorkspaceMemory, call_memory_tool
from eliza_modules.workspace_state import ActiveRun
from eliza_serializers import Secret
from eliza_state.errors import StateError


class Keys(Protocol):
    """What agent-wide keys are kept in: the state of a plugin (`eliza_state.plugins`), a `Storage`."""

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default`."""
        ...

    async def set(self, key: str, value: Any) -> object:
        """Store a value."""
        ...

    async def delete(self, key: str) -> object:
        """Remove a key; a missing one is no error."""
        ...


@attrs.frozen
class AgentState:
    """Keys of an agent, shared by all its users: each value is a text, or JSON in one.

    They lie in `keys`, which is the agent's alone; there is no history of them, and `/reset` leaves them.
    Reading and then setting loses what another wrote in between: what is to be counted goes by
    `PluginState.update`.
    """

    keys: Keys

    async def get(self, key: str) -> str | None:
        """Return the text of a key, None if it does not exist; `StateError` for what is no text."""
        value = await self.keys.get(key)
        if value is None or isinstance(value, str):
            return value
        raise StateError(f"{key!r} holds no text but {value!r:.60}; it was not set through this")

    async def set(self, key: str, value: str) -> None:
        """Store a text; `TypeError` for anything else."""
        if not isinstance(value, str):
            raise TypeError(f"{key!r}: values are texts, got {value!r:.60}; use set_json")
        await self.keys.set(key, value)

    async def delete(self, key: str) -> None:
        """Remove a key; a missing one is no error."""
        await self.keys.delete(key)

    async def get_json(self, key: str) -> Any:
        """Return the value whose JSON a key holds, None if it does not exist; `StateError` for other text."""
        text = await self.get(key)
        if text is None:
            return None
        try:
            return json.loads(text)
        except ValueError as error:
            raise StateError(f"{key!r} holds no JSON: {error}") from None

    async def set_json(self, key: str, value: Any) -> None:
        """Store a value as JSON text.

        Raises `TypeError` or `ValueError` for what JSON has no words for: sets, secrets, NaN.
        """
        await self.set(key, json.dumps(value, allow_nan=False, ensure_ascii=False))


@attrs.frozen(kw_only=True)
class WorkspaceContext:
    """What an agent, a tool or a hook works with on behalf of one user.

    `state` has the agent-wide keys, `memory` what is remembered of the user; `run` is the run it all happens
    in, None outside of one.
    """

    user_id: str
    state: AgentState
    memory: WorkspaceMemory
    run: ActiveRun | None = None

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | str) -> str | Secret[str]:
        """Carry out a model's call of a memory tool; see `call_memory_tool`."""
        return await call_memory_tool(name, arguments, self.memory)
