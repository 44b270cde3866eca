"""What holds a scope back from the archive."""

from __future__ import annotations

from eliza_state.errors import StateError


class ArchiveBlocked(StateError):
    """A scope cannot go into the archive now: something still works on it; nothing was moved.

    `path` is the text form of the scope that is at work (the one that was to be archived, or one below it),
    `module` the name of the module that holds it back, empty where it is an effect or a follower; `reason`
    says it in words.
    """

    def __init__(self, path: str, *, reason: str, module: str = "") -> None:
        self.path = path
        self.module = module
        self.reason = reason
        super().__init__(f"{path!r} cannot be archived now: {reason}; archive it once that is done")
