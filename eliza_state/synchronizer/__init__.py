"""Replicas of a store that were apart, and states without a log: what each has seen, and how they merge."""

from eliza_state.synchronizer.conflicts import Conflict
from eliza_state.synchronizer.errors import Diverged, NotAReplica, Unrelated
from eliza_state.synchronizer.merging import Merged
from eliza_state.synchronizer.replica import Replica
from eliza_state.synchronizer.replica_file import ReplicaFile
from eliza_state.synchronizer.replica_log import ReplicaLog
from eliza_state.synchronizer.states import Synced, sync
from eliza_state.synchronizer.strategies import (
    Counters,
    KeepBoth,
    Keyed,
    LastWrite,
    MergeWith,
    Siblings,
    Union,
)
from eliza_state.synchronizer.synchronizer import Synchronizer
from eliza_state.synchronizer.synchronizing import SyncReport, synchronize
from eliza_state.synchronizer.vector_clock import Order, VectorClock
from eliza_state.synchronizer.versioned import Versioned, written

__all__ = [
    "Conflict",
    "Counters",
    "Diverged",
    "KeepBoth",
    "Keyed",
    "LastWrite",
    "MergeWith",
    "Merged",
    "NotAReplica",
    "Order",
    "Replica",
    "ReplicaFile",
    "ReplicaLog",
    "Siblings",
    "SyncReport",
    "Synced",
    "Synchronizer",
    "Union",
    "Unrelated",
    "VectorClock",
    "Versioned",
    "sync",
    "synchronize",
    "written",
]
