"""Refusing an event: the right of the scope it is addressed to, and of no scope above."""

from __future__ import annotations

from typing import Any, TypeVar

from eliza_state.errors import Rejected
from eliza_state.module import StateModule
from eliza_state.path import Path

S = TypeVar("S")


def is_addressed(module: StateModule[Any], path: Path) -> bool:
    """Tell whether an event's address lies at the module's own level.

    A bare `module.reduce(state, event)` gives no address; it counts as addressed.
    """
    return path.level is None or path.level == module.level


def refuse(module: StateModule[S], state: S, path: Path, reason: str) -> S:
    """Reject the event, or return `state` as it is when the event was addressed further down.

    Raises `Rejected` with `reason` at the addressed scope alone: above it, what happened has happened.
    """
    if is_addressed(module, path):
        raise Rejected(reason)
    return state
