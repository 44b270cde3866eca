"""Values to bytes and back, beside other serialisers: what it takes, how long the bytes are, what is lost."""

from benchmarks.serialising.suite import rows

__all__ = ["rows"]
