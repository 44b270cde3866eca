"""A user's workspace: what was said, what is remembered, the run that is going on and what waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from eliza_modules.moment import objection_to
from eliza_modules.refusal import refuse
from eliza_modules.update import is_unchanged
from eliza_modules.workspace_state import (
    POLICIES,
    ROLES,
    ActiveRun,
    Before,
    ChatMessage,
    MemoryEntry,
    QueuedMessage,
    WorkspaceState,
    given_back,
    noted,
    undone,
)
from eliza_serializers import Secret, SecretLocked
from eliza_state.errors import RegistrationError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path

KEEP_MESSAGES: Final = 50
"""How many messages of the history a workspace keeps unless its module says otherwise."""

LONGEST_LEASE_MS: Final = 86_400_000
"""A run's lease is a day at most; it is renewed while the run goes on."""


@event("workspace_message_received")
class WorkspaceMessageReceived:
    """A message came in for the user's agent.

    `policy` says what becomes of it when a run is going on. `position` is the journal position of the message
    it was made of, if it was; up to the last reset's position it changes nothing. Nor does an `id` that the
    workspace knows.
    """

    id: str
    text: str
    at: datetime
    chat: str = ""
    platform: str = ""
    source: str = ""
    policy: str = "enqueue"
    position: int | None = None


@event("workspace_run_claimed")
class WorkspaceRunClaimed:
    """A holder took the workspace for a run of the message that is due; `token` is the next one."""

    run: str
    holder: str
    token: int
    at: datetime
    lease_ms: int


@event("workspace_run_renewed")
class WorkspaceRunRenewed:
    """The holder lives: its lease lasts for `lease_ms` from now on."""

    token: int
    at: datetime
    lease_ms: int


@event("workspace_run_completed")
class WorkspaceRunCompleted:
    """The run is done; its response, if there is one, goes into the history."""

    token: int
    at: datetime
    response: str | None = None


@event("workspace_run_released")
class WorkspaceRunReleased:
    """The run was given back: what it wrote is taken back, and its message is the next one again."""

    token: int
    at: datetime


@event("workspace_message_added")
class WorkspaceMessageAdded:
    """A run said something, or noted what a tool did."""

    token: int
    role: str
    content: str
    at: datetime


@event("memory_stored")
class MemoryStored:
    """Something is remembered, a text or a `Secret` of one; `token` is that of the run it was in, if any."""

    key: str
    value: Any
    at: datetime
    token: int | None = None


@event("memory_deleted")
class MemoryDeleted:
    """What was remembered under a key is forgotten."""

    key: str
    token: int | None = None


@event("tool_server_installed")
class ToolServerInstalled:
    """A tool server was configured, or configured anew."""

    name: str
    config: Mapping[str, Any]


@event("tool_server_removed")
class ToolServerRemoved:
    """A tool server is used no more."""

    name: str


@event("debug_mode_switched")
class DebugModeSwitched:
    """The user switched debug mode on or off."""

    on: bool


@event("workspace_reset")
class WorkspaceReset:
    """The user had the workspace forgotten, with all messages recorded up to `position`.

    `last_token` is the highest token given by then, where it is known: the records that tell it are erased.
    """

    position: int
    last_token: int | None = None


@event("workspace_tokens_kept")
class WorkspaceTokensKept:
    """What outlives the records before a reset: the highest token given, the position reset up to."""

    last_token: int
    reset_position: int


class WorkspaceModule(StateModule[WorkspaceState]):
    """Keep a user's workspace, with a history of the last `keep_messages` messages, at least 1.

    Rejects a malformed message, claim or memory, a claim while another run's lease lasts or nothing waits,
    everything of a run whose token is not the one that holds, the removal of what is not there, and a naive
    time. A lower `keep_messages` takes effect with the next message. Raises `RegistrationError` for another.
    """

    name = "workspace"
    level = "user"
    restorable = False  # a token that was given must not be given again

    def __init__(self, *, keep_messages: int = KEEP_MESSAGES) -> None:
        if type(keep_messages) is not int or keep_messages < 1:
            raise RegistrationError(f"keep_messages counts messages, at least 1, got {keep_messages!r}")
        self.keep_messages = keep_messages

    @reduces(WorkspaceMessageReceived)
    def receive(self, state: WorkspaceState, event: WorkspaceMessageReceived, path: Path) -> WorkspaceState:
        """Queue the message, or do what its policy says during a run; the first one makes the workspace."""
        objection = _objection_to_message(event)
        if objection is not None:
            return refuse(self, state, path, objection)
        is_forgotten = event.position is not None and event.position <= state.reset_position
        is_running = state.is_running(event.at)
        if is_forgotten or state.knows(event.id) or (is_running and event.policy == "reject"):
            return state
        message = QueuedMessage(
            id=event.id, text=event.text, at=event.at, chat=event.chat, source=event.source
        )
        state = evolve(
            self._owned(state, path), chat=event.chat or state.chat, platform=event.platform or state.platform
        )
        if not is_running or event.policy == "enqueue":
            return evolve(state, queue=(*state.queue, message))
        if event.policy == "rollback":
            state = undone(state)
        return evolve(state, active_run=None, queue=(message, *state.queue))

    @reduces(WorkspaceRunClaimed)
    def claim(self, state: WorkspaceState, event: WorkspaceRunClaimed, path: Path) -> WorkspaceState:
        """Give the workspace to a run of the next message, which goes into the history."""
        objection = _objection_to_claim(state, event)
        if objection is not None:
            return refuse(self, state, path, objection)
        state = given_back(state)
        first, *others = state.queue
        message = evolve(first, attempts=first.attempts + 1)
        active = ActiveRun(
            id=event.run,
            holder=event.holder,
            token=event.token,
            message=message,
            lease_until=_lease_until(event),
            before=Before(messages=state.messages),
        )
        said = ChatMessage(role="user", content=message.text, at=message.at, id=message.id)
        return evolve(
            self._with_message(state, said), active_run=active, queue=tuple(others), last_token=event.token
        )

    @reduces(WorkspaceRunRenewed)
    def renew(self, state: WorkspaceState, event: WorkspaceRunRenewed, path: Path) -> WorkspaceState:
        """Let the lease last from the event on."""
        objection = _objection_to_token(state, event) or objection_to(event.at) or _objection_to_lease(event)
        if objection is not None:
            return refuse(self, state, path, objection)
        until = _lease_until(event)
        if state.active_run is None or until == state.active_run.lease_until:
            return state
        return evolve(state, active_run=evolve(state.active_run, lease_until=until))

    @reduces(WorkspaceRunCompleted)
    def complete(self, state: WorkspaceState, event: WorkspaceRunCompleted, path: Path) -> WorkspaceState:
        """End the run."""
        objection = _objection_to_token(state, event) or objection_to(event.at)
        if objection is not None:
            return refuse(self, state, path, objection)
        if event.response is not None:
            response = ChatMessage(role="assistant", content=event.response, at=event.at)
            state = self._with_message(state, response)
        return evolve(state, active_run=None)

    @reduces(WorkspaceRunReleased)
    def release(self, state: WorkspaceState, event: WorkspaceRunReleased, path: Path) -> WorkspaceState:
        """Take back what the run wrote and put its message in front."""
        objection = _objection_to_token(state, event)
        return given_back(state) if objection is None else refuse(self, state, path, objection)

    @reduces(WorkspaceMessageAdded)
    def add_message(self, state: WorkspaceState, event: WorkspaceMessageAdded, path: Path) -> WorkspaceState:
        """Append to the history."""
        objection = _objection_to_token(state, event) or objection_to(event.at)
        if objection is None and event.role not in ROLES:
            objection = f"a message's role is one of {', '.join(ROLES)}, got {event.role!r}"
        if objection is not None:
            return refuse(self, state, path, objection)
        role: Any = event.role
        return self._with_message(state, ChatMessage(role=role, content=event.content, at=event.at))

    @reduces(MemoryStored)
    def store_memory(self, state: WorkspaceState, event: MemoryStored, path: Path) -> WorkspaceState:
        """Remember the value; the time of a key's first value stays."""
        objection = _objection_to_memory(event) or _objection_to_token(state, event)
        if objection is not None:
            return refuse(self, state, path, objection)
        known = state.memory.get(event.key)
        if known is not None and known.value == event.value:
            return noted(state, key=event.key, token=event.token)
        entry = MemoryEntry(value=event.value, created_at=event.at if known is None else known.created_at)
        state = noted(self._owned(state, path), key=event.key, token=event.token)
        return evolve(state, memory=state.memory.set(event.key, entry))

    @reduces(MemoryDeleted)
    def delete_memory(self, state: WorkspaceState, event: MemoryDeleted, path: Path) -> WorkspaceState:
        """Forget the value."""
        objection = _objection_to_token(state, event)
        if objection is None and event.key not in state.memory:
            objection = f"nothing is remembered under {event.key!r}"
        if objection is not None:
            return refuse(self, state, path, objection)
        state = noted(state, key=event.key, token=event.token)
        return evolve(state, memory=state.memory.delete(event.key))

    @reduces(ToolServerInstalled)
    def install_tool_server(
        self, state: WorkspaceState, event: ToolServerInstalled, path: Path
    ) -> WorkspaceState:
        """Keep the configuration under the server's name."""
        if not event.name:
            return refuse(self, state, path, "a tool server's name is a non-empty text, got ''")
        known = state.tool_servers.get(event.name)
        if known is not None and is_unchanged(known, event.config):
            return state
        state = self._owned(state, path)
        return evolve(state, tool_servers=state.tool_servers.set(event.name, event.config))

    @reduces(ToolServerRemoved)
    def remove_tool_server(
        self, state: WorkspaceState, event: ToolServerRemoved, path: Path
    ) -> WorkspaceState:
        """Drop the configuration."""
        if event.name not in state.tool_servers:
            return refuse(self, state, path, f"there is no tool server {event.name!r}")
        return evolve(state, tool_servers=state.tool_servers.delete(event.name))

    @reduces(DebugModeSwitched)
    def switch_debug(self, state: WorkspaceState, event: DebugModeSwitched, path: Path) -> WorkspaceState:
        """Set debug mode."""
        return state if state.debug == event.on else evolve(self._owned(state, path), debug=event.on)

    @reduces(WorkspaceReset)
    def reset(self, state: WorkspaceState, event: WorkspaceReset) -> WorkspaceState:
        """Forget everything but the tokens: a run from before the reset cannot write after it."""
        empty = WorkspaceState(
            last_token=max(state.last_token, event.last_token or 0),
            reset_position=max(state.reset_position, event.position),
        )
        return state if state == empty else empty

    @reduces(WorkspaceTokensKept)
    def keep_tokens(self, state: WorkspaceState, event: WorkspaceTokensKept) -> WorkspaceState:
        """Go on from the highest token and the position, where they are not known any more."""
        kept = (max(state.last_token, event.last_token), max(state.reset_position, event.reset_position))
        if kept == (state.last_token, state.reset_position):
            return state
        return evolve(state, last_token=kept[0], reset_position=kept[1])

    def _owned(self, state: WorkspaceState, path: Path) -> WorkspaceState:
        return evolve(state, user=state.user or dict(path.steps).get(self.level, ""))

    def _with_message(self, state: WorkspaceState, message: ChatMessage) -> WorkspaceState:
        return evolve(state, messages=(*state.messages, message)[-self.keep_messages :])


def _lease_until(event: WorkspaceRunClaimed | WorkspaceRunRenewed) -> datetime:
    return event.at + timedelta(milliseconds=event.lease_ms)


def _objection_to_message(event: WorkspaceMessageReceived) -> str | None:
    if not event.id:
        return "a message's id is a non-empty text, got ''"
    if event.policy not in POLICIES:
        return f"a policy is one of {', '.join(POLICIES)}, got {event.policy!r}"
    return objection_to(event.at)


def _objection_to_claim(state: WorkspaceState, event: WorkspaceRunClaimed) -> str | None:
    if not event.run or not event.holder:
        return f"a run has an id and a holder, got {event.run!r}, {event.holder!r}"
    objection = objection_to(event.at) or _objection_to_lease(event)
    if objection is not None:
        return objection
    if state.active_run is not None and state.is_running(event.at):
        return f"run {state.active_run.id!r} has the workspace until {state.active_run.lease_until}"
    if not state.is_waiting(event.at):
        return "no message waits to be run"
    # Tokens before the last one known here may have been erased, so that a record leaps over them.
    if event.token <= state.last_token:
        return f"the next token is {state.last_token + 1}, got {event.token!r}"
    return None


def _objection_to_lease(event: WorkspaceRunClaimed | WorkspaceRunRenewed) -> str | None:
    if type(event.lease_ms) is int and 1 <= event.lease_ms <= LONGEST_LEASE_MS:
        return None
    return f"a lease lasts 1 to {LONGEST_LEASE_MS} milliseconds, got {event.lease_ms!r}"


def _objection_to_memory(event: MemoryStored) -> str | None:
    if not event.key or not event.key.isprintable():
        return f"a memory's key is a non-empty text of one line, got {event.key!r}"
    try:
        value = event.value.reveal() if isinstance(event.value, Secret) else event.value
    except SecretLocked:
        # Looked at where it was dispatched; who folds the record may do without the key.
        return objection_to(event.at)
    if not isinstance(value, str):
        return f"a memory's value is a text, got one of type {type(value).__name__}"
    return objection_to(event.at)


def _objection_to_token(state: WorkspaceState, event: Any) -> str | None:
    if event.token is None or state.is_held(event.token):
        return None
    return f"token {event.token!r} does not hold the workspace (any more)"
