"""The archive of a store: scopes that rest are moved out of the database, and answer as before."""

from eliza_state.archive.archive import Archive, OnDispatch
from eliza_state.archive.errors import ArchiveBlocked
from eliza_state.archive.outcomes import Archived, ArchivedScope, Refused, Restored

__all__ = ["Archive", "ArchiveBlocked", "Archived", "ArchivedScope", "OnDispatch", "Refused", "Restored"]
