"""`eliza-state store`: looking into a storage, and looking after it."""

from eliza_state.cli.store.application import application

__all__ = ["application"]
