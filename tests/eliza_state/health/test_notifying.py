"""Alerts by apprise, to a real server of this test's own."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from eliza_state.change import to_datetime
from eliza_state.errors import StateError
from eliza_state.health import Alert, AppriseNotifier, Reason

ALERT = Alert(Reason("queue", "", 0.9, 0.5, "the queue is 90% full"), to_datetime(0))


class Mailbox:
    """An HTTP server that keeps what is posted to it; `status` is what it answers."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                mailbox.received.append(json.loads(body))
                self.send_response(mailbox.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"json://user:hidden-password@127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.close()


def test_alerts_are_sent_in_order(mailbox: Mailbox):
    notifier = AppriseNotifier(mailbox.url, title="bot")
    notifier(ALERT)
    notifier(Alert(ALERT.reason, ALERT.at, is_over=True))
    notifier.close()

    assert [(each["title"], each["message"], each["type"]) for each in mailbox.received] == [
        ("bot", "the queue is 90% full", "warning"),
        ("bot", "over: the queue is 90% full", "success"),
    ]


def test_what_cannot_be_sent_is_logged_without_the_url(mailbox: Mailbox, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "eliza_state")
    mailbox.status = 500
    notifier = AppriseNotifier(mailbox.url)
    notifier(ALERT)
    notifier.close()
    told = [record.message for record in caplog.records if record.name.startswith("eliza_state")]

    assert told == ["an alert was not sent by all of its services"]


def test_a_url_of_no_service_is_refused_and_not_shown():
    with pytest.raises(StateError, match="URL number 1") as caught:
        AppriseNotifier("nothing://hidden-password")

    assert "hidden" not in str(caught.value)


def test_without_apprise_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(StateError, match=r"eliza-state\[alerts\]"):
        AppriseNotifier("json://localhost")
