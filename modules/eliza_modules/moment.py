"""Times in events and from clocks: aware ones, or none."""

from __future__ import annotations

from datetime import datetime

from eliza_state.change import to_datetime
from eliza_state.clock import Clock
from eliza_state.errors import StateError


def objection_to(at: datetime) -> str | None:
    """Return why this is no time for an event, or `None` for an aware one.

    A naive time would be another instant on another machine.
    """
    if isinstance(at, datetime) and at.utcoffset() is not None:
        return None
    return f"a time with a time zone is wanted, got {at!r}"


def moment(at: datetime | None, clock: Clock) -> datetime:
    """Return the time given, or what the clock shows, in UTC; `StateError` for a naive time."""
    if at is None:
        return to_datetime(clock())
    objection = objection_to(at)
    if objection is not None:
        raise StateError(objection)
    return at
