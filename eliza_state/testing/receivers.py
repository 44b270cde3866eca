"""A receiver that remembers what it was told."""

from __future__ import annotations

from typing import Any

from eliza_state.change import Change


class RecordingReceiver:
    """A plain receiver that keeps the changes it was told, oldest first.

    Hand it to `manager.subscribe(receiver)`.
    """

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __call__(self, change: Change) -> None:
        self.changes.append(change)

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def events(self) -> list[Any]:
        """The events of the changes."""
        return [change.event for change in self.changes]

    @property
    def positions(self) -> list[int]:
        """The positions of the changes' records."""
        return [change.position for change in self.changes]

    def clear(self) -> None:
        """Forget what was told so far."""
        self.changes.clear()
