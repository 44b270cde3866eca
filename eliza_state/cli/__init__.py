"""The command line, `eliza-state`: outermost, nothing imports it."""

from eliza_state.cli.application import main

__all__ = ["main"]
