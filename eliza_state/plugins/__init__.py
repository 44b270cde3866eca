"""State of plugins: each has keys of its own, which no other can name, list, delete or hear of."""

from eliza_state.plugins.access import NotShared
from eliza_state.plugins.changes import KeyChange
from eliza_state.plugins.container import PluginState, SharedState
from eliza_state.plugins.registry import Plugins, StateFactory
from eliza_state.plugins.source import PluginPlace

__all__ = ["KeyChange", "NotShared", "PluginPlace", "PluginState", "Plugins", "SharedState", "StateFactory"]
