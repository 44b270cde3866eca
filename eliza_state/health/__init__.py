"""The health of a store: figures, thresholds, alerts, leaks, metrics; verifying and repairing it."""

from eliza_state.health.alerts import HEALTH_ALERT, Alert
from eliza_state.health.conditions import CONDITIONS, Condition, Thresholds
from eliza_state.health.errors import ReportedError
from eliza_state.health.leaks import LeakDetector
from eliza_state.health.metrics import FIGURES, Figure
from eliza_state.health.monitor import HealthMonitor
from eliza_state.health.notifying import AppriseNotifier
from eliza_state.health.state_health import LayerFigures, Reason, StateHealth, Suspect
from eliza_state.health.verifying import Finding, Repair, Verification, repair, verify, verify_files

__all__ = [
    "CONDITIONS",
    "FIGURES",
    "HEALTH_ALERT",
    "Alert",
    "AppriseNotifier",
    "Condition",
    "Figure",
    "Finding",
    "HealthMonitor",
    "LayerFigures",
    "LeakDetector",
    "Reason",
    "Repair",
    "ReportedError",
    "StateHealth",
    "Suspect",
    "Thresholds",
    "Verification",
    "repair",
    "verify",
    "verify_files",
]
