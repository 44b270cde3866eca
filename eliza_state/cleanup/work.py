"""What the parts of a pass share: the manager, the moment, the pace, and the count of what was done."""

from __future__ import annotations

import datetime
import time

import attrs

from eliza_state.cleanup.pacing import Pace
from eliza_state.cleanup.policies import OldMessages
from eliza_state.cleanup.report import KEPT, Failed, HeldBack, Outcome
from eliza_state.manager import StateManager


@attrs.define
class Tally:
    """Counts what a policy does."""

    done: int = 0
    size_bytes: int = 0
    held_back: int = 0
    failed: int = 0
    held: list[HeldBack] = attrs.Factory(list[HeldBack])
    failures: list[Failed] = attrs.Factory(list[Failed])
    started_s: float = attrs.Factory(time.monotonic)

    def did(self, count: int, *, size_bytes: int = 0) -> None:
        """Note that something is done."""
        self.done += count
        self.size_bytes += size_bytes

    def hold_back(self, what: str, reason: object) -> None:
        """Note that something stays."""
        self.held_back += 1
        if len(self.held) < KEPT:
            self.held.append(HeldBack(what, str(reason)))

    def fail(self, what: str, reason: object) -> None:
        """Note that something went wrong."""
        self.failed += 1
        if len(self.failures) < KEPT:
            self.failures.append(Failed(what, str(reason)))

    def outcome(self, policy: str, unit: str) -> Outcome:
        """Return what was counted."""
        return Outcome(
            policy=policy,
            unit=unit,
            done=self.done,
            size_bytes=self.size_bytes,
            seconds=time.monotonic() - self.started_s,
            held_back=self.held_back,
            failed=self.failed,
            held=tuple(self.held),
            failures=tuple(self.failures),
        )


@attrs.frozen(eq=False)
class Work:
    """One pass over a store; `seen` is where earlier passes of a policy have come to, by position."""

    manager: StateManager
    moment: datetime.datetime
    pace: Pace
    dry_run: bool
    seen: dict[OldMessages, int]
