"""Erasing what made a workspace, once it was reset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eliza_modules.workspace import WorkspaceModule, WorkspaceReset, WorkspaceTokensKept
from eliza_modules.workspace_state import WorkspaceState
from eliza_state.erasure import Erased
from eliza_state.followers import Handler, RecordedEvent, Write
from eliza_state.path import Path
from eliza_state.scope import Scope

_EVENTS: Final = tuple(WorkspaceModule().handlers())


def _made_the_workspace(event: Any) -> bool:
    return isinstance(event, _EVENTS)


async def erase_workspace(user: Scope, *, until: int) -> Erased:
    """Erase a user's records of the workspace's events up to a position, and no others of the user's.

    What must outlive them has to stand in a later record; see `WorkspaceReset`, `WorkspaceTokensKept`.
    """
    return await user.erase(until=until, where=_made_the_workspace)


def workspace_eraser(at: Callable[[Path], Scope]) -> Handler:
    """Return a handler for `manager.follow(…, events=[WorkspaceReset])` that erases what was reset.

    It is for resets that come by a message, and finishes those of `Workspace.reset` that were cut off. `at`
    gives the handle on a user: `manager.at`.
    """

    async def erase(told: RecordedEvent, _write: Write) -> None:
        user, reset = at(told.path), told.event
        assert isinstance(reset, WorkspaceReset)
        if reset.last_token is None:
            # Before the records go that tell it: tokens are never given twice.
            await user.execute(_kept, module=WorkspaceModule)
        await erase_workspace(user, until=told.position - 1)

    return erase


def _kept(state: WorkspaceState) -> list[WorkspaceTokensKept]:
    return [WorkspaceTokensKept(last_token=state.last_token, reset_position=state.reset_position)]
