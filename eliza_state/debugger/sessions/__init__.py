"""Records of a store in a file, in another store, in a store of their own."""

from eliza_state.debugger.sessions.exporting import Exported
from eliza_state.debugger.sessions.importing import Imported
from eliza_state.debugger.sessions.session_file import InvalidSession

__all__ = ["Exported", "Imported", "InvalidSession"]
