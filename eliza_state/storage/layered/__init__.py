from eliza_state.storage.layered.archiving import NotArchived
from eliza_state.storage.layered.layer import LayerStatus
from eliza_state.storage.layered.options import PersistOptions
from eliza_state.storage.layered.store import LayeredStore, MemoryLimits

__all__ = ["LayerStatus", "LayeredStore", "MemoryLimits", "NotArchived", "PersistOptions"]
