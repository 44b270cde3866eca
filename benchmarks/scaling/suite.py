"""What of all this is in the table of the suite."""

from __future__ import annotations

from benchmarks.harness import Row, Skipped
from benchmarks.scaling import costs, crowd, processes


def rows() -> list[Row | Skipped]:
    """Measure what an event costs, several processes, and a smaller crowd of conversations."""
    return [*costs.rows(), *processes.rows(), *crowd.rows()]
