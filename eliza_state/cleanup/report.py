"""What a clean-up did, or would do: as values, as text, as plain data for JSON."""

from __future__ import annotations

import datetime
from typing import Any, Final

import attrs

KEPT: Final = 20
"""How many of those held back, and of those that failed, a report names."""


@attrs.frozen
class HeldBack:
    """Something that a policy would let go of and that stays: a scope by its path, or a name; and why."""

    what: str
    reason: str


@attrs.frozen
class Failed:
    """Something that could not be cleaned up, and why; the rest of the pass went on."""

    what: str
    reason: str


@attrs.frozen(kw_only=True)
class Outcome:
    """What one policy did, or would do.

    `policy` names it, `done` counts what it is about, which `unit` names: scopes, messages, entries … .
    `size_bytes` is what these held, as far as that is known, in `seconds` of the pass. `held_back` and
    `failed` count; `held` and `failures` are the first of each.
    """

    policy: str
    unit: str
    done: int
    size_bytes: int
    seconds: float
    held_back: int = 0
    failed: int = 0
    held: tuple[HeldBack, ...] = ()
    failures: tuple[Failed, ...] = ()

    def lines(self) -> list[str]:
        """Return the same as text: a line on all of it, and one for each that is named."""
        line = f"{self.policy}: {self.done:,} {self.unit}"
        if self.size_bytes:
            line += f", {self.size_bytes:,} bytes"
        line += f", {self.seconds:.1f} s"
        line += f"; {self.held_back:,} held back" if self.held_back else ""
        line += f"; {self.failed:,} failed" if self.failed else ""
        named = [f"  held back: {one.what}: {one.reason}" for one in self.held]
        return [line, *named, *(f"  failed: {one.what}: {one.reason}" for one in self.failures)]


@attrs.frozen(kw_only=True)
class CleanupReport:
    """What a pass did, or with `dry_run` would do, policy by policy.

    Ages were measured at `moment`, which may lie before the clock: see `eliza_state.cleanup.moment`.
    """

    moment: datetime.datetime
    dry_run: bool
    outcomes: tuple[Outcome, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing failed; what is held back is no failure."""
        return not any(outcome.failed for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: the same names, times in ISO 8601."""
        return {
            "moment": self.moment.isoformat(),
            "dry_run": self.dry_run,
            "is_good": self.is_good,
            "outcomes": [attrs.asdict(outcome) for outcome in self.outcomes],
        }

    def __str__(self) -> str:
        did = "what would go" if self.dry_run else "what went"
        head = f"{did}, by the time {self.moment:%Y-%m-%d %H:%M:%S} UTC"
        return "\n".join([head, *(line for outcome in self.outcomes for line in outcome.lines())])
