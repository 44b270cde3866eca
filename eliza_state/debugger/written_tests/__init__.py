"""Tests written from the records of a store."""

from eliza_state.debugger.written_tests.writing import written_test

__all__ = ["written_test"]
