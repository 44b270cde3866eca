"""The life of a scope as a table: which step leads where, and nothing else is possible.

initialized → active → updated → persisted → active … → archived
"""

from __future__ import annotations

import enum
from typing import Final

from eliza_state.errors import StateError


class Phase(enum.StrEnum):
    """Where a scope stands."""

    INITIALIZED = "initialized"
    """Known, its state not loaded."""
    ACTIVE = "active"
    """Loaded; all it holds is on the journal."""
    UPDATED = "updated"
    """Changed by an event that is not durable yet."""
    PERSISTED = "persisted"
    """The last change has just become durable."""
    ARCHIVED = "archived"
    """Ended: readable, but takes no more events."""


class Step(enum.StrEnum):
    """What can happen to a scope."""

    LOAD = "load"
    CHANGE = "change"
    SAVE = "save"
    """The last pending change became durable."""
    CONTINUE = "continue"
    """A change was persisted and announced."""
    FAIL = "fail"
    """A pending change was given up: it could not be stored."""
    END = "end"
    """The event that ends the scope became durable."""
    RESTORE = "restore"
    """The scope was given back the state of a time before its end."""
    UNLOAD = "unload"


TRANSITIONS: Final = {
    (Phase.INITIALIZED, Step.LOAD): Phase.ACTIVE,
    (Phase.INITIALIZED, Step.END): Phase.ARCHIVED,
    (Phase.ACTIVE, Step.CHANGE): Phase.UPDATED,
    (Phase.ACTIVE, Step.UNLOAD): Phase.INITIALIZED,
    (Phase.ACTIVE, Step.END): Phase.ARCHIVED,
    (Phase.UPDATED, Step.CHANGE): Phase.UPDATED,
    (Phase.UPDATED, Step.SAVE): Phase.PERSISTED,
    (Phase.UPDATED, Step.FAIL): Phase.ACTIVE,
    (Phase.PERSISTED, Step.CHANGE): Phase.UPDATED,
    (Phase.PERSISTED, Step.CONTINUE): Phase.ACTIVE,
    (Phase.PERSISTED, Step.END): Phase.ARCHIVED,
    (Phase.ARCHIVED, Step.RESTORE): Phase.ACTIVE,
    (Phase.ARCHIVED, Step.UNLOAD): Phase.INITIALIZED,
}


SAVED: Final = {
    start: TRANSITIONS[TRANSITIONS[start, Step.CHANGE], Step.SAVE]
    for start in Phase
    if (start, Step.CHANGE) in TRANSITIONS
}
"""Where a change that is saved at once leads: `change` and `save` in one."""

LIVED_ON: Final = {
    ended: TRANSITIONS[Phase.PERSISTED, Step.END if ended else Step.CONTINUE] for ended in (False, True)
}
"""Where a scope goes once its saved change is announced: on, or, if it has ended, no further."""


class IllegalStep(StateError):
    """A scope was asked to take a step that its phase does not allow."""

    def __init__(self, phase: Phase, step: Step) -> None:
        self.phase = phase
        self.step = step
        allowed = ", ".join(known.value for start, known in TRANSITIONS if start is phase)
        super().__init__(f"a scope that is {phase.value} cannot {step.value}; it can {allowed}")


def advance(phase: Phase, step: Step) -> Phase:
    """Return the phase after a step; `IllegalStep` if the table has no such transition."""
    try:
        return TRANSITIONS[phase, step]
    except KeyError:
        raise IllegalStep(phase, step) from None
