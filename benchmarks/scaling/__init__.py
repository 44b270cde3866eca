"""What an event costs as a store grows: with the number of processes, and with that of conversations."""

from benchmarks.scaling.suite import rows

__all__ = ["rows"]
