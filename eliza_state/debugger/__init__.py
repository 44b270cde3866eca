"""Looking into a store: snapshots, differences, the past, and which record did what."""

from eliza_state.debugger.applying import apply
from eliza_state.debugger.bisecting import Bisection
from eliza_state.debugger.blaming import Blame
from eliza_state.debugger.comparing import SliceDiff, SnapshotDiff, StateDiff, diff
from eliza_state.debugger.comparisons import Comparison
from eliza_state.debugger.debugger import Debugger
from eliza_state.debugger.documents import document
from eliza_state.debugger.errors import InvalidStatePath, NoSuchPoint, PatchFailed, PredicateFailed
from eliza_state.debugger.json_patch import JsonPatch
from eliza_state.debugger.past import Past
from eliza_state.debugger.restoring import Restored
from eliza_state.debugger.snapshot import ScopeState, SnapshotMetadata, StateSnapshot
from eliza_state.debugger.state_paths import MISSING, find, parse_path, path_text
from eliza_state.debugger.walking import TimelineEntry

__all__ = [
    "MISSING",
    "Bisection",
    "Blame",
    "Comparison",
    "Debugger",
    "InvalidStatePath",
    "JsonPatch",
    "NoSuchPoint",
    "Past",
    "PatchFailed",
    "PredicateFailed",
    "Restored",
    "ScopeState",
    "SliceDiff",
    "SnapshotDiff",
    "SnapshotMetadata",
    "StateDiff",
    "StateSnapshot",
    "TimelineEntry",
    "apply",
    "diff",
    "document",
    "find",
    "parse_path",
    "path_text",
]
