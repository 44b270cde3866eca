"""An agent's runs, approvals and observers as keys and plain values, for readers that know no modules.

| Key | Value |
|---|---|
| `run:index` | the ids of the runs, in the order of their creation |
| `run:<id>` | one run |
| `approvals:pending` | the pending approvals, in the order in which they were requested |
| `approvals:history` | the answered approvals, the one answered first at the start |
| `observer:lastRun` | when each observer last ran, in milliseconds since 1970, by name |
| `agent:workspace:<user>` | the workspace of one user |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from eliza_modules.approval import Approval, ApprovalsState
from eliza_modules.observer import ObserversState
from eliza_modules.run import Run, RunsState
from eliza_modules.workspace import WorkspaceModule
from eliza_modules.workspace_memory import debug_view
from eliza_modules.workspace_state import WorkspaceState
from eliza_state.change import to_microseconds
from eliza_state.codec import SERIALIZER
from eliza_state.errors import InvalidPath
from eliza_state.scope import Scope

_RUN: Final = "run:"
_USER: Final = WorkspaceModule.level
_WORKSPACE: Final = "agent:workspace:"


def _run_index(state: RunsState) -> list[str]:
    return list(state.runs.ids())


def _pending(state: ApprovalsState) -> list[Any]:
    return [_plain(approval, Approval) for approval in state.pending]


def _history(state: ApprovalsState) -> list[Any]:
    return [_plain(approval, Approval) for approval in state.history]


def _last_run(state: ObserversState) -> dict[str, int]:
    return {
        observer.name: to_microseconds(observer.last_run) // 1_000
        for observer in state.observers.values()
        if observer.last_run is not None
    }


_FIXED: Final[Mapping[str, tuple[type, Callable[[Any], Any]]]] = {
    "run:index": (RunsState, _run_index),
    "approvals:pending": (ApprovalsState, _pending),
    "approvals:history": (ApprovalsState, _history),
    "observer:lastRun": (ObserversState, _last_run),
}
"""The keys that do not name a run: the state each is a view of, and the view."""


@attrs.frozen
class WellKnownKeys:
    """Read what an agent keeps under its well-known keys; see the table of this module.

    `scope` is the handle on the agent. Values are what JSON has: a copy each time, times in ISO 8601, what
    JSON lacks under the serializer's tags, secrets as `[SECRET]`. A key whose module is not registered does
    not exist. Nothing can be written here: that takes events.
    """

    scope: Scope

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default` where there is none.

        Raises `SerializationError` for a value that cannot be written.
        """
        if key.startswith(_WORKSPACE):
            workspace = await self._workspace(key.removeprefix(_WORKSPACE))
            return default if workspace is None else debug_view(workspace)
        slices = await self.scope.state()
        if key in _FIXED:
            kind, view = _FIXED[key]
            state = _find(slices, kind)
            return default if state is None else view(state)
        run = _find_run(slices, key)
        return default if run is None else _plain(run, Run)

    async def has(self, key: str) -> bool:
        """Tell whether there is such a key, without making its value."""
        if key.startswith(_WORKSPACE):
            return await self._workspace(key.removeprefix(_WORKSPACE)) is not None
        slices = await self.scope.state()
        if key in _FIXED:
            return _find(slices, _FIXED[key][0]) is not None
        return _find_run(slices, key) is not None

    async def keys(self) -> list[str]:
        """Return all keys, those of runs and of workspaces last; every user of the agent is looked at."""
        slices = await self.scope.state()
        fixed = [key for key, (kind, _) in _FIXED.items() if _find(slices, kind) is not None]
        runs = _find(slices, RunsState)
        found = () if runs is None else runs.runs.ids()
        users = [scope.path.id or "" for scope in await self.scope.children() if scope.level == _USER]
        known = [user for user in users if await self._workspace(user) is not None]
        return [*fixed, *(f"{_RUN}{run}" for run in found), *(f"{_WORKSPACE}{user}" for user in known)]

    async def _workspace(self, user: str) -> WorkspaceState | None:
        """The workspace of a user; None before their first message, where no such module is registered."""
        try:
            slices = await self.scope.child(_USER, user).state()
        except InvalidPath:
            return None
        workspace: WorkspaceState | None = _find(slices, WorkspaceState)
        return workspace if workspace is not None and workspace.user else None


def _find(slices: Mapping[str, Any], kind: type) -> Any:
    """The state of a kind, also where its module is part of a composition; None if there is none."""
    return next((state for state in slices.values() if isinstance(state, kind)), None)


def _find_run(slices: Mapping[str, Any], key: str) -> Run | None:
    runs: RunsState | None = _find(slices, RunsState)
    return runs.runs.get(key.removeprefix(_RUN)) if runs is not None and key.startswith(_RUN) else None


def _plain(value: Any, kind: type) -> Any:
    return json.loads(SERIALIZER.encode(value, as_type=kind, mask_secrets=True))
