"""What the storages cost, layer by layer, beside what one would write by hand and beside others' packages."""

from benchmarks.storing.suite import rows

__all__ = ["rows"]
