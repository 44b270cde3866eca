"""What would have come of other records, or of other reducers."""

from eliza_state.debugger.replaying.request import Edit, Order, RecordName, Skip
from eliza_state.debugger.replaying.result import Divergence, Replay

__all__ = ["Divergence", "Edit", "Order", "RecordName", "Replay", "Skip"]
