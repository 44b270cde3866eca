"""What can go wrong in debugging, each with the facts as attributes."""

from __future__ import annotations

from collections.abc import Sequence

from eliza_state.errors import StateError


class InvalidStatePath(StateError, ValueError):
    """A text names no place in a state, or a place that a state of this shape cannot have.

    `text` is what was given and `offset` the character, counted from 0, that the message is about; `None`
    where it is about the whole.
    """

    def __init__(self, reason: str, *, text: str = "", offset: int | None = None) -> None:
        self.reason = reason
        self.text = text
        self.offset = offset
        where = "" if offset is None else f", at character {offset + 1} of {text!r}"
        super().__init__(f"{reason}{where}")

    @property
    def pointed(self) -> str:
        """The text with a caret below the character; empty where there is none to point at."""
        return "" if self.offset is None else f"{self.text}\n{' ' * self.offset}^"


class NoSuchPoint(StateError, LookupError):
    """The history has no such position, version or id; `nearest` are those it has that are next to it."""

    def __init__(self, message: str, *, nearest: Sequence[int | str] = ()) -> None:
        self.nearest = tuple(nearest)
        hint = f"; the nearest: {', '.join(map(repr, self.nearest))}" if self.nearest else ""
        super().__init__(f"{message}{hint}")


class PatchFailed(StateError):
    """A patch is malformed, cannot be inverted, or does not fit what it is applied to: nothing was changed.

    `number` counts the operation concerned from 1; `None` where it is the whole patch, or a difference.
    """

    def __init__(self, reason: str, *, number: int | None = None) -> None:
        self.number = number
        super().__init__(reason if number is None else f"operation {number}: {reason}")


class PredicateFailed(StateError):
    """A predicate raised on the state at `position`; the cause says what."""

    def __init__(self, position: int, error: Exception) -> None:
        self.position = position
        super().__init__(
            f"the predicate failed on the state at position {position}: {type(error).__name__}: {error}"
        )
