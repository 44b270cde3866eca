"""What a verification finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from eliza_state.path import Path


@attrs.frozen(kw_only=True)
class Finding:
    """One damage.

    `check` names the check that found it, `message` says what it is, in words without contents. `path` is the
    scope and `position` the record concerned, `file` the store's file, where there are such. `is_derived`
    says that `repair` can make what is damaged anew from the rest; else something is lost, and `loss` says
    what that means.
    """

    check: str
    message: str
    path: Path | None = None
    position: int | None = None
    file: str = ""
    is_derived: bool = False
    loss: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, the path in its text form (`None`: no scope)."""
        found = {field.name: getattr(self, field.name) for field in attrs.fields(Finding)}
        return found | {"path": None if self.path is None else self.path.encode()}


@attrs.frozen(kw_only=True)
class Verification:
    """What a verification found, up to a `position` of the journal.

    `checked` counts what was looked at, by check; `findings` are the damages, at most 100 of each check,
    `total` counts them all. `unchecked` says what could not be looked at, and why; `damaged` are the
    positions of all records that are damaged or missing, of a long gap its ends.
    """

    position: int
    checked: Mapping[str, int]
    findings: tuple[Finding, ...] = ()
    total: int = 0
    unchecked: tuple[str, ...] = ()
    damaged: frozenset[int] = frozenset()

    @property
    def is_good(self) -> bool:
        """Whether nothing is damaged and everything could be looked at."""
        return not self.findings and not self.unchecked

    def by_check(self) -> Mapping[str, int]:
        """Return how many of the findings are of which check."""
        return Counter(finding.check for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "is_good": self.is_good,
            "position": self.position,
            "checked": dict(self.checked),
            "total": self.total,
            "unchecked": list(self.unchecked),
            "findings": [finding.to_dict() for finding in self.findings],
        }


@attrs.frozen
class Progress:
    """How far a verification has come: its check, how much of that is done, and of how much if known."""

    doing: str
    done: int
    total: int | None = None


Told: TypeAlias = Callable[[Progress], None]
"""Is told of progress, in the thread that does the work."""
