"""Alerts: each said once when a figure passes its threshold, and once more when it is well below again."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias, cast
from weakref import ReferenceType

import attrs
import blinker

from eliza_state.errors import RegistrationError
from eliza_state.health.conditions import CONDITIONS
from eliza_state.health.state_health import Reason, StateHealth

HEALTH_ALERT: Final = "health:alert"
"""The name of the signal."""

_logger = logging.getLogger(__name__)


@attrs.frozen
class Alert:
    """A reason that has come (`is_over` false) or gone, by the manager's clock `at` that time, in UTC."""

    reason: Reason
    at: datetime
    is_over: bool = False

    def __str__(self) -> str:
        return f"over: {self.reason.text}" if self.is_over else self.reason.text


AlertReceiver: TypeAlias = Callable[[Alert], None]
"""Takes an alert; a plain function, called in the event loop."""


class Alerts:
    """Tell of reasons that come and go: to the log, to a blinker signal, to plain functions.

    An alert ends when its figure is on the good side by the share `hysteresis` of the threshold, or when what
    it was about is there no more; between the two it is not said again. A receiver that raises is logged and
    stops no other.
    """

    def __init__(self, sender: object, *, thresholds: Mapping[str, float], hysteresis: float) -> None:
        self.signal = blinker.NamedSignal(HEALTH_ALERT)
        """The signal `health:alert`: connect plain receivers `receiver(monitor, alert=alert)`."""
        self._sender = sender
        self._thresholds = thresholds
        self._hysteresis = hysteresis
        self._receivers: list[AlertReceiver] = []
        self._standing: dict[tuple[str, str], Alert] = {}

    @property
    def standing(self) -> tuple[Alert, ...]:
        """What was raised and is not over."""
        return tuple(self._standing.values())

    def connect(self, receiver: AlertReceiver) -> Callable[[], None]:
        """Call a plain function with each alert; return how to stop, which twice does nothing.

        Raises `RegistrationError` for a coroutine function, which nobody would await.
        """
        if inspect.iscoroutinefunction(receiver):
            raise RegistrationError(f"{receiver!r} is a coroutine function; a plain one is called here")
        self._receivers.append(receiver)
        return lambda: self._receivers.remove(receiver) if receiver in self._receivers else None

    def take(self, health: StateHealth) -> None:
        """Raise what is new among the reasons, and clear what is over."""
        for reason in health.reasons:
            key = reason.condition, reason.subject
            if key not in self._standing:
                self._standing[key] = Alert(reason, health.at)
                self._tell(self._standing[key])
        wrong = {(reason.condition, reason.subject) for reason in health.reasons}
        for key in [key for key in self._standing if key not in wrong and self._is_over(*key, health)]:
            alert = self._standing.pop(key)
            self._tell(Alert(alert.reason, health.at, is_over=True))

    def _is_over(self, name: str, subject: str, health: StateHealth) -> bool:
        condition, limit = CONDITIONS[name], self._thresholds[name]
        values = [value for found, value in condition.find(health) if found == subject]
        return all(condition.is_well_met(value, limit, self._hysteresis) for value in values)

    def _tell(self, alert: Alert) -> None:
        _logger.log(logging.INFO if alert.is_over else logging.WARNING, "%s", alert)
        for receiver in tuple(self._receivers):
            self._call(receiver, alert)
        for kept in self.signal.receivers_for(self._sender) if self.signal.receivers else ():
            connected = cast("Any", kept() if isinstance(kept, ReferenceType) else kept)
            self._call(partial(self._send, connected), alert)

    def _send(self, connected: Any, alert: Alert) -> None:
        connected(self._sender, alert=alert)

    def _call(self, receiver: AlertReceiver, alert: Alert) -> None:
        try:
            receiver(alert)
        except Exception:
            _logger.exception("a receiver of health alerts failed")
