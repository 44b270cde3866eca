"""Write the figures of runs as a page of the documentation.

    python -m benchmarks.report [--into FILE] RESULTS …

`RESULTS` are files that `python -m benchmarks` has written on one machine; of a suite that is in several, the
last one counts. The page goes to docs/benchmarks/figures.md unless it is said where.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.__main__ import DRAWINGS, SUITES
from benchmarks.harness import COLUMNS, Row, Skipped, cells

_HEAD: Final = """# Figures of one run

Written by `python -m benchmarks.report`; [Benchmarks](../benchmarks.md) tells what is measured, and how. A
ratio is ours over the other side, pair by pair: the least, the median and the most. Smaller is better.
"""


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the page, in Markdown."""
    suites: dict[str, list[dict[str, Any]]] = {}
    days: set[str] = set()
    versions: dict[str, str] = {}
    for result in results:
        suites.update(result["suites"])
        versions.update(result["machine"])
        days.add(result["measured_at"])
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [_HEAD, f"Measured on {', '.join(sorted(days))}: {told}."]
    parts += [_section(suite, suites[suite]) for suite in SUITES if suite in suites]
    return "\n".join(parts) + "\n"


def _section(suite: str, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"\n## {suite}\n", _line(COLUMNS), _line("---" for _ in COLUMNS)]
    lines += [_line(cells(Row(**row) if "ours" in row else Skipped(**row))) for row in rows]
    return "\n".join(lines)


def _line(texts: Sequence[str] | Iterator[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="files of figures")
    parser.add_argument("--into", type=Path, default=DRAWINGS / "figures.md", help="the page")
    options = parser.parse_args()
    results = [json.loads(path.read_text(encoding="utf-8")) for path in options.results]
    options.into.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
