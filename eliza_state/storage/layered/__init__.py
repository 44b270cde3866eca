from eliza_state.storage.layered.backend import PersistOptions
from eliza_state.storage.layered.layer import LayerStatus
from eliza_state.storage.layered.store import LayeredStore, MemoryLimits

__all__ = ["LayerStatus", "LayeredStore", "MemoryLimits", "PersistOptions"]
