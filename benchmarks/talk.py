"""A small application's module, which several suites dispatch to."""

from __future__ import annotations

from typing import Final

import attrs

from eliza_state import StateModule, event, evolve, reduces

TEXT: Final = (
    "a message of about one hundred bytes, as people write them to each other in a room of a busy channel"
)


@event("said")
class Said:
    """Somebody said something."""

    id: str
    user: str
    text: str


@attrs.frozen
class Talk:
    """What the reducer keeps: six fields, as the slices of a chat have."""

    count: int = 0
    last: str = ""
    topic: str | None = None
    sentiment: float = 0.0
    goals: tuple[str, ...] = ()
    ended: bool = False


class TalkModule(StateModule[Talk]):
    """One module at the conversation, as in a small application."""

    name = "talk"
    level = "conversation"

    @reduces(Said)
    def said(self, state: Talk, event: Said) -> Talk:
        """Count and remember."""
        return evolve(state, count=state.count + 1, last=event.text)
