"""All measurements of this suite, from the hottest to the coldest."""

from __future__ import annotations

from benchmarks.harness import Row
from benchmarks.storing import cold, crowding, filling, hot, outage, persisting, warm


def rows() -> list[Row]:
    """Measure all of this folder."""
    parts = (hot.rows, warm.rows, cold.rows, persisting.rows, crowding.rows, filling.rows, outage.rows)
    return [row for part in parts for row in part()]
