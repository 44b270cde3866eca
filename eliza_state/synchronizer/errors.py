"""Why two replicas cannot be synchronised."""

from __future__ import annotations

from eliza_state.errors import StateError


class NotAReplica(StateError, ValueError):
    """What came is no text of a replica, or cannot be taken in here; `line` counts from 1, `None` is all."""

    def __init__(self, reason: str, *, line: int | None = None) -> None:
        self.reason = reason
        self.line = line
        super().__init__(reason if line is None else f"line {line}: {reason}")


class Unrelated(StateError):
    """The two have no record in common, though both have some: nothing says that they are replicas of one."""

    def __init__(self) -> None:
        super().__init__(
            "the two have no record in common, so they are not replicas of one store;"
            " to make them one all the same, join them"
        )


class Diverged(StateError):
    """Under the name of one `writer`, the two have different records with the same number, up to `sequence`.

    A process that wrote on in two places at once, such as one in a copied virtual machine, leaves that
    behind, and so does a fork of a store.
    """

    def __init__(self, writer: str, *, sequence: int) -> None:
        self.writer = writer
        self.sequence = sequence
        super().__init__(
            f"writer {writer!r} has written different records here and there, the first {sequence} compared:"
            " one of the two is a fork, or a copy of a running process; bring its records over as a session"
        )
