"""What two replicas did not agree on, for people and programs to read; secrets are masked."""

from __future__ import annotations

from typing import Any

import attrs

from eliza_state.debugger.documents import document
from eliza_state.debugger.state_paths import MISSING
from eliza_state.synchronizer.vector_clock import VectorClock


@attrs.frozen(kw_only=True)
class Disagreement:
    """One place where two concurrent states differ, what stands there now, and why.

    The values are plain JSON data with secrets masked; `MISSING` where there is nothing, or not known yet.
    """

    place: str
    local: Any
    remote: Any
    chosen: Any = MISSING
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return it as an object; what is missing is left out."""
        values = {"local": self.local, "remote": self.remote, "chosen": self.chosen}
        there = {name: value for name, value in values.items() if value is not MISSING}
        return {"place": self.place, **there, "why": self.why}


@attrs.frozen(kw_only=True)
class Conflict:
    """A slice of which each of two replicas had seen records that the other had not.

    `count` is the number of places where the slices differed, `disagreements` are the first of them. The
    clocks are those of the slice, before.
    """

    path: str
    module: str
    local_clock: VectorClock
    remote_clock: VectorClock
    disagreements: tuple[Disagreement, ...]
    count: int

    def to_json(self) -> dict[str, Any]:
        """Return it as an object."""
        return {
            "path": self.path,
            "module": self.module,
            "local_clock": self.local_clock.counts(),
            "remote_clock": self.remote_clock.counts(),
            "count": self.count,
            "disagreements": [found.to_json() for found in self.disagreements],
        }


def shown(value: Any) -> Any:
    """Return a value as a report shows it."""
    return value if value is MISSING else document(value)
