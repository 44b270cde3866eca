"""A synchronous mapping with memory as the truth, written behind to a file or a table."""

from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore

__all__ = ["StatePersistence", "StateStore"]
