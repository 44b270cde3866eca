"""What it takes to append a message durably, beside what people use today for conversations."""

from benchmarks.appending.suite import plots, rows

__all__ = ["plots", "rows"]
