"""The page of figures."""

from __future__ import annotations

import attrs

from benchmarks.harness import Row, Skipped
from benchmarks.report import page

ROW = Row("append", "µs", [2.0, 4.0, 3.0], [4.0, 4.0, 4.0], "a list | a set", 0.5, "no state")


def result(suite: str, *rows: Row | Skipped, **machine: str) -> dict[str, object]:
    """Return what a run writes."""
    return {
        "machine": machine,
        "measured_at": "2026-01-02",
        "suites": {suite: [attrs.asdict(row) for row in rows]},
    }


def test_it_tells_where_the_figures_come_from() -> None:
    told = page([result("appending", ROW, Python="3.11.7", SQLite="3.40.1")])

    assert "Measured on 2026-01-02: Python 3.11.7, SQLite 3.40.1." in told


def test_a_row_has_the_medians_and_the_ratios_and_says_what_is_over() -> None:
    told = page([result("appending", ROW)])

    line = r"| append | 3.00 µs | 4.00 µs  a list \| a set | 0.5  0.75  1 | 0.5 | over | no state |"
    assert line in told.splitlines()


def test_what_was_skipped_says_why() -> None:
    told = page([result("appending", Skipped("slow disk", "needs a compiler"))])

    assert "| slow disk | skipped | needs a compiler |  |  |  |  |" in told


def test_of_a_suite_in_several_files_the_last_counts() -> None:
    later = attrs.evolve(ROW, name="later")

    told = page([result("holding", ROW), result("appending", ROW), result("holding", later)])

    assert told.index("## appending") < told.index("## holding") < told.index("| later |")
    assert 1 == told.count("| append |")
