"""How a message addressed to a conversation reaches its user's workspace: through a durable follower."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from eliza_modules.conversation import MessageReceived
from eliza_modules.workspace import WorkspaceMessageReceived, WorkspaceReset
from eliza_modules.workspace_state import POLICIES, Policy
from eliza_state.errors import InvalidPath, RegistrationError
from eliza_state.followers import Handler, RecordedEvent, Write
from eliza_state.path import Path

IsOwn: TypeAlias = Callable[[RecordedEvent], bool]
"""Tell of a recorded message whether the agent said it itself."""


def workspace_follower(
    *, policy: Policy = "enqueue", reset_command: str | None = "/reset", is_own: IsOwn | None = None
) -> Handler:
    """Return a handler for `Followers.follow(…, events=[MessageReceived])` that fills the workspaces.

    A message below an agent goes to the workspace of its author under that agent, with the conversation as
    its `chat`, the text under `platform` in its metadata as its platform, and `policy`. What the agent says
    itself does not, nor what was said by a user whose id names no scope, being too long for instance.
    `is_own` tells what the agent says itself; without it, that is what a user of the agent's id said.
    `reset_command` as the whole text resets the workspace: with all said before and nothing said after it;
    `workspace_eraser` is the handler that then erases the records.
    Raises `RegistrationError` for another policy.
    """
    if policy not in POLICIES:
        raise RegistrationError(f"a policy is one of {', '.join(POLICIES)}, got {policy!r}")

    def forward(told: RecordedEvent, write: Write) -> None:
        user = _user(told)
        if user is None or (is_own or _has_agents_id)(told):
            return
        event: MessageReceived = told.event
        if reset_command is not None and event.text.strip() == reset_command:
            write(WorkspaceReset(position=told.position), to=user)
            return
        platform = event.metadata.get("platform", "")
        received = WorkspaceMessageReceived(
            # A message's id is unique in its conversation alone, and is free again after a deletion.
            id=f"position:{told.position}",
            text=event.text,
            at=told.record.recorded_at,
            chat=told.path.encode(),
            platform=platform if isinstance(platform, str) else "",
            source=event.id,
            policy=policy,
            position=told.position,
        )
        write(received, to=user)

    return forward


def _user(told: RecordedEvent) -> Path | None:
    """The scope of the author under the agent; None if there is no agent, or it cannot be one."""
    agent = _agent(told)
    if agent is None:
        return None
    try:
        return agent.child("user", told.event.user)
    except InvalidPath:
        return None


def _agent(told: RecordedEvent) -> Path | None:
    return next((path for path in told.path.chain() if path.level == "agent"), None)


def _has_agents_id(told: RecordedEvent) -> bool:
    agent = _agent(told)
    return agent is not None and told.event.user == agent.id
