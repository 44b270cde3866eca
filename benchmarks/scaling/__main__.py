"""One part of the suite by itself, at the sizes that docs/scaling.md shows.

python -m benchmarks.scaling costs
python -m benchmarks.scaling processes
python -m benchmarks.scaling crowd [--conversations N] [--max-scopes N] [--max-scope-bytes N]
"""

from __future__ import annotations

import argparse

from benchmarks.harness import Row
from benchmarks.scaling import costs, crowd, processes
from eliza_state import Limits


def main() -> None:
    """Print what a part finds, as soon as it is found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("part", choices=["costs", "processes", "crowd"])
    parser.add_argument("--conversations", type=int, default=crowd.CONVERSATIONS)
    parser.add_argument("--max-scopes", type=int, default=crowd.MAX_SCOPES)
    parser.add_argument("--max-scope-bytes", type=int, default=crowd.MAX_SCOPE_BYTES)
    options = parser.parse_args()
    if options.part == "costs":
        for row in costs.rows():
            print(f"{row.name:72}{row.ours[0]:>9.2f} {row.unit}" if isinstance(row, Row) else row)
    elif options.part == "processes":
        processes.measured(lambda each: print(processes.line(each), flush=True))
    else:
        limits = Limits(max_scopes=options.max_scopes, max_scope_bytes=options.max_scope_bytes)
        print(crowd.HEADINGS)
        crowd.measured(
            options.conversations,
            limits=limits,
            tell=lambda point: print(crowd.line(point), flush=True),
        )


if __name__ == "__main__":
    main()
