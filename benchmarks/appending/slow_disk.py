"""Many tasks on a disk that takes two milliseconds a flush, for all sides the same.

The stores lie in memory, and a library loaded before the C library (`slow_flush.c`, `LD_PRELOAD`) lets each
`fsync` and `fdatasync` of SQLite wait. That takes a process of its own, which writes its rows to standard
output as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.appending import by_hand, event_sourcing, google_adk, langgraph, openai_agents
from benchmarks.appending.measuring import TASKS, Load, pair
from benchmarks.appending.sides import Side
from benchmarks.harness import Row, Skipped
from benchmarks.places import memory_folder

NAME: Final = "2 ms a flush"
FLUSH_S: Final = 0.002
SOURCE: Final = Path(__file__).with_name("slow_flush.c")
BOUNDS: Final[Mapping[Side, float | None]] = {
    by_hand.SQLITE_GROUPED: None,
    by_hand.SQLITE_ALONE: None,
    openai_agents.SQLITE: 1 / 15,
    openai_agents.SQLALCHEMY: 1 / 15,
    event_sourcing.KEPT: 1 / 15,
    event_sourcing.SNAPSHOTS: 1 / 15,
    google_adk.SQLITE: 1 / 15,
    langgraph.UPDATED: 1 / 15,
    langgraph.JOINED: 1 / 15,
    langgraph.MERGED: 1 / 15,
}


def rows() -> list[Row | Skipped]:
    """Measure all of this file, in another process."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return [Skipped(f"append, {TASKS} tasks, {NAME}", "needs Linux and a C compiler")]
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/slow_flush.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        done = subprocess.run(
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            env={**os.environ, "LD_PRELOAD": library},
            stdout=subprocess.PIPE,
            check=True,
        )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [Row(**row) for row in found]


def main() -> None:
    """Measure in this process, where each flush takes its time."""
    with memory_folder() as base:
        _check_slow(base / "file")
        load = Load(100, 4, NAME, base, tasks=TASKS, runs=3)
        found = [pair(load, other, bound=bound) for other, bound in BOUNDS.items()]
    json.dump([attrs.asdict(row) for row in found], sys.stdout)


def _check_slow(path: Path) -> None:
    with path.open("wb") as file:
        started = time.perf_counter()
        os.fsync(file.fileno())
        assert time.perf_counter() - started >= FLUSH_S
