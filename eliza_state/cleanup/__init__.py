"""The clean-up of a store: by policies, beside those who work; nothing is lost unless one says so."""

from eliza_state.cleanup.cleaner import Cleaner
from eliza_state.cleanup.cleaning import clean
from eliza_state.cleanup.lease import FileLease, LeaseTaken
from eliza_state.cleanup.policies import (
    DEFAULT_POLICIES,
    Compaction,
    ExpiredKeys,
    IdleScopes,
    OldMessages,
    Orphans,
    Policy,
)
from eliza_state.cleanup.report import CleanupReport, Failed, HeldBack, Outcome

__all__ = [
    "DEFAULT_POLICIES",
    "Cleaner",
    "CleanupReport",
    "Compaction",
    "ExpiredKeys",
    "Failed",
    "FileLease",
    "HeldBack",
    "IdleScopes",
    "LeaseTaken",
    "OldMessages",
    "Orphans",
    "Outcome",
    "Policy",
    "clean",
]
