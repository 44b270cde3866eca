"""What is wrong with a query."""

from __future__ import annotations

from eliza_state.errors import StateError


class InvalidQuery(StateError, ValueError):
    """A query cannot be asked: an unknown field, values that do not compare, or text that cannot be read."""
