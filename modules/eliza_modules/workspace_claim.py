"""Writing to a workspace as the run that holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from eliza_modules.workspace import WorkspaceModule
from eliza_state.change import Change
from eliza_state.errors import Rejected, StateError
from eliza_state.scope import Scope


class RunLost(StateError):
    """The run does not hold the workspace any more: it has ended, or its place was taken.

    A message interrupted it, the workspace was reset, or its lease was over and another has claimed it.
    `path` is the text form of the workspace's, `token` the run's.
    """

    def __init__(self, *, path: str, token: int) -> None:
        self.path = path
        self.token = token
        super().__init__(f"the run with token {token} does not hold the workspace {path!r}; end what it does")


async def dispatch(
    scope: Scope, event: Any, decide: Callable[[Any], Iterable[Any]] | None = None
) -> Sequence[Change]:
    """Dispatch an event, or what `decide` makes of the state, that carries a run's `token` or None.

    Raises `RunLost` instead of `Rejected` where the token does not hold the workspace.
    """
    try:
        if decide is not None:
            return await scope.execute(decide, module=WorkspaceModule)
        return [await scope.dispatch(event)]
    except Rejected:
        # Tokens only grow, so one that does not hold now never will again.
        state = await scope.state(WorkspaceModule)
        if event.token is None or state.is_held(event.token):
            raise
        raise RunLost(path=scope.path.encode(), token=event.token) from None
