"""Alerts to wherever apprise sends them: mail, chat, pagers (`pip install eliza-state[alerts]`).

>>> notifier = AppriseNotifier("mailto://user:password@example.org")
>>> monitor.on_alert(notifier)
"""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from eliza_state.errors import StateError
from eliza_state.health.alerts import Alert

_logger = logging.getLogger(__name__)

TITLE: Final = "eliza-state"


class AppriseNotifier:
    """Send alerts to apprise's URLs, one after the other, in a thread of its own.

    What cannot be sent is logged, without the URL, which may hold a password. Raises `StateError` where
    apprise is not installed, or knows no service of such a URL.
    """

    def __init__(self, *urls: str, title: str = TITLE) -> None:
        try:
            import apprise  # noqa: PLC0415  # optional
        except ImportError:
            raise StateError(
                "alerts by apprise need it installed: pip install 'eliza-state[alerts]'"
            ) from None
        self._apprise = apprise.Apprise()
        self._title = title
        with warnings.catch_warnings():
            # Adding imports services, and some of these import what is deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            known = [self._apprise.add(url) for url in urls]
        if not all(known):
            number = known.index(False) + 1
            raise StateError(f"apprise knows no service by URL number {number}; see its documentation")
        self._thread = ThreadPoolExecutor(1, "eliza-state-alerts")

    def __call__(self, alert: Alert) -> None:
        """Send an alert soon; never waits."""
        self._thread.submit(self._send, alert)

    def _send(self, alert: Alert) -> None:
        kind = "success" if alert.is_over else "warning"
        try:
            is_sent = self._apprise.notify(title=self._title, body=str(alert), notify_type=kind)
        except Exception as error:  # noqa: BLE001  # a service's own code; its message may show the URL
            _logger.warning("an alert was not sent: %s", type(error).__name__)
            return
        if not is_sent:
            _logger.warning("an alert was not sent by all of its services")

    def close(self) -> None:
        """Wait until all alerts are sent and end the thread."""
        self._thread.shutdown()
