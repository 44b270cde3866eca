"""Verifying a store, and repairing what follows from the rest."""

from eliza_state.health.verifying.finding import Finding, Progress, Told, Verification
from eliza_state.health.verifying.repairing import Repair, repair
from eliza_state.health.verifying.verification import CHECKS, Check, verify, verify_files

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Progress",
    "Repair",
    "Told",
    "Verification",
    "repair",
    "verify",
    "verify_files",
]
