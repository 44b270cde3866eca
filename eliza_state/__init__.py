"""Hierarchical, durable, explainable state for multi-agent chat systems."""

from eliza_state._version import __version__
from eliza_state.change import Change, Record, SliceChange
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import Rejected, StateError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, compose, reduces
from eliza_state.path import Hierarchy, Path
from eliza_state.scope import Scope, StateTree

__all__ = [
    "Change",
    "Dispatch",
    "Hierarchy",
    "Limits",
    "Path",
    "Record",
    "Rejected",
    "Scope",
    "SliceChange",
    "StateError",
    "StateManager",
    "StateModule",
    "StateTree",
    "__version__",
    "compose",
    "event",
    "evolve",
    "reduces",
]
