"""The shape of a user's workspace, and how what a run wrote is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args

import attrs

from eliza_serializers import Secret
from eliza_state.collections import Map
from eliza_state.evolve import evolve

Policy: TypeAlias = Literal["enqueue", "reject", "interrupt", "rollback"]
"""What becomes of a message that arrives during a run."""

Role: TypeAlias = Literal["user", "assistant", "system", "tool"]
"""Who said something in the history."""

POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)
ROLES: Final[tuple[Role, ...]] = get_args(Role)


@attrs.frozen(kw_only=True)
class ChatMessage:
    """One message of the history; `id` is that of the received message, empty for what a run said."""

    role: Role
    content: str
    at: datetime
    id: str = ""


@attrs.frozen(kw_only=True)
class MemoryEntry:
    """What is remembered under one key; a value that is a `Secret` is shown to nobody."""

    value: str | Secret[str]
    created_at: datetime

    @property
    def is_secret(self) -> bool:
        """Tell whether the value is hidden in prompts and views."""
        return isinstance(self.value, Secret)


@attrs.frozen(kw_only=True)
class QueuedMessage:
    """A received message that waits for its run, or has it.

    `id` is unique in the workspace. `chat` says where it came from and `source` its id there. `attempts`
    counts the runs that have taken it up.
    """

    id: str
    text: str
    at: datetime
    chat: str = ""
    source: str = ""
    attempts: int = 0


@attrs.frozen(kw_only=True)
class Before:
    """What a run began with: the history, and what was under each key of memory that it has changed."""

    messages: tuple[ChatMessage, ...]
    memory: Map[str, MemoryEntry | None] = attrs.field(factory=Map[str, MemoryEntry | None])


@attrs.frozen(kw_only=True)
class ActiveRun:
    """The run that has the workspace: nobody else may take it before `lease_until`.

    Of all tokens that were ever given only this one's `token` can write.
    """

    id: str
    holder: str
    token: int
    message: QueuedMessage
    lease_until: datetime
    before: Before


@attrs.frozen(kw_only=True)
class WorkspaceState:
    """The workspace of a user, empty and without a user before their first message.

    `chat` and `platform` are where the user was heard last. `tool_servers` holds configurations by name.
    `last_token` is the highest token given, `reset_position` the journal position up to which messages were
    forgotten; both outlive a reset.
    """

    user: str = ""
    chat: str = ""
    platform: str = ""
    messages: tuple[ChatMessage, ...] = ()
    memory: Map[str, MemoryEntry] = attrs.field(factory=Map[str, MemoryEntry])
    tool_servers: Map[str, Mapping[str, Any]] = attrs.field(factory=Map[str, Mapping[str, Any]])
    debug: bool = False
    active_run: ActiveRun | None = None
    queue: tuple[QueuedMessage, ...] = ()
    last_token: int = 0
    reset_position: int = 0

    def is_running(self, at: datetime) -> bool:
        """Tell whether a run has the workspace and its lease is not over."""
        return self.active_run is not None and at < self.active_run.lease_until

    def is_waiting(self, at: datetime) -> bool:
        """Tell whether a message waits to be taken up: a queued one, or that of a run whose lease is over."""
        return not self.is_running(at) and (bool(self.queue) or self.active_run is not None)

    def is_held(self, token: int) -> bool:
        """Tell whether the run of this token still has the workspace."""
        return self.active_run is not None and self.active_run.token == token

    def knows(self, message: str) -> bool:
        """Tell whether a message of this id waits, is being run, or is in the history."""
        active = () if self.active_run is None else (self.active_run.message,)
        return any(each.id == message for each in (*self.queue, *active, *self.messages))


def undone(state: WorkspaceState) -> WorkspaceState:
    """Take back what the active run, if there is one, wrote to the history and to memory."""
    if state.active_run is None:
        return state
    memory = state.memory
    for key, entry in state.active_run.before.memory.items():
        if entry is not None:
            memory = memory.set(key, entry)
        elif key in memory:
            memory = memory.delete(key)
    return evolve(state, messages=state.active_run.before.messages, memory=memory)


def given_back(state: WorkspaceState) -> WorkspaceState:
    """End the active run, if there is one, as if it had not begun; its message is the next one again."""
    if state.active_run is None:
        return state
    return evolve(undone(state), active_run=None, queue=(state.active_run.message, *state.queue))


def noted(state: WorkspaceState, *, key: str, token: int | None) -> WorkspaceState:
    """Note what lay under a key before the run changes it; what is written beside the run is to stay."""
    active = state.active_run
    if active is None:
        return state
    memory = active.before.memory
    if token is None:
        memory = memory.delete(key) if key in memory else memory
    elif key not in memory:
        memory = memory.set(key, state.memory.get(key))
    return evolve(state, active_run=evolve(active, before=evolve(active.before, memory=memory)))
