"""Commands that look into a store's past, and compare."""

from eliza_state.cli.debugging.application import add_commands

__all__ = ["add_commands"]
