"""Commands that tell how a store is, verify it, and repair it."""

from eliza_state.cli.health.application import add_commands

__all__ = ["add_commands"]
