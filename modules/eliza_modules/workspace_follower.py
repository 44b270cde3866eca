"""How a message addressed to a conversation reaches its user's workspace: through a durable follower."""

from __future__ import annotations

from eliza_modules.conversation import MessageReceived
from eliza_modules.workspace import WorkspaceMessageReceived, WorkspaceReset
from eliza_modules.workspace_state import POLICIES, Policy
from eliza_state.errors import InvalidPath, RegistrationError
from eliza_state.followers import Handler, RecordedEvent, Write
from eliza_state.path import Path


def workspace_follower(*, policy: Policy = "enqueue", reset_command: str | None = "/reset") -> Handler:
    """Return a handler for `Followers.follow(…, events=[MessageReceived])` that fills the workspaces.

    A message below an agent goes to the workspace of its author under that agent, with the conversation as
    its `chat`, the text under `platform` in its metadata as its platform, and `policy`. What the agent says
    itself does not, nor what was said by a user whose id names no scope, being too long for instance.
    `reset_command` as the whole text resets the workspace: with all said before and nothing said after it.
    Raises `RegistrationError` for another policy.
    """
    if policy not in POLICIES:
        raise RegistrationError(f"a policy is one of {', '.join(POLICIES)}, got {policy!r}")

    def forward(told: RecordedEvent, write: Write) -> None:
        user = _user(told)
        if user is None:
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
    """The scope of the author under the agent; None if there is no agent, it spoke, or it cannot be one."""
    agent = next((path for path in told.path.chain() if path.level == "agent"), None)
    if agent is None or told.event.user == agent.steps[-1][1]:
        return None
    try:
        return agent.child("user", told.event.user)
    except InvalidPath:
        return None
