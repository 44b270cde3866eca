"""How a query was answered, for people who wonder why it takes as long as it does."""

from __future__ import annotations

import attrs


@attrs.define(kw_only=True)
class Explanation:
    """How a query is answered at a position.

    `loaded` says how the matches in the `held` scopes are found, which are indexed in memory; `stored` how
    those of all others are. `scanned` are the comparisons that no index answers: each entry that the others
    leave is looked at for them. `opened` counts the scopes that were read for it, `tested` the entries looked
    at in those, `found` the matches.
    """

    position: int = 0
    held: int = 0
    loaded: str = ""
    stored: str = ""
    scanned: tuple[str, ...] = ()
    opened: int = 0
    tested: int = 0
    found: int = 0

    def __str__(self) -> str:
        lines = [f"position {self.position}"]
        if self.held:
            lines.append(f"in memory ({self.held:,} scopes): {self.loaded}")
        if self.stored:
            lines.append(f"elsewhere: {self.stored}")
        if self.scanned:
            lines.append(f"no index for: {', '.join(self.scanned)}")
        lines.append(f"{self.opened:,} scopes opened, {self.tested:,} entries tested, {self.found:,} found")
        return "\n".join(lines)
