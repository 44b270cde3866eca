"""Measure everything in one run, print a table of ratios, and draw how costs grow.

    python -m benchmarks [--quick] [--json FILE] [--plots FOLDER] [SUITE ...]

The suites: appending, dispatching, opening, holding, cleaning, growing, debugging, querying, monitoring,
synchronising, storing, sharing, scaling, serialising; all unless some are named. With --quick, the first five
take small sizes, which shows that they run and little more. The figures go to a file in benchmarks/results
too, and the plots to docs/benchmarks, or with --quick beside the figures.

A ratio is ours over the other side, pair by pair; smaller is better. The exit status is 0 whatever the
figures are: machines differ, and a bound that is passed is marked for a person to look at.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.harness import COLUMNS, Row, Skipped, cells

SIZED: Final = ("appending", "dispatching", "opening", "holding", "cleaning")
"""The suites that have a quick size."""
SUITES: Final = (
    *SIZED,
    "growing",
    "debugging",
    "querying",
    "monitoring",
    "synchronising",
    "storing",
    "sharing",
    "scaling",
    "serialising",
)
PLOTTED: Final = ("appending", "opening")
RESULTS: Final = Path(__file__).with_name("results")
DRAWINGS: Final = Path(__file__).parents[1] / "docs" / "benchmarks"


def measured(suite: str, *, quick: bool) -> list[Row | Skipped]:
    """Run a suite; it is imported only now, since not every one needs what others need."""
    measure = importlib.import_module(f"benchmarks.{suite}").rows
    found: list[Row | Skipped] = measure(quick=quick) if suite in SIZED else measure()
    return found


def table(suite: str, rows: Sequence[Row | Skipped]) -> Table:
    """Return the figures for people."""
    title = f"{suite}: medians; ratios as minimum, median, maximum of the pairs"
    shown = Table(title=title, title_justify="left")
    for name in COLUMNS:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*cells(row))
    return shown


def draw(suite: str, rows: Sequence[Row | Skipped], folder: Path) -> None:
    """Write the plots of a suite, as far as it has any."""
    if suite in PLOTTED:
        folder.mkdir(parents=True, exist_ok=True)
        for plot in importlib.import_module(f"benchmarks.{suite}").plots(rows):
            (folder / f"{plot.name}.svg").write_text(plot.svg(), encoding="utf-8")


def write(found: dict[str, list[Row | Skipped]], path: Path) -> None:
    """Write the figures of suites as JSON, and what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suites = {suite: [attrs.asdict(row) for row in rows] for suite, rows in found.items()}
    values = {"machine": machine.described(), "measured_at": time.strftime("%Y-%m-%d"), "suites": suites}
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")


def main() -> None:
    """Run the suites that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="which suites to run (all)")
    parser.add_argument("--quick", action="store_true", help="take small sizes")
    parser.add_argument("--json", type=Path, help="where to write the figures (a file in benchmarks/results)")
    parser.add_argument("--plots", type=Path, help="where to draw (docs/benchmarks)")
    options = parser.parse_args()
    console = Console(width=max(Console().width, 160))
    console.print(", ".join(f"{name} {told}" for name, told in machine.described().items()))
    results = options.json or RESULTS / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}.json"
    drawings = options.plots or (results.parent if options.quick else DRAWINGS)
    found: dict[str, list[Row | Skipped]] = {}
    for suite in options.suites or SUITES:
        found[suite] = measured(suite, quick=options.quick)
        console.print(table(suite, found[suite]))
        write(found, results)
        draw(suite, found[suite], drawings)


if __name__ == "__main__":
    main()
