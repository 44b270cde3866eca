"""Measure everything in one run and print a table of ratios.

    python -m benchmarks [--json FILE] [SUITE ...]

The suites: dispatching, growing, debugging, querying, monitoring, storing; all of them unless some are named.

A ratio is ours over the other side, pair by pair; smaller is better. The exit status is 0 whatever the
figures are: machines differ, and a bound that is passed is marked for a person to look at.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sqlite3
import statistics
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Row

SUITES = ("dispatching", "growing", "debugging", "querying", "monitoring", "storing")


def measured(suite: str) -> list[Row]:
    """Run a suite; it is imported only now, since not every one needs what others need."""
    found: list[Row] = importlib.import_module(f"benchmarks.{suite}").rows()
    return found


def table(rows: list[Row]) -> Table:
    """Return the figures for people."""
    shown = Table(title="Medians; ratios as minimum, median, maximum of the pairs", title_justify="left")
    for name in ("what", "ours", "other side", "ratio", "bound", ""):
        shown.add_column(name, overflow="fold")
    for row in rows:
        ratios = row.ratios
        other = f"{statistics.median(row.other):,.2f} {row.unit}  {row.other_name}" if row.other else ""
        spread = f"{min(ratios):.2f}  {statistics.median(ratios):.2f}  {max(ratios):.2f}" if row.other else ""
        mark = "" if row.is_within else "over"
        ours = f"{statistics.median(row.ours):,.2f} {row.unit}"
        shown.add_row(row.name, ours, other, spread, f"{row.bound:g}", mark)
    return shown


def main() -> None:
    """Run the suites that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="which suites to run (all)")
    parser.add_argument("--json", type=Path, help="write the figures to a file as well")
    options = parser.parse_args()
    console = Console(width=max(Console().width, 132))
    console.print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()} on"
        f" {platform.machine()}"
    )
    rows = [row for name in options.suites or SUITES for row in measured(name)]
    console.print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([attrs.asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
