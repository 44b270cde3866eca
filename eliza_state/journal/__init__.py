"""The log of events: a contract, its backends, and the writer that drives one."""

from eliza_state.journal.contract import Appended, Draft, Erasure, Journal, ScopeFacts, Wiped
from eliza_state.journal.memory import MemoryJournal

__all__ = [
    "Appended",
    "Draft",
    "Erasure",
    "Journal",
    "MemoryJournal",
    "ScopeFacts",
    "Wiped",
]
