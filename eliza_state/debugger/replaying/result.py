"""What came of a replay, beside what was."""

from __future__ import annotations

from typing import Any, Final

import attrs
from rich.text import Text

from eliza_state.change import Record
from eliza_state.debugger.comparing import SliceDiff, SnapshotDiff
from eliza_state.debugger.snapshot import StateSnapshot
from eliza_state.path import Path
from eliza_state.problems import Problem

MOST_LINES: Final = 20
"""How many lines `Replay.render` has for a slice; `diff` has them all."""


@attrs.frozen
class Divergence:
    """Where the state of a slice began to differ: after the record that was at `position`.

    `change` holds what differed then, from what was to what would have been.
    """

    record: Record
    change: SliceDiff

    @property
    def position(self) -> int:
        """The position of the record."""
        return self.record.position

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON data, secrets masked."""
        record = self.record
        told = {"position": record.position, "event": record.event, "record_path": record.path.encode()}
        return {**told, **self.change.to_json()}


@attrs.frozen(kw_only=True)
class Replay:
    """What would have been.

    Of the `records` at and below `path` from position `first` to `last`, some were `skipped`, `edited`, or
    `moved`. `diff` leads from the states as they were to those that would have been, of the scopes that the
    records reached. `divergences` tell for each slice where it first differed, also where it is the same
    again in the end; in the order of the positions. `problems` are what reducers refused or failed on: as in
    every fold, that left their slice as it was; past a thousand they are counted by `more_problems` alone.
    """

    path: Path
    first: int
    last: int
    records: int
    skipped: int
    edited: int
    moved: int
    diff: SnapshotDiff = attrs.field(repr=False)
    divergences: tuple[Divergence, ...] = attrs.field(repr=lambda found: f"<{len(found)}>")
    problems: tuple[Problem, ...] = attrs.field(repr=lambda found: f"<{len(found)}>")
    more_problems: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Tell whether everything would have come to the same, all the way."""
        return not self.divergences

    @property
    def first_divergence(self) -> Divergence | None:
        """Where the courses part; `None` if they never do."""
        return self.divergences[0] if self.divergences else None

    @property
    def was(self) -> StateSnapshot:
        """The states as they were."""
        return self.diff.before

    @property
    def would_be(self) -> StateSnapshot:
        """The states as they would have been."""
        return self.diff.after

    def text(self) -> Text:
        """Return the lines of `render`, coloured."""
        lines = [Text(self._counts(), "bold")]
        first = self.first_divergence
        if first is None:
            lines.append(Text("nothing differs, at no position"))
        else:
            record = first.record
            where = record.path.encode() or "the root"
            lines.append(Text(f"first divergence at position {record.position}, {record.event} at {where}"))
            lines += _indented(first.change.text())
            lines.append(Text("in the end" if self.diff else "in the end nothing differs"))
            lines += [line for change in self.diff for line in _indented(change.text(), most=MOST_LINES)]
        lines += [Text(f"problem: {problem.message}", "yellow") for problem in self.problems]
        if self.more_problems:
            lines.append(Text(f"and {self.more_problems:,} problems more", "yellow"))
        lines += [Text(f"warning: {warning}", "yellow") for warning in self.warnings]
        return Text("\n").join(lines)

    def render(self) -> str:
        """Return lines for people: where the courses part, and what differs in the end; secrets masked.

        Of each slice the first twenty lines.
        """
        return self.text().plain

    def _counts(self) -> str:
        parts = [f"{self.skipped:,} skipped"] if self.skipped else []
        parts += [f"{self.edited:,} edited"] if self.edited else []
        parts += [f"{self.moved:,} moved"] if self.moved else []
        return f"{self.records:,} records from position {self.first} to {self.last}: " + (
            ", ".join(parts) or "as they are"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON data, secrets masked."""
        counted = ("first", "last", "records", "skipped", "edited", "moved", "more_problems")
        return {
            "path": self.path.encode(),
            **{name: getattr(self, name) for name in counted},
            "is_same": self.is_same,
            "divergences": [divergence.to_json() for divergence in self.divergences],
            "diff": [change.to_json() for change in self.diff],
            "problems": [problem.message for problem in self.problems],
            "warnings": list(self.warnings),
        }


def _indented(text: Text, *, most: int | None = None) -> list[Text]:
    lines = [Text("  ").append_text(line) for line in text.split("\n")]
    more = len(lines) - (most or len(lines))
    return lines if more <= 0 else [*lines[:most], Text(f"  … {more:,} more", "dim")]
